"""Sends requests: once, again only where the service throttles, each told to who listens.

    read, pages, change --> one request --throttled--> the same, later (at most 5 times)
                                        --expired--> the same, if the chain has newer credentials

botocore's own retries are off: they would repeat what was lost on the way, and a repeated request is
another fault.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from chaos.aws.clients import ApiAccess, Clients
from chaos.aws.refusals import REFUSED_CREDENTIALS, errors_of, presentable
from chaos.clock import NS, Clock, MonotonicClock
from chaos.errors import ControlPlaneError

ATTEMPTS_MAX = 5
PAGES_MAX = 1_000
NO_ANSWER = "no answer"
MARKER = "Marker"

# As botocore's standard retries have them.
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call as it was made.

    `operation` is the API's name for it (`FailoverDBCluster`). `error_code` is None for success and
    "no answer" where none came; `attempts` counts HTTP requests, `duration_s` is until the last answer.
    """

    service: str
    region: str
    operation: str
    parameters: Mapping[str, Any]
    changes: bool
    request_id: str | None
    error_code: str | None
    attempts: int
    duration_s: float


class _Sent(NamedTuple):
    answer: Mapping[str, Any]
    error: ControlPlaneError | None
    call: ApiCall

    def result(self) -> Mapping[str, Any]:
        if self.error is not None:
            raise self.error
        return self.answer


class Api:
    """AWS's APIs. All methods raise `ControlPlaneError` that begins with what was being done."""

    def __init__(self, access: ApiAccess, clock: Clock | None = None) -> None:
        """Prepare clients; `clock` measures the calls and waits while the service throttles."""
        self._clock = clock or MonotonicClock()
        self._listeners: list[Callable[[ApiCall], object]] = []
        self._reads: Counter[str] = Counter()
        self._lock = threading.Lock()
        with errors_of("preparing the AWS clients"):
            self._clients = Clients(access)

    def client(self, service: str = "rds", region: str | None = None) -> Any:
        """Return the boto3 client that requests go through."""
        doing = f"preparing the {service} client"
        try:
            with errors_of(doing):
                return self._clients.get(service, region)
        except ValueError as error:  # botocore's own word for an address that is none
            raise ControlPlaneError(
                f"{doing}: {presentable(str(error))}; correct AWS_ENDPOINT_URL", permanent=True
            ) from error

    @property
    def region(self) -> str:
        """The Region that requests are signed for."""
        return str(self.client().meta.region_name)

    def listen(self, listener: Callable[[ApiCall], object]) -> None:
        """Tell `listener` of every call from now on, in the thread that made it."""
        self._listeners.append(listener)

    def reads(self) -> Mapping[str, int]:
        """Return how often each operation that only reads was called, by the API's name for it."""
        with self._lock:
            return dict(self._reads)

    def read(
        self, doing: str, operation: str, service: str = "rds", **parameters: Any
    ) -> Mapping[str, Any]:
        """Call an operation that changes nothing; `operation` is boto3's name for it."""
        return self._send(doing, operation, parameters, changes=False, service=service).result()

    def probe(self, operation: str, **parameters: Any) -> ApiCall:
        """Call an operation of RDS that changes nothing and return how it went, whatever came."""
        return self._send("probing", operation, parameters, changes=False).call

    def pages(
        self, doing: str, operation: str, service: str = "rds", *, token: str, **parameters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Read all pages of a list, each a call; `token` is the member that leads to the next one."""
        position: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            page = self.read(doing, operation, service, **parameters, **position)
            yield page
            if not page.get(token) or page[token] == position.get(token):
                return
            position = {token: page[token]}
        raise ControlPlaneError(f"{doing}: more than {PAGES_MAX} pages; narrow what is asked for")

    def entries(
        self, doing: str, operation: str, key: str, **parameters: Any
    ) -> list[Mapping[str, Any]]:
        """Read all pages of an operation of RDS and return the entries of the list `key`."""
        pages = self.pages(doing, operation, token=MARKER, **parameters)
        return [entry for page in pages for entry in page.get(key, ())]

    def change(
        self, doing: str, operation: str, *, region: str | None = None, **parameters: Any
    ) -> Mapping[str, Any]:
        """Call an operation of RDS that changes something, of another Region if given."""
        return self._send(doing, operation, parameters, changes=True, region=region).result()

    def _send(
        self,
        doing: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        changes: bool,
        service: str = "rds",
        region: str | None = None,
    ) -> _Sent:
        client = self.client(service, region)
        begun_ns, attempts = self._clock.now_ns(), 0

        def send() -> Mapping[str, Any]:
            nonlocal attempts
            attempts += 1
            answer: Mapping[str, Any] = getattr(client, operation)(**parameters)
            return answer

        answer: Mapping[str, Any] = {}
        failed: ControlPlaneError | None = None
        try:
            with errors_of(doing):
                try:
                    answer = self._unthrottled(send)
                except ClientError as refused:
                    if not _has_bad_credentials(refused) or not self._clients.reload(client):
                        raise
                    client = self._clients.get(service, region)
                    answer = self._unthrottled(send)
        except ControlPlaneError as error:
            failed, answer = error, getattr(error.__cause__, "response", None) or {}
        call = ApiCall(
            service=service,
            region=client.meta.region_name,
            operation=client.meta.method_to_api_mapping[operation],
            parameters=parameters,
            changes=changes,
            request_id=answer.get("ResponseMetadata", {}).get("RequestId"),
            error_code=(failed.code or NO_ANSWER) if failed else None,
            attempts=attempts,
            duration_s=(self._clock.now_ns() - begun_ns) / NS,
        )
        self._tell(call)
        return _Sent(answer, failed, call)

    def _unthrottled(self, send: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Send, and again with backoff while the service answers that it throttles."""
        return Retrying(
            retry=retry_if_exception(_is_throttled),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            sleep=self._clock.sleep,
            reraise=True,
        )(send)

    def _tell(self, call: ApiCall) -> None:
        if not call.changes:
            with self._lock:
                self._reads[call.operation] += 1
        for listener in self._listeners:
            listener(call)


def _is_throttled(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return (
        status == HTTPStatus.TOO_MANY_REQUESTS
        or error.response.get("Error", {}).get("Code") in _THROTTLED
    )


def _has_bad_credentials(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in REFUSED_CREDENTIALS
