"""HTTP in front of the API: `POST /` speaks RDS, `/control/...` speaks JSON.

Any credentials are accepted, but a request must be signed, for `rds` and for a Region,
as AWS would insist: the signature's scope is all that tells whom a client means to talk to.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import uuid
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chaos.errors import WaitTimeout
from chaos.testcluster.api.actions import ACTIONS
from chaos.testcluster.api.behaviour import Lost, treated
from chaos.testcluster.api.codec import QueryCodec
from chaos.testcluster.api.control import PREFIX, Control
from chaos.testcluster.api.engine import Region, ServedEstate
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

SERVICE = "rds"
BODY_MAX = 1 << 20
IDLE_TIMEOUT_S = 60
SILENCE_S_MAX = 3600.0
HINT = (
    "The control plane of a gameday test cluster: RDS's API at POST /, status at /control/status.\n"
)

_SCOPE = re.compile(
    r"Credential=[^/\s,]+/\d{8}/(?P<region>[^/\s,]+)/(?P<service>[^/\s,]+)/aws4_request"
)
_log = logging.getLogger(__name__)


class ApiServer:
    """Serves one cluster on a listening socket, each connection in a thread of its own."""

    def __init__(self, estate: ServedEstate, control: Control, *, listener: socket.socket) -> None:
        """Serve from now on; `listener` stays its owner's to close."""
        self._estate = estate
        self._control = control
        self._closing = threading.Event()
        self._codec = QueryCodec.of(SERVICE, tuple(ACTIONS))
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

    def rds(self, form: bytes, authorization: str) -> tuple[int, bytes, str]:
        """Answer one API request: HTTP status, XML and request id.

        Raises:
            Lost: no answer is to be given.
        """
        request_id = str(uuid.uuid4())
        operation = "?"
        try:
            region = self._region(authorization)
            try:
                request = self._codec.decode(form.decode())
            except UnicodeDecodeError as error:
                raise ApiError("MalformedQueryString", "The request is not UTF-8.") from error
            operation = request.operation
            result = treated(
                self._estate.api_behaviour.treatment(SERVICE, operation),
                self._closing.wait,
                lambda view: ACTIONS[operation](view(region), request.parameters),
            )
            answer = self._codec.encode(operation, result, request_id)
        except ApiError as error:
            status, answer = self._codec.encode_error(error, request_id)
            _log.info("%s %s refused: %s: %s", request_id, operation, error.code, error.message)
            return status, answer, request_id
        except Lost as lost:
            _log.info("%s %s is not answered: %s", request_id, operation, lost.loss)
            raise
        except Exception:  # noqa: BLE001 - a bug of ours is answered as AWS answers its own
            _log.exception("%s %s failed", request_id, operation)
            failure = ApiError(
                "InternalFailure", f"{operation} failed; see the test cluster's log."
            )
            return *self._codec.encode_error(failure, request_id), request_id
        _log.log(
            logging.DEBUG if operation.startswith(("Describe", "List")) else logging.INFO,
            "%s %s accepted: %s",
            request_id,
            operation,
            request.parameters,
        )
        return HTTPStatus.OK, answer, request_id

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

    def _region(self, authorization: str) -> Region:
        scope = _SCOPE.search(authorization)
        if scope is None:
            raise ApiError(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token (any credentials will do, but sign it).",
            )
        if scope["service"] != SERVICE:
            raise ApiError(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to correct service: '{SERVICE}', not "
                f"'{scope['service']}'. The test cluster offers no other service.",
            )
        return self._estate.region(scope["region"])


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
        elif path == "/" and "Action=" in query:
            self._reply_rds(query.encode())
        elif path == "/":
            self._reply(HTTPStatus.OK, "text/plain; charset=utf-8", HINT.encode())
        else:
            self._reply(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", HINT.encode())

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
        elif path == "/":
            self._reply_rds(body)
        else:
            self._reply(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", HINT.encode())

    def do_DELETE(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(PREFIX):
            self._reply_control("DELETE", path, b"")
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
        return self.rfile.read(int(text))

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without having read the body, after which the connection cannot go on."""
        self.close_connection = True
        self._reply(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

    def _reply_rds(self, form: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        try:
            status, answer, request_id = self.server.api.rds(form, authorization)
        except Lost as lost:
            self.close_connection = True
            if lost.loss.is_silent:
                self._stay_silent(lost.loss.over)
            return
        self._reply(status, "text/xml", answer, {"x-amzn-RequestId": request_id})

    def _stay_silent(self, over: threading.Event) -> None:
        """Hold the connection open until it is over, or the client has gone."""
        with suppress(WaitTimeout):
            wait_until(
                lambda: over.is_set() or self._has_left(),
                "a client to give up",
                timeout_s=SILENCE_S_MAX,
                interval_s=0.1,
            )

    def _has_left(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _reply_control(self, method: str, path: str, body: bytes) -> None:
        self._reply(*_json(self.server.api.control(method, path, body)))

    def _reply(
        self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
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
