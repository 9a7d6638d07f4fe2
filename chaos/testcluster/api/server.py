"""HTTP in front of the API: AWS's services at `/` and `/service/...`, our own JSON at `/control/...`."""

from __future__ import annotations

import json
import logging
import socket
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chaos.errors import WaitTimeout
from chaos.testcluster.api.behaviour import Lost
from chaos.testcluster.api.control import PREFIX, Control
from chaos.testcluster.api.engine import ServedEstate
from chaos.testcluster.api.services import Services, offered_services
from chaos.testcluster.api.wire import HttpReply, HttpRequest
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.wait import wait_until

BODY_MAX = 1 << 20
IDLE_TIMEOUT_S = 60
SILENCE_S_MAX = 3600.0
RPC_PREFIX = "/service/"
HINT = (
    "The control plane of a gameday test cluster: AWS's API at POST /, status at /control/status.\n"
)

_log = logging.getLogger(__name__)


class ApiServer:
    """Serves one cluster on a listening socket, each connection in a thread of its own."""

    def __init__(
        self,
        estate: ServedEstate,
        control: Control,
        *,
        listener: socket.socket,
        monitoring: Callable[[str], Monitoring] | None = None,
    ) -> None:
        """Serve from now on.

        Args:
            estate: what is served.
            control: the control address.
            listener: stays its owner's to close.
            monitoring: finds CloudWatch's data of a Region; by default nothing is published in any.
        """
        self._control = control
        self._closing = threading.Event()
        self._services = Services(
            offered_services(monitoring or Telemetry().monitoring), estate, self._closing.wait
        )
        self._http = _HttpServer(listener, self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="api", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop accepting requests; those in flight are answered or dropped with the process."""
        self._closing.set()
        self._http.shutdown()
        self._thread.join()

    def aws(self, request: HttpRequest) -> HttpReply:
        """Answer one request to an AWS service.

        Raises:
            Lost: no answer is to be given.
        """
        return self._services.answer(request)

    def control(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request of the control address: HTTP status and JSON."""
        try:
            status, answer = self._control.answer(method, path, body)
        except Exception:  # noqa: BLE001 - a bug of ours is answered as AWS answers its own
            _log.exception("%s %s failed", method, path)
            status, answer = (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                {"error": f"{method} {path} failed; see the test cluster's log"},
            )
        return status, json.dumps(answer, indent=2).encode() + b"\n"


class _HttpServer(ThreadingHTTPServer):
    """Serves a socket that is bound already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, api: ApiServer) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _log.debug("connection of %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Reads one request after the other off a connection."""

    server: _HttpServer
    protocol_version = "HTTP/1.1"
    server_version = "gameday-test-cluster"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # the head and the body leave in one segment
    timeout = IDLE_TIMEOUT_S

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith(PREFIX):
            self._reply_control("GET", path, b"")
        elif path == "/" and not self._is_for_aws(query):
            self._reply(HTTPStatus.OK, "text/plain; charset=utf-8", HINT.encode())
        else:
            self._reply_elsewhere(path, query.encode())

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        path = self.path.partition("?")[0]
        if path.startswith(PREFIX):
            # A page in a browser can post a form to loopback, but not JSON without asking first.
            if self.headers.get_content_type() != "application/json":
                self._reply(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    "application/json",
                    b'{"error": "send Content-Type: application/json"}\n',
                )
                return
            self._reply_control("POST", path, body)
        elif path == "/" or path.startswith(RPC_PREFIX):
            self._reply_aws(path, body)
        else:
            self._reply_elsewhere(path, body)

    def do_DELETE(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith(PREFIX):
            self._reply_control("DELETE", path, b"")
        else:
            self._reply_elsewhere(path, query.encode())

    def do_PUT(self) -> None:
        body = self._body()
        if body is not None:
            self._reply_elsewhere(self.path.partition("?")[0], body)

    def do_PATCH(self) -> None:
        self.do_PUT()

    def _is_for_aws(self, query: str) -> bool:
        return "Action=" in query or self.headers.get("Authorization", "").startswith("AWS4-")

    def _reply_elsewhere(self, path: str, form: bytes) -> None:
        """Tell an SDK of a service that is not there in AWS's words, anybody else in ours."""
        if self._is_for_aws(self.path.partition("?")[2]):
            self._reply_aws(path, form)
        else:
            self._reply(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", HINT.encode())

    def _body(self) -> bytes | None:
        """Return the request's body, or None if it was refused."""
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if len(text) > len(str(BODY_MAX)) or int(text) > BODY_MAX:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(text))
        if self.headers.get("Content-Encoding", "").strip().lower() == "gzip":
            return self._unpacked(body)
        return body

    def _unpacked(self, body: bytes) -> bytes | None:
        """Return a gzipped body's content, as SDKs send a large PutMetricData, or None if refused."""
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            content = stream.decompress(body, BODY_MAX)
        except zlib.error:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return None
        if stream.unconsumed_tail:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        return content

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body, after which the connection cannot go on."""
        self.close_connection = True
        self._reply(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

    def _reply_aws(self, path: str, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = HttpRequest(path=path, headers=headers, body=body, method=self.command)
        try:
            reply = self.server.api.aws(request)
        except Lost as lost:
            self.close_connection = True
            if lost.loss.is_silent:
                self._stay_silent(lost.loss.over)
            return
        self._reply(reply.status, reply.content_type, reply.body, reply.headers)

    def _stay_silent(self, over: threading.Event) -> None:
        """Hold the connection open until it is over, or the client has gone."""
        self.connection.settimeout(0)  # with a timeout a look waits for it, whatever its flags
        with suppress(WaitTimeout):
            wait_until(
                lambda: over.is_set() or self._has_left(),
                "a client to give up",
                timeout_s=SILENCE_S_MAX,
                interval_s=0.1,
            )

    def _has_left(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _reply_control(self, method: str, path: str, body: bytes) -> None:
        self._reply(*_json(self.server.api.control(method, path, body)))

    def _reply(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        _log.debug(format, *args)


def _json(answer: tuple[int, bytes]) -> tuple[int, str, bytes]:
    return answer[0], "application/json", answer[1]
