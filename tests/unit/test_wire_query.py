"""Query: whatever botocore can send is understood, and botocore reads whatever is answered."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapes import TEXT, values, without_empty_structures

from chaos.testcluster.api.wire import HttpReply, HttpRequest, QueryCodec, Request
from chaos.testcluster.records import ApiError

RDS = ServiceModel(Loader().load_service_model("rds", "service-2"), "rds")
CODEC = QueryCodec(RDS, RDS.operation_names)
VERSION = "2014-10-31"


def decoded(form: str, codec: QueryCodec = CODEC) -> Request:
    return codec.decode(HttpRequest(path="/", headers={}, body=form.encode()))


def parsed(reply: HttpReply, shape: Shape | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = create_parser("query").parse(
        {"status_code": reply.status, "headers": reply.headers, "body": reply.body}, shape
    )
    return answer


OPERATIONS = st.sampled_from(RDS.operation_names).map(RDS.operation_model)
THOROUGH = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@THOROUGH
@given(st.data())
def test_every_request_botocore_can_send_is_understood(data: st.DataObject) -> None:
    operation: OperationModel = data.draw(OPERATIONS)
    sent = without_empty_structures(data.draw(values(operation.input_shape)))
    request = create_serializer("query").serialize_to_request(sent, operation)
    got = decoded(urlencode(request["body"]))
    assert got.operation == operation.name
    assert got.parameters == sent


@THOROUGH
@given(st.data())
def test_every_response_is_read_back_by_botocore(data: st.DataObject) -> None:
    operation: OperationModel = data.draw(OPERATIONS)
    answer = data.draw(values(operation.output_shape)) if operation.output_shape else {}
    got = parsed(CODEC.encode(operation.name, answer, "request-1"), operation.output_shape)
    assert got.pop("ResponseMetadata")["RequestId"] == "request-1"
    assert got == answer


@pytest.mark.parametrize("shape", RDS.error_shapes, ids=lambda shape: shape.name)
def test_every_modelled_error_has_its_code_and_status(shape: Shape) -> None:
    error = shape.metadata["error"]
    for code in (shape.name, error["code"]):
        reply = CODEC.encode_error(ApiError(code, "why & <how>"), "request-2")
        got = parsed(reply)
        assert reply.status == error["httpStatusCode"]
        assert got["Error"] == {
            "Code": error["code"],
            "Message": "why & <how>",
            "Type": "Sender",
        }
        assert got["ResponseMetadata"]["RequestId"] == "request-2"


@pytest.mark.parametrize(
    ("form", "code", "says"),
    [
        ("", "MissingAction", "Action"),
        ("%%%", "MalformedQueryString", "not a form"),
        ("DBClusterIdentifier=a", "MissingAction", "Action"),
        ("Action=Explode", "InvalidAction", "Explode"),
        ("Action=DescribeDBClusters&Version=2010-01-01", "InvalidAction", "2010-01-01"),
        ("Action=FailoverDBCluster", "MissingParameter", "DBClusterIdentifier"),
        ("Action=DescribeDBClusters&Colour=red", "ValidationError", "Colour"),
        ("Action=DescribeDBClusters&MaxRecords=many", "InvalidParameterValue", "MaxRecords"),
        ("Action=DescribeDBClusters&IncludeShared=2", "InvalidParameterValue", "IncludeShared"),
        ("Action=DescribeEvents&StartTime=yesterday", "InvalidParameterValue", "StartTime"),
        ("Action=DescribeEvents&SourceType=db-toaster", "InvalidParameterValue", "db-cluster"),
        ("Action=DescribeEvents&Filters=x", "InvalidParameterValue", "Filters"),
        ("Action=DescribeEvents&Filters.Filter.x.Name=y", "InvalidParameterValue", "numbered"),
        ("Action=DescribeEvents&Filters.Filter.1=y", "InvalidParameterValue", "structure"),
        ("Action=DescribeEvents&Filters.Filter.1.Name=y", "MissingParameter", "Values"),
        ("Action=DescribeEvents&Filters.Wrong.1.Name=y", "InvalidParameterValue", "Filters.Filter"),
        ("Action=DescribeDBClusters&Marker.a=1", "InvalidParameterValue", "Marker"),
        ("Action=DescribeDBClusters&Marker=1&Marker=2", "MalformedQueryString", "twice"),
        ("Action=DescribeDBClusters&Marker=1&Marker.a=2", "MalformedQueryString", "two ways"),
        ("Action=DescribeDBClusters&Marker.a=1&Marker=2", "MalformedQueryString", "twice"),
        ("Action=DescribeDBClusters&" + ".".join("a" * 40) + "=1", "MalformedQueryString", "deep"),
        ("&".join(f"a{n}=1" for n in range(3000)), "MalformedQueryString", "not a form"),
    ],
)
def test_a_wrong_request_is_refused_by_name(form: str, code: str, says: str) -> None:
    with pytest.raises(ApiError, match=says) as refused:
        decoded(form)
    assert refused.value.code == code


def test_the_generic_list_name_is_understood_too() -> None:
    form = "Action=DescribeEvents&EventCategories.member.1=failover"
    assert decoded(form).parameters == {"EventCategories": ["failover"]}


def test_an_instant_without_a_zone_is_in_utc() -> None:
    got = decoded("Action=DescribeEvents&StartTime=2026-11-21T20:00:00")
    assert got.parameters == {"StartTime": datetime(2026, 11, 21, 20, tzinfo=UTC)}


WORDS = st.sampled_from(
    ["Filters", "Filter", "1", "2", "Name", "Values", "Value", "member", "", "Tags", "Marker", "x"]
)
FORMS = st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=6).map(".".join), TEXT), max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RDS.operation_names), FORMS)
def test_no_form_does_worse_than_being_refused(action: str, form: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ApiError):
        assert decoded(urlencode([("Action", action), *form])).operation == action


def test_list_items_keep_their_numeric_order() -> None:
    keys = "&".join(f"EventCategories.EventCategory.{n}=c{n}" for n in (10, 2, 1))
    got = decoded(f"Action=DescribeEvents&{keys}")
    assert got.parameters["EventCategories"] == ["c1", "c2", "c10"]


def test_what_is_not_offered_is_named_with_what_is() -> None:
    codec = QueryCodec(RDS, ("DescribeDBClusters",))
    with pytest.raises(ApiError, match=r"not offer StopDBCluster\. It offers DescribeDBClusters"):
        decoded("Action=StopDBCluster&DBClusterIdentifier=a", codec)


def test_characters_that_xml_forbids_cannot_break_a_response() -> None:
    got = parsed(CODEC.encode_error(ApiError("InvalidAction", "bell \x07 null \x00"), "r"))
    assert got["Error"]["Message"] == "bell ? null ?"


def test_a_member_that_the_model_does_not_know_is_our_bug() -> None:
    with pytest.raises(KeyError, match="Colour"):
        CODEC.encode("DescribeDBClusters", {"Colour": "red"}, "r")


def test_flattened_lists_and_renamed_members_follow_the_model() -> None:
    """RDS has neither, CloudWatch and SQS do: the codec is of the protocol, not of RDS."""
    model = {
        "metadata": {"apiVersion": VERSION, "xmlNamespace": "urn:x", "protocol": "query"},
        "operations": {
            "Op": {
                "name": "Op",
                "http": {"method": "POST", "requestUri": "/"},
                "input": {"shape": "In"},
                "output": {"shape": "In", "resultWrapper": "OpResult"},
            }
        },
        "shapes": {
            "In": {"type": "structure", "members": {"Items": {"shape": "List"}, "Plain": {
                "shape": "Text", "locationName": "renamed"}}},
            "List": {"type": "list", "flattened": True, "member": {
                "shape": "Text", "locationName": "Item"}},
            "Text": {"type": "string"},
        },
    }  # fmt: skip
    service = ServiceModel(model, "flat")
    codec = QueryCodec(service, ("Op",))
    sent = {"Items": ["a", "b"], "Plain": "c"}
    operation = service.operation_model("Op")
    request = create_serializer("query").serialize_to_request(sent, operation)
    assert decoded(urlencode(request["body"]), codec).parameters == sent
    got = parsed(codec.encode("Op", sent, "r"), operation.output_shape)
    assert {name: got[name] for name in sent} == sent
