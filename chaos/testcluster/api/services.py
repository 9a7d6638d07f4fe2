"""The AWS services at the control plane's address, told apart by the signature's scope.

Any credentials are accepted, but a request must be signed, for a service and for a Region, as AWS
would insist: the scope is all that tells whom a client means to talk to.

To offer one more operation, list its function where its service's operations are; to offer one more
service, add it to `offered_services`.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.testcluster.api.actions import ACTIONS
from chaos.testcluster.api.alarms import ALARM_OPERATIONS
from chaos.testcluster.api.behaviour import Lost, treated
from chaos.testcluster.api.cloudwatch import METRIC_OPERATIONS
from chaos.testcluster.api.engine import Region, ServedEstate
from chaos.testcluster.api.identity import IDENTITY_OPERATIONS
from chaos.testcluster.api.safety_levers import LEVER_OPERATIONS, SafetyLevers
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.api.tagging import TAGGING_OPERATIONS
from chaos.testcluster.api.wire import (
    CborCodec,
    Codec,
    HttpReply,
    HttpRequest,
    JsonCodec,
    QueryCodec,
    Request,
    RestJsonCodec,
    service_model,
)
from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.records import ApiError

_SCOPE = re.compile(
    r"Credential=[^/\s,]+/\d{8}/(?P<region>[^/\s,]+)/(?P<service>[^/\s,]+)/aws4_request"
)
_READING = ("Describe", "Get", "List")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service.

    `place` turns a Region into what the operations are functions of; the first of `codecs` is spoken
    to clients whose protocol is none of them.
    """

    name: str  # in the signature's scope
    codecs: Sequence[Codec]
    operations: Mapping[str, Callable[[Any, Parameters], Mapping[str, Any]]]
    place: Callable[[Region], Any]

    def codec(self, request: HttpRequest) -> Codec:
        """Return what speaks a request's protocol."""
        return next((codec for codec in self.codecs if codec.speaks(request)), self.codecs[0])


def offered_services(monitoring: Callable[[str], Monitoring]) -> tuple[Service, ...]:
    """Return all services; `monitoring` finds CloudWatch's data of a Region by its name."""
    rds, sts, fis = service_model("rds"), service_model("sts"), service_model("fis")
    cloudwatch, tagging = service_model("cloudwatch"), service_model("resourcegroupstaggingapi")
    levers = SafetyLevers()
    watching = {**METRIC_OPERATIONS, **ALARM_OPERATIONS}
    return (
        Service(
            name="rds", codecs=[QueryCodec(rds, [*ACTIONS])], operations=ACTIONS, place=_itself
        ),
        Service(
            name="monitoring",
            codecs=[
                QueryCodec(cloudwatch, sorted(watching)),
                JsonCodec(cloudwatch, sorted(watching), invalid="ValidationError"),
                CborCodec(cloudwatch, sorted(watching), invalid="ValidationError"),
            ],
            operations=watching,
            place=lambda region: monitoring(region.name),
        ),
        Service(
            name="fis",
            codecs=[RestJsonCodec(fis, [*LEVER_OPERATIONS], invalid="ValidationException")],
            operations=LEVER_OPERATIONS,
            place=lambda region: levers.of(region.name),
        ),
        Service(
            name="sts",
            codecs=[QueryCodec(sts, [*IDENTITY_OPERATIONS])],
            operations=IDENTITY_OPERATIONS,
            place=_itself,
        ),
        Service(
            name="tagging",
            codecs=[
                JsonCodec(tagging, [*TAGGING_OPERATIONS], invalid="InvalidParameterException"),
                CborCodec(tagging, [*TAGGING_OPERATIONS], invalid="InvalidParameterException"),
            ],
            operations=TAGGING_OPERATIONS,
            place=_itself,
        ),
    )


def _itself(region: Region) -> Region:
    return region


def _told(codec: Codec, request: Request) -> dict[str, Any]:
    """Return a request's parameters as a log may have them: without what the model calls sensitive."""
    shape = codec.service.operation_model(request.operation).input_shape
    secret = {
        name
        for name, member in (shape.members.items() if shape is not None else ())
        if member.metadata.get("sensitive")
    }
    return {n: "***" if n in secret else value for n, value in request.parameters.items()}


class Services:
    """Answers requests.

    Args:
        services: what is offered.
        estate: what they show and command.
        pause: waits so many seconds, and tells whether the server closes meanwhile.
    """

    def __init__(
        self, services: Sequence[Service], estate: ServedEstate, pause: Callable[[float], bool]
    ) -> None:
        self._services = {service.name: service for service in services}
        self._estate = estate
        self._pause = pause

    def answer(self, request: HttpRequest) -> HttpReply:
        """Answer one request.

        Raises:
            Lost: no answer is to be given.
        """
        request_id = str(uuid.uuid4())
        codec = self._any_codec(request)
        done = "?"
        try:
            service, region = self._addressed(request)
            codec = service.codec(request)
            decoded = codec.decode(request)
            done = f"{service.name}:{decoded.operation}"
            result = treated(
                self._estate.api_behaviour.treatment(service.name, decoded.operation),
                self._pause,
                lambda view: service.operations[decoded.operation](
                    service.place(view(region)), decoded.parameters
                ),
            )
            reply = codec.encode(decoded.operation, result, request_id)
        except ApiError as error:
            _log.info("%s %s refused: %s: %s", request_id, done, error.code, error.message)
            return codec.encode_error(error, request_id)
        except Lost as lost:
            _log.info("%s %s is not answered: %s", request_id, done, lost.loss)
            raise
        except Exception:  # noqa: BLE001 - a bug of ours is answered as AWS answers its own
            _log.exception("%s %s failed", request_id, done)
            failure = ApiError("InternalFailure", f"{done} failed; see the test cluster's log.")
            return codec.encode_error(failure, request_id)
        level = logging.DEBUG if decoded.operation.startswith(_READING) else logging.INFO
        _log.log(level, "%s %s accepted: %s", request_id, done, _presentable(decoded.parameters))
        return reply

    def _addressed(self, request: HttpRequest) -> tuple[Service, Region]:
        """Return the service and the Region that a request was signed for."""
        scope = _SCOPE.search(request.headers.get("authorization", ""))
        if scope is None:
            raise ApiError(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token (any credentials will do, but sign it).",
            )
        service = self._services.get(scope["service"])
        if service is None:
            raise ApiError(
                "SignatureDoesNotMatch",
                "Credential should be scoped to correct service: the test cluster offers "
                f"{', '.join(self._services)}, not '{scope['service']}'.",
            )
        return service, self._estate.region(scope["region"])

    def _any_codec(self, request: HttpRequest) -> Codec:
        """Return what can refuse a request in its own protocol, whatever service it is for."""
        codecs = [codec for service in self._services.values() for codec in service.codecs]
        return next((codec for codec in codecs if codec.speaks(request)), codecs[0])


def _presentable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they may be logged."""
    return {name: "****" if "Password" in name else v for name, v in parameters.items()}
