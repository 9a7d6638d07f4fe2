"""The protocols whose messages carry typed values: AWS JSON 1.0 and 1.1, and Smithy RPC v2 in CBOR.

They differ in where the operation is named, in how bytes become values, and in how instants and
binary data are written; the walk over the model's shapes is one.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import cbor2
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from chaos.testcluster.api.wire.base import Codec, HttpReply, HttpRequest, Request, complaints
from chaos.testcluster.records import ApiError

DEPTH_MAX = 32

_MALFORMED = "SerializationException"
_INTEGERS = frozenset({"integer", "long"})
_FLOATS = frozenset({"float", "double"})
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")  # as JSON has to say them


class TypedCodec(Codec):
    """What JSON and CBOR have in common.

    Args:
        service: botocore's model of it.
        offered: the operations that there are.
        invalid: the service's error code for a parameter that is missing or wrong.
    """

    unknown_operation: ClassVar[str] = "UnknownOperationException"

    def __init__(self, service: ServiceModel, offered: Sequence[str], *, invalid: str) -> None:
        super().__init__(service, offered)
        self._invalid = invalid
        self._prefix: str = service.metadata.get("targetPrefix", "")
        self._is_query_compatible = "awsQueryCompatible" in service.metadata

    def decode(self, request: HttpRequest) -> Request:
        """Read a request.

        Raises:
            ApiError: it is malformed, the operation unknown or not offered, or a parameter wrong.
        """
        operation = self.operation(self._operation_name(request))
        try:
            document = self._document(request)
        except (ValueError, RecursionError) as error:
            raise ApiError(_MALFORMED, f"The request's body cannot be read: {error}.") from error
        shape = operation.input_shape
        if shape is None:
            return Request(operation.name, {})
        parameters = self._value(shape, document, "", 0)
        wrong = complaints(shape, parameters)
        if wrong:
            raise ApiError(self._invalid, wrong)
        return Request(operation.name, parameters)

    def encode(self, operation: str, result: Mapping[str, Any], request_id: str) -> HttpReply:
        """Write the response of an operation.

        Raises:
            KeyError: `result` has a member that the output does not have (a bug of ours).
        """
        shape = self.service.operation_model(operation).output_shape
        plain = {} if shape is None else self._plain(shape, result)
        return self._reply(200, plain, request_id)

    def encode_error(self, error: ApiError, request_id: str) -> HttpReply:
        """Write an error with the HTTP status that the model gives it."""
        fault = self.fault(error.code)
        headers = {}
        if self._is_query_compatible:
            whose = "Sender" if fault.is_sender else "Receiver"
            headers["x-amzn-query-error"] = f"{fault.code};{whose}"
        document = {"__type": f"{self._namespace}#{fault.name}", "message": error.message}
        return self._reply(fault.status, document, request_id, headers)

    @property
    def _namespace(self) -> str:
        return f"com.amazonaws.{self.service.service_name}"

    def _document(self, request: HttpRequest) -> Any:
        """Return what the body says; ValueError if it cannot be read."""
        return self._load(request.body) if request.body else {}

    @abstractmethod
    def _operation_name(self, request: HttpRequest) -> str: ...

    @abstractmethod
    def _load(self, body: bytes) -> Any: ...

    @abstractmethod
    def _reply(
        self,
        status: int,
        document: Mapping[str, Any],
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply: ...

    @abstractmethod
    def _instant(self, value: Any) -> datetime:
        """Read an instant; TypeError, ValueError or OverflowError if it is none."""

    @abstractmethod
    def _plain_leaf(self, shape: Shape, value: Any) -> Any: ...

    def _value(self, shape: Shape, given: Any, path: str, depth: int) -> Any:
        """Read a value of `shape` from what the body's format calls it."""
        if depth > DEPTH_MAX:
            raise ApiError(_MALFORMED, f"{path[1:81]} is nested too deeply.")
        match shape:
            case StructureShape():
                return self._structure(shape, given, path, depth)
            case ListShape() if isinstance(given, list):
                return [
                    self._value(shape.member, item, f"{path}.{number}", depth + 1)
                    for number, item in enumerate(given, 1)
                ]
            case MapShape() if isinstance(given, dict):
                return {
                    self._value(shape.key, key, f"{path}.key", depth + 1): self._value(
                        shape.value, item, f"{path}.{key}", depth + 1
                    )
                    for key, item in given.items()
                }
        try:
            return self._leaf(shape.type_name, given)
        except (TypeError, ValueError, OverflowError, OSError):
            raise ApiError(
                _MALFORMED, f"{path[1:]} must be a {shape.type_name}, not {given!r:.80}."
            ) from None

    def _structure(
        self, shape: StructureShape, given: Any, path: str, depth: int
    ) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise ApiError(_MALFORMED, f"{path[1:] or 'The body'} must be a structure.")
        names = {
            member.serialization.get("name", name): name for name, member in shape.members.items()
        }
        values = {}
        for key, item in given.items():
            name = names.get(key)
            if name is None:
                raise ApiError(
                    self._invalid, f"Unknown parameter {path[1:]}.{key}".rstrip(".") + "."
                )
            if item is not None:
                values[name] = self._value(shape.members[name], item, f"{path}.{name}", depth + 1)
        return values

    def _leaf(self, type_name: str, given: Any) -> Any:
        match type_name:
            case "string" if isinstance(given, str):
                return given
            case "boolean" if isinstance(given, bool):
                return given
            case "timestamp":
                return self._instant(given)
            case "blob":
                return self._blob(given)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise TypeError(type_name)
        if type_name in _INTEGERS and given == int(given):
            return int(given)
        if type_name in _FLOATS:
            return float(given)
        raise ValueError(type_name)

    def _blob(self, given: Any) -> bytes:
        if not isinstance(given, bytes):
            raise TypeError("blob")
        return given

    def _plain(self, shape: Shape, value: Any) -> Any:
        """Return `value` as the body's format has it; a member that is None is left out."""
        match shape:
            case StructureShape():
                plain = {}
                for name, item in value.items():
                    member = shape.members[name]
                    if item is not None:
                        plain[member.serialization.get("name", name)] = self._plain(member, item)
                return plain
            case ListShape():
                return [self._plain(shape.member, item) for item in value]
            case MapShape():
                return {key: self._plain(shape.value, item) for key, item in value.items()}
        return self._plain_leaf(shape, value)


class JsonCodec(TypedCodec):
    """AWS JSON: the operation is in `X-Amz-Target`, instants are seconds since 1970."""

    def speaks(self, request: HttpRequest) -> bool:
        """Tell whether the request names a target in its header."""
        return "x-amz-target" in request.headers

    def _operation_name(self, request: HttpRequest) -> str:
        prefix, _, name = request.headers["x-amz-target"].rpartition(".")
        if prefix != self._prefix:
            raise ApiError(
                self.unknown_operation,
                f"X-Amz-Target must be {self._prefix}.OPERATION, not "
                f"{request.headers['x-amz-target']:.200}.",
            )
        return name

    def _load(self, body: bytes) -> Any:
        return json.loads(body)

    def _leaf(self, type_name: str, given: Any) -> Any:
        if type_name in _FLOATS and given in _NOT_FINITE:
            return float(given)
        return super()._leaf(type_name, given)

    def _instant(self, value: Any) -> datetime:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, UTC)

    def _blob(self, given: Any) -> bytes:
        try:
            return base64.b64decode(given, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error

    def _plain_leaf(self, shape: Shape, value: Any) -> Any:
        if isinstance(value, datetime):
            return round(value.timestamp(), 3)
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if shape.type_name in _FLOATS and not math.isfinite(value):
            return str(value).replace("inf", "Infinity").replace("nan", "NaN")
        return value

    def _reply(
        self,
        status: int,
        document: Mapping[str, Any],
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        return HttpReply(
            status=status,
            content_type=f"application/x-amz-json-{self.service.metadata['jsonVersion']}",
            body=json.dumps(document, allow_nan=False).encode(),
            headers={"x-amzn-RequestId": request_id, **(headers or {})},
        )


class CborCodec(TypedCodec):
    """Smithy RPC v2: the operation is in the path, the body is CBOR (RFC 8949)."""

    def speaks(self, request: HttpRequest) -> bool:
        """Tell whether the request says so in its header."""
        return request.headers.get("smithy-protocol") == "rpc-v2-cbor"

    def _operation_name(self, request: HttpRequest) -> str:
        prefix, _, name = request.path.rpartition("/operation/")
        if not prefix.endswith(f"/service/{self._prefix}"):
            raise ApiError(
                self.unknown_operation,
                f"The path must be /service/{self._prefix}/operation/OPERATION, not "
                f"{request.path:.200}.",
            )
        return name

    def _load(self, body: bytes) -> Any:
        try:
            return cbor2.loads(body)
        except cbor2.CBORDecodeError as error:
            raise ValueError(str(error)) from error

    def _instant(self, value: Any) -> datetime:
        if isinstance(value, datetime):  # The format itself has them.
            return value.astimezone(UTC)
        raise TypeError("timestamp")

    def _plain_leaf(self, shape: Shape, value: Any) -> Any:  # noqa: ARG002 - CBOR types itself
        return value

    def _reply(
        self,
        status: int,
        document: Mapping[str, Any],
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        return HttpReply(
            status=status,
            content_type="application/cbor",
            body=cbor2.dumps(document, datetime_as_timestamp=True),
            headers={
                "smithy-protocol": "rpc-v2-cbor",
                "x-amzn-RequestId": request_id,
                **(headers or {}),
            },
        )
