"""AWS's Query protocol, both ways, from a service's own model.

A request is a form whose keys are paths (`Filters.Filter.1.Name`); a response is XML shaped by the
operation's output. All knowledge of names, types and errors is botocore's, so whatever its clients
can send is understood and whatever is answered they can read (tests hold this to botocore's own
serializer and parser).

Unknown parameters are refused: silence about a misspelt one would be a fault nobody planned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

from botocore.loaders import Loader
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

from chaos.testcluster.records import ApiError

PARAMETERS_MAX = 2000
DEPTH_MAX = 12

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENVELOPE = frozenset({"Action", "Version"})
# Codes that every Query service may answer and no model lists; all others are 400.
_COMMON_STATUS = {
    "InternalFailure": 500,
    "MissingAuthenticationToken": 403,
    "OptInRequired": 403,
    "RequestEntityTooLarge": 413,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "UnrecognizedClientException": 403,
}

_Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One decoded request: the operation's name, and its parameters as the model types them."""

    operation: str
    parameters: Mapping[str, Any]


class QueryCodec:
    """Decodes requests and encodes responses of one service."""

    def __init__(self, service: ServiceModel, offered: Sequence[str]) -> None:
        """Take a service's model and the operations that are offered of it."""
        self._service = service
        self._offered = tuple(offered)
        self._namespace: str = service.metadata["xmlNamespace"]
        self._version: str = service.api_version
        self._statuses: dict[str, tuple[str, int]] = {}
        for shape in service.error_shapes:
            error = shape.metadata["error"]
            known = (error.get("code", shape.name), error["httpStatusCode"])
            self._statuses[known[0]] = self._statuses[shape.name] = known

    @classmethod
    def of(cls, service: str, offered: Sequence[str]) -> QueryCodec:
        """Load the model of `service` (`rds`) from botocore."""
        return cls(
            ServiceModel(Loader().load_service_model(service, "service-2"), service), offered
        )

    def decode(self, form: str) -> Request:
        """Read an URL-encoded form.

        Raises:
            ApiError: it is malformed, the action unknown or not offered, or a parameter is wrong.
        """
        try:
            pairs = parse_qsl(
                form,
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
        report = ParamValidator().validate(parameters, operation.input_shape)
        if report.has_errors():
            raise ApiError("InvalidParameterValue", report.generate_report().replace("\n", "; "))
        return Request(operation.name, parameters)

    def encode(self, operation: str, result: Mapping[str, Any], request_id: str) -> bytes:
        """Write the response of an operation.

        Raises:
            KeyError: `result` has a member that the output does not have (a bug of ours).
        """
        root = ET.Element(f"{operation}Response", xmlns=self._namespace)
        shape = self._service.operation_model(operation).output_shape
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper")
            _append(ET.SubElement(root, wrapper) if wrapper else root, shape, result)
        metadata = ET.SubElement(root, "ResponseMetadata")
        ET.SubElement(metadata, "RequestId").text = request_id
        return _document(root)

    def encode_error(self, error: ApiError, request_id: str) -> tuple[int, bytes]:
        """Return the HTTP status and the body that the model gives an error."""
        code, status = self._statuses.get(
            error.code, (error.code, _COMMON_STATUS.get(error.code, 400))
        )
        root = ET.Element("ErrorResponse", xmlns=self._namespace)
        detail = ET.SubElement(root, "Error")
        ET.SubElement(detail, "Type").text = "Sender" if status < 500 else "Receiver"  # noqa: PLR2004
        ET.SubElement(detail, "Code").text = code
        ET.SubElement(detail, "Message").text = _NOT_XML.sub("?", error.message)
        ET.SubElement(root, "RequestId").text = request_id
        return status, _document(root)

    def _operation(self, envelope: Mapping[str, str]) -> OperationModel:
        name = envelope.get("Action")
        if not name:
            raise ApiError("MissingAction", "The request must contain the parameter Action.")
        version = envelope.get("Version", self._version)
        if version != self._version or name not in self._service.operation_names:
            raise ApiError(
                "InvalidAction", f"Could not find operation {name} for version {version}."
            )
        if name not in self._offered:
            raise ApiError(
                "InvalidAction",
                f"The test cluster does not offer {name}. It offers {', '.join(self._offered)}.",
            )
        return self._service.operation_model(name)


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
    allowed = getattr(shape, "enum", ())
    if allowed and value not in allowed:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value {node!r} for the parameter {path}: it must be one of "
            f"{', '.join(allowed)}.",
        )
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


def _append(parent: ET.Element, shape: Shape, value: Any) -> None:
    """Write `value` as the content of `parent`."""
    if isinstance(shape, StructureShape):
        for name, member_value in value.items():
            member = shape.members[name]
            if member_value is None:
                continue
            if _is_flat(member):
                for item in member_value:
                    _append(ET.SubElement(parent, _flat_name(member, name)), member.member, item)
            else:
                _append(ET.SubElement(parent, _wire_name(member, name)), member, member_value)
    elif isinstance(shape, ListShape):
        for item in value:
            _append(ET.SubElement(parent, _wire_name(shape.member, "member")), shape.member, item)
    else:
        parent.text = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _NOT_XML.sub("?", str(value))


def _is_flat(shape: Shape) -> TypeGuard[ListShape]:
    return isinstance(shape, ListShape) and bool(shape.serialization.get("flattened"))


def _flat_name(shape: ListShape, name: str) -> str:
    return _wire_name(shape.member, _wire_name(shape, name))


def _wire_name(shape: Shape, name: str) -> str:
    wire: str = shape.serialization.get("name", name)
    return wire


def _document(root: ET.Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
