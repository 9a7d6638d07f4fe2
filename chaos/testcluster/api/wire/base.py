"""What all protocols share: messages, the choice of an operation, limits of values, errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from botocore.loaders import Loader
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)
from botocore.validate import ParamValidator

from chaos.testcluster.records import ApiError

_INTERNAL = 500
# Codes that every service may answer and no model lists; all others are 400.
_COMMON_STATUS = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "MissingAuthenticationToken": 403,
    "OptInRequired": 403,
    "RequestEntityTooLarge": 413,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request as it came; `headers` have lower-case names, `path` has no query string."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """One answer as it goes out."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One decoded request: the operation's name, and its parameters as the model types them."""

    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the model has it: its code, the name of its shape, HTTP status, whose fault."""

    code: str
    name: str
    status: int

    @property
    def is_sender(self) -> bool:
        """Whether the client made a mistake, rather than the service."""
        return self.status < _INTERNAL


class Codec(ABC):
    """Decodes requests and encodes responses of one service in one protocol.

    Args:
        service: botocore's model of it.
        offered: the operations that there are.
    """

    unknown_operation: ClassVar[str]
    """The protocol's own error code for an operation that does not exist."""

    def __init__(self, service: ServiceModel, offered: Sequence[str]) -> None:
        self.service = service
        self._offered = tuple(offered)
        self._faults: dict[str, Fault] = {}
        for shape in service.error_shapes:
            error = shape.metadata.get("error") or {}
            default = _INTERNAL if shape.metadata.get("fault") else 400
            fault = Fault(
                error.get("code", shape.name), shape.name, error.get("httpStatusCode", default)
            )
            self._faults[fault.code] = self._faults[fault.name] = fault

    @abstractmethod
    def speaks(self, request: HttpRequest) -> bool:
        """Tell whether a request is in this protocol."""

    @abstractmethod
    def decode(self, request: HttpRequest) -> Request:
        """Read a request.

        Raises:
            ApiError: it is malformed, the operation unknown or not offered, or a parameter wrong.
        """

    @abstractmethod
    def encode(self, operation: str, result: Mapping[str, Any], request_id: str) -> HttpReply:
        """Write the response of an operation.

        Raises:
            KeyError: `result` has a member that the output does not have (a bug of ours).
        """

    @abstractmethod
    def encode_error(self, error: ApiError, request_id: str) -> HttpReply:
        """Write an error with the HTTP status that the model gives it."""

    def fault(self, code: str) -> Fault:
        """Return what the model says of an error, named by its code or its shape."""
        return self._faults.get(code) or Fault(code, code, _COMMON_STATUS.get(code, 400))

    def operation(self, name: str) -> OperationModel:
        """Return the model of an operation.

        Raises:
            ApiError: the service does not have it, or it is not offered here.
        """
        if name not in self.service.operation_names:
            raise ApiError(
                self.unknown_operation,
                f"Could not find operation {name} for version {self.service.api_version}.",
            )
        if name not in self._offered:
            raise ApiError(
                self.unknown_operation,
                f"The test cluster does not offer {name}. It offers {', '.join(self._offered)}.",
            )
        return self.service.operation_model(name)


def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service, by its name in boto3 (`cloudwatch`)."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def complaints(shape: StructureShape, parameters: Mapping[str, Any]) -> str:
    """Return what the model has against parameters that have its types, or ''."""
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        text: str = report.generate_report()
        return text.replace("\n", "; ")
    return _excess(shape, parameters, "")


def _excess(shape: Shape, value: Any, path: str) -> str:
    """Return what exceeds an enumeration or an upper limit, which botocore does not check."""
    match shape:
        case StructureShape():
            found = (_excess(shape.members[n], v, f"{path}.{n}") for n, v in value.items())
            return next(filter(None, found), "")
        case MapShape():
            found = (_excess(shape.value, v, f"{path}.{n}") for n, v in value.items())
            return next(filter(None, found), "")
        case ListShape():
            limit, size, what = shape.metadata.get("max"), len(value), "length"
            found = (_excess(shape.member, v, f"{path}.{n}") for n, v in enumerate(value, 1))
            inner = next(filter(None, found), "")
        case StringShape() if shape.enum:
            allowed = ", ".join(shape.enum)
            told = f"Value {value!r} for {path[1:]} must be one of {allowed}."
            return "" if value in shape.enum else told
        case StringShape():
            limit, size, what, inner = shape.metadata.get("max"), len(value), "length", ""
        case _:
            limit, size, what, inner = shape.metadata.get("max"), value, "value", ""
    if limit is not None and shape.type_name != "timestamp" and size > limit:
        return f"Invalid {what} for parameter {path[1:]}: {size}, valid max {what}: {limit}"
    return inner
