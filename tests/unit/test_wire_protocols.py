"""Every service in every protocol it has: botocore's clients are understood, and understand."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapes import values, without_empty_structures

from chaos.testcluster.api.services import Service, offered_services
from chaos.testcluster.api.wire import (
    CborCodec,
    Codec,
    HttpReply,
    HttpRequest,
    JsonCodec,
    QueryCodec,
    RestJsonCodec,
    service_model,
)
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.testcluster.records import ApiError

NAMES = {
    QueryCodec: "query",
    JsonCodec: "json",
    CborCodec: "smithy-rpc-v2-cbor",
    RestJsonCodec: "rest-json",
}
SERVICES = {service.name: service for service in offered_services(Telemetry().monitoring)}
SPOKEN = [(service, codec) for service in SERVICES.values() for codec in service.codecs]
EVERY = pytest.mark.parametrize(
    ("service", "codec"), SPOKEN, ids=lambda v: v.name if isinstance(v, Service) else NAMES[type(v)]
)
BESIDE_RDS = pytest.mark.parametrize(  # test_wire_query.py takes all operations of RDS
    ("service", "codec"),
    [pair for pair in SPOKEN if pair[0].name != "rds"],
    ids=lambda v: v.name if isinstance(v, Service) else NAMES[type(v)],
)
THOROUGH = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def sent(codec: Codec, operation: OperationModel, parameters: Mapping[str, Any]) -> HttpRequest:
    """What a botocore client would send that does not validate."""
    serializer = create_serializer(NAMES[type(codec)], include_validation=False)
    request = serializer.serialize_to_request(parameters, operation)
    body = request["body"]
    return HttpRequest(
        path=request["url_path"],
        headers={name.lower(): value for name, value in request["headers"].items()},
        body=urlencode(body).encode() if isinstance(body, dict) else body,
        method=request["method"],
    )


def received(codec: Codec, reply: HttpReply, shape: Shape | None) -> dict[str, Any]:
    """What a botocore client would make of an answer."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    answer: dict[str, Any] = create_parser(NAMES[type(codec)]).parse(
        {"status_code": reply.status, "headers": headers, "body": reply.body}, shape
    )
    return answer


def test_each_service_speaks_what_botocore_knows_of_it() -> None:
    for service in SERVICES.values():
        model = service.codecs[0].service
        assert {NAMES[type(codec)] for codec in service.codecs} == set(model.metadata["protocols"])


@BESIDE_RDS
@THOROUGH
@given(data=st.data())
def test_every_request_botocore_can_send_is_understood(
    service: Service, codec: Codec, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(service.operations)))
    operation = codec.service.operation_model(name)
    parameters = data.draw(values(operation.input_shape)) if operation.input_shape else {}
    if isinstance(codec, QueryCodec):
        parameters = without_empty_structures(parameters)
    request = sent(codec, operation, parameters)
    assert service.codec(request) is codec
    decoded = codec.decode(request)
    assert decoded.operation == name
    assert decoded.parameters == parameters


@BESIDE_RDS
@THOROUGH
@given(data=st.data())
def test_every_response_is_read_back_by_botocore(
    service: Service, codec: Codec, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(service.operations)))
    shape = codec.service.operation_model(name).output_shape
    answer = data.draw(values(shape)) if shape else {}
    got = received(codec, codec.encode(name, answer, "request-1"), shape)
    metadata = got.pop("ResponseMetadata", None)
    if shape is not None or isinstance(codec, QueryCodec):
        assert metadata["RequestId"] == "request-1"
    assert got == answer


@EVERY
def test_every_modelled_error_has_its_code_and_status(service: Service, codec: Codec) -> None:
    for shape in codec.service.error_shapes:
        error = shape.metadata.get("error") or {}
        code = error.get("code", shape.name)
        for name in (shape.name, code):
            reply = codec.encode_error(ApiError(name, "why & <how>"), "request-2")
            got = received(codec, reply, None)
            assert (got["Error"]["Code"], got["Error"]["Message"]) == (code, "why & <how>")
            assert got["ResponseMetadata"]["RequestId"] == "request-2"
            assert reply.status == error.get(
                "httpStatusCode", 500 if shape.metadata.get("fault") else 400
            )


@EVERY
def test_what_is_not_offered_is_named_with_what_is(service: Service, codec: Codec) -> None:
    missing = next(n for n in codec.service.operation_names if n not in service.operations)
    with pytest.raises(ApiError, match=f"does not offer {missing}") as refused:
        codec.decode(sent(codec, codec.service.operation_model(missing), {}))
    assert refused.value.code == codec.unknown_operation
    assert min(service.operations) in refused.value.message


CLOUDWATCH = service_model("cloudwatch")
TYPED = [
    JsonCodec(CLOUDWATCH, CLOUDWATCH.operation_names, invalid="ValidationError"),
    CborCodec(CLOUDWATCH, CLOUDWATCH.operation_names, invalid="ValidationError"),
]
BOTH = pytest.mark.parametrize("codec", TYPED, ids=["json", "cbor"])


def typed(codec: Codec, operation: str, document: object) -> HttpRequest:
    if isinstance(codec, JsonCodec):
        headers = {"x-amz-target": f"GraniteServiceVersion20100801.{operation}"}
        return HttpRequest(path="/", headers=headers, body=json.dumps(document).encode())
    return HttpRequest(
        path=f"/service/GraniteServiceVersion20100801/operation/{operation}",
        headers={"smithy-protocol": "rpc-v2-cbor"},
        body=cbor2.dumps(document),
    )


METRIC = {"Namespace": "A", "MetricName": "b"}


@BOTH
@pytest.mark.parametrize(
    ("operation", "document", "code", "says"),
    [
        ("Explode", {}, "UnknownOperationException", "Explode"),
        ("ListMetrics", [], "SerializationException", "body must be a structure"),
        ("ListMetrics", {"Colour": "red"}, "ValidationError", "Colour"),
        ("ListMetrics", {"Namespace": 5}, "SerializationException", "Namespace must be a string"),
        ("ListMetrics", {"Dimensions": "x"}, "SerializationException", "Dimensions must be a list"),
        ("ListMetrics", {"IncludeLinkedAccounts": 1}, "SerializationException", "boolean"),
        ("ListMetrics", {"RecentlyActive": "PT9H"}, "ValidationError", "RecentlyActive"),
        ("ListMetrics", {"Dimensions": [{}]}, "ValidationError", "Name"),
        ("ListMetrics", {"Dimensions": [{"Name": "n"}] * 11}, "ValidationError", "length"),
        ("DeleteAlarms", {}, "ValidationError", "AlarmNames"),
        ("DescribeAlarms", {"MaxRecords": 1.5}, "SerializationException", "MaxRecords"),
        ("DescribeAlarms", {"MaxRecords": True}, "SerializationException", "MaxRecords"),
        ("DescribeAlarms", {"MaxRecords": 101}, "ValidationError", "valid max value: 100"),
        ("DescribeAlarms", {"AlarmNamePrefix": "p" * 256}, "ValidationError", "valid max length"),
        ("GetMetricStatistics", {**METRIC, "StartTime": "noon"}, "SerializationException", "Start"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    codec: Codec, operation: str, document: object, code: str, says: str
) -> None:
    with pytest.raises(ApiError, match=says) as refused:
        codec.decode(typed(codec, operation, document))
    assert refused.value.code == code


def test_a_json_instant_may_be_a_date() -> None:
    document = {"StartDate": "2026-11-21T20:00:00Z", "EndDate": 1795291200.5}
    decoded = TYPED[0].decode(typed(TYPED[0], "DescribeAlarmHistory", document))
    assert decoded.parameters == {
        "StartDate": datetime(2026, 11, 21, 20, tzinfo=UTC),
        "EndDate": datetime.fromtimestamp(1795291200.5, UTC),
    }


@BOTH
def test_no_body_is_no_parameters(codec: Codec) -> None:
    request = typed(codec, "ListMetrics", {})
    empty = HttpRequest(path=request.path, headers=request.headers, body=b"")
    assert codec.decode(empty).parameters == {}


@BOTH
@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=60) | st.just(b"[" * 10_000) | st.just(b"\x81" * 10_000))
def test_no_body_does_worse_than_being_refused(codec: Codec, body: bytes) -> None:
    request = typed(codec, "ListMetrics", {})
    with contextlib.suppress(ApiError):
        codec.decode(HttpRequest(path=request.path, headers=request.headers, body=body))


@BOTH
def test_a_member_that_the_model_does_not_know_is_our_bug(codec: Codec) -> None:
    with pytest.raises(KeyError, match="Colour"):
        codec.encode("ListMetrics", {"Colour": None}, "r")


def test_a_protocol_that_a_service_has_not_got_is_answered_in_its_first() -> None:
    rds = SERVICES["rds"]
    assert rds.codec(typed(TYPED[1], "ListMetrics", {})) is rds.codecs[0]
