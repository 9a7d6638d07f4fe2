"""AWS's Query protocol: a form whose keys are paths (`Filters.Filter.1.Name`), answered in XML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeGuard
from urllib.parse import parse_qsl

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp

from chaos.testcluster.api.wire.base import Codec, HttpReply, HttpRequest, Request, complaints
from chaos.testcluster.records import ApiError

PARAMETERS_MAX = 2000
DEPTH_MAX = 12

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A carriage return that is not escaped reaches the reader as a line feed.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ENVELOPE = frozenset({"Action", "Version"})

_Tree = dict[str, Any]


class QueryCodec(Codec):
    """Query, of one service."""

    unknown_operation: ClassVar[str] = "InvalidAction"

    def __init__(self, service: ServiceModel, offered: Sequence[str]) -> None:
        super().__init__(service, offered)
        self._namespace: str = service.metadata["xmlNamespace"]
        self._version: str = service.api_version

    def speaks(self, request: HttpRequest) -> bool:
        """Tell whether it is a form, which is also what a request without a type is."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind in {"", "application/x-www-form-urlencoded"}

    def decode(self, request: HttpRequest) -> Request:
        """Read an URL-encoded form.

        Raises:
            ApiError: it is malformed, the action unknown or not offered, or a parameter is wrong.
        """
        try:
            pairs = parse_qsl(
                request.body.decode(),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=PARAMETERS_MAX,
            )
        except ValueError as error:
            raise ApiError(
                "MalformedQueryString", f"The request is not a form: {error}."
            ) from error
        envelope = {key: value for key, value in pairs if key in _ENVELOPE}
        operation = self._operation(envelope)
        tree = _tree((key, value) for key, value in pairs if key not in _ENVELOPE)
        if operation.input_shape is None:
            return Request(operation.name, {})
        parameters = _value(operation.input_shape, tree, "")
        wrong = complaints(operation.input_shape, parameters)
        if wrong:
            raise ApiError("InvalidParameterValue", wrong)
        return Request(operation.name, parameters)

    def encode(self, operation: str, result: Mapping[str, Any], request_id: str) -> HttpReply:
        """Write the response of an operation.

        Raises:
            KeyError: `result` has a member that the output does not have (a bug of ours).
        """
        out = [f'<{operation}Response xmlns="{self._namespace}">']
        shape = self.service.operation_model(operation).output_shape
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper")
            _write(out, wrapper, shape, result) if wrapper else _write_members(out, shape, result)
        metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        out.append(f"{metadata}</{operation}Response>")
        return _reply(200, "".join(out), request_id)

    def encode_error(self, error: ApiError, request_id: str) -> HttpReply:
        """Write an error with the HTTP status that the model gives it."""
        fault = self.fault(error.code)
        document = (
            f'<ErrorResponse xmlns="{self._namespace}"><Error>'
            f"<Type>{'Sender' if fault.is_sender else 'Receiver'}</Type>"
            f"<Code>{_text(fault.code)}</Code><Message>{_text(error.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return _reply(fault.status, document, request_id)

    def _operation(self, envelope: Mapping[str, str]) -> OperationModel:
        name = envelope.get("Action")
        if not name:
            raise ApiError("MissingAction", "The request must contain the parameter Action.")
        version = envelope.get("Version", self._version)
        if version != self._version:
            raise ApiError(
                "InvalidAction", f"Could not find operation {name} for version {version}."
            )
        return self.operation(name)


def _tree(pairs: Any) -> _Tree:
    """Turn `A.B.1=x` into `{"A": {"B": {"1": "x"}}}`."""
    root: _Tree = {}
    for key, value in pairs:
        *path, last = key.split(".")
        if len(path) >= DEPTH_MAX:
            raise ApiError("MalformedQueryString", f"The parameter {key:.80} is nested too deeply.")
        node = root
        for part in path:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                raise ApiError("MalformedQueryString", f"The parameter {key} is given two ways.")
            node = below
        if last in node:
            raise ApiError("MalformedQueryString", f"The parameter {key} is given twice.")
        node[last] = value
    return root


def _value(shape: Shape, node: _Tree | str, path: str) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, node, path)
    if isinstance(shape, ListShape):
        return _list(shape, node, path)
    if isinstance(shape, MapShape):
        return _map(shape, node, path)
    if not isinstance(node, str):
        raise ApiError(
            "InvalidParameterValue", f"The parameter {path} must be a {shape.type_name}."
        )
    try:
        value = _scalar(shape.type_name, node)
    except (KeyError, ValueError, OverflowError):
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value {node!r} for the parameter {path}: it must be a {shape.type_name}.",
        ) from None
    return value


def _structure(shape: StructureShape, node: _Tree | str, path: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise ApiError("InvalidParameterValue", f"The parameter {path} must be a structure.")
    values: dict[str, Any] = {}
    left = dict(node)
    for name, member in shape.members.items():
        key = _flat_name(member, name) if _is_flat(member) else _wire_name(member, name)
        if key in left:
            values[name] = _value(member, left.pop(key), f"{path}.{key}" if path else key)
        elif name in shape.required_members:
            raise ApiError(
                "MissingParameter",
                f"The request must contain the parameter {path}{'.' if path else ''}{key}.",
            )
    if left:
        unknown = f"{path}.{next(iter(left))}" if path else next(iter(left))
        raise ApiError("ValidationError", f"Unknown parameter {unknown}.")
    return values


def _list(shape: ListShape, node: _Tree | str, path: str) -> list[Any]:
    if node == "":
        return []
    if not isinstance(node, dict):
        raise ApiError("InvalidParameterValue", f"The parameter {path} must be a list.")
    items = node
    if not _is_flat(shape):
        name = _wire_name(shape.member, "member")
        # AWS reads the generic name too, which older and hand-written clients send.
        key = name if name in node else "member"
        if set(node) != {key} or not isinstance(node[key], dict):
            raise ApiError(
                "InvalidParameterValue", f"The parameter {path} must be given as {path}.{name}.1."
            )
        items = node[key]
    if not all(index.isascii() and index.isdigit() for index in items):
        raise ApiError("InvalidParameterValue", f"The items of {path} must be numbered.")
    return [
        _value(shape.member, items[index], f"{path}.{index}") for index in sorted(items, key=int)
    ]


def _map(shape: MapShape, node: _Tree | str, path: str) -> dict[str, Any]:
    """Read `path.entry.1.key` and `path.entry.1.value`."""
    if not isinstance(node, dict):
        raise ApiError("InvalidParameterValue", f"The parameter {path} must be a map.")
    entries = node if shape.serialization.get("flattened") else node.get("entry", {})
    key, value = _wire_name(shape.key, "key"), _wire_name(shape.value, "value")
    try:
        return {
            _value(shape.key, entry[key], f"{path}.{n}.{key}"): _value(
                shape.value, entry[value], f"{path}.{n}.{value}"
            )
            for n, entry in entries.items()
        }
    except (AttributeError, KeyError, TypeError):
        raise ApiError(
            "InvalidParameterValue",
            f"The parameter {path} must be given as {path}.entry.1.{key} and .{value}.",
        ) from None


def _scalar(type_name: str, text: str) -> Any:
    match type_name:
        case "string":
            return text
        case "integer" | "long":
            return int(text)
        case "float" | "double":
            return float(text)
        case "boolean":
            return {"true": True, "false": False}[text.lower()]
        case "timestamp":
            at = parse_timestamp(text)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    raise AssertionError(f"the service model has a {type_name}, which this codec does not know")


# Strings rather than a tree of elements: descriptions are the bulk of what clients ask for, and
# writing them is the bulk of answering.


def _write(out: list[str], name: str, shape: Shape, value: Any) -> None:
    """Append the element `name` with `value` in it."""
    out.append(f"<{name}>")
    if isinstance(shape, StructureShape):
        _write_members(out, shape, value)
    elif isinstance(shape, ListShape):
        item_name = _wire_name(shape.member, "member")
        for item in value:
            _write(out, item_name, shape.member, item)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            out.append("<entry>")
            _write(out, _wire_name(shape.key, "key"), shape.key, key)
            _write(out, _wire_name(shape.value, "value"), shape.value, item)
            out.append("</entry>")
    else:
        out.append(_text(value))
    out.append(f"</{name}>")


def _write_members(out: list[str], shape: StructureShape, value: Mapping[str, Any]) -> None:
    members = shape.members
    for name, item in value.items():
        member = members[name]
        if item is None:
            continue
        if _is_flat(member):
            flat_name = _flat_name(member, name)
            for each in item:
                _write(out, flat_name, member.member, each)
        else:
            _write(out, _wire_name(member, name), member, item)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _NOT_XML.sub("?", str(value)).translate(_ESCAPED)


def _is_flat(shape: Shape) -> TypeGuard[ListShape]:
    return isinstance(shape, ListShape) and bool(shape.serialization.get("flattened"))


def _flat_name(shape: ListShape, name: str) -> str:
    return _wire_name(shape.member, _wire_name(shape, name))


def _wire_name(shape: Shape, name: str) -> str:
    wire: str = shape.serialization.get("name", name)
    return wire


def _reply(status: int, document: str, request_id: str) -> HttpReply:
    return HttpReply(
        status=status,
        content_type="text/xml",
        body=f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode(),
        headers={"x-amzn-RequestId": request_id},
    )
