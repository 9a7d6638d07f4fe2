"""The codec understands whatever botocore can send, and botocore reads whatever it writes."""

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

from chaos.testcluster.api.codec import QueryCodec
from chaos.testcluster.records import ApiError

RDS = ServiceModel(Loader().load_service_model("rds", "service-2"), "rds")
CODEC = QueryCodec(RDS, RDS.operation_names)
VERSION = "2014-10-31"
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=8)
WHEN = st.integers(0, 2**42).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
DEPTH_MAX = 4


def values(  # noqa: PLR0911 - one per type
    shape: Shape, depth: int = 0
) -> st.SearchStrategy[Any]:
    """Values of a shape; a list may be empty, a structure has its required members and another."""
    match shape.type_name:
        case "structure":
            members = {
                name: values(member, depth + 1)
                for name, member in shape.members.items()
                if member.type_name != "map" and (depth < DEPTH_MAX or not _is_nested(member))
            }
            required = {name: members.pop(name) for name in shape.required_members}
            some = (
                st.lists(st.sampled_from(sorted(members)), max_size=5) if members else st.just([])
            )
            return some.flatmap(
                lambda names: st.fixed_dictionaries(
                    {**required, **{name: members[name] for name in names}}
                )
            )
        case "list":
            return st.lists(
                values(shape.member, depth + 1).filter(lambda item: item != {}), max_size=3
            )
        case "string":
            enum = getattr(shape, "enum", ())
            if enum:
                return st.sampled_from(enum)
            return TEXT.filter(lambda text: len(text) >= shape.metadata.get("min", 0))
        case "integer" | "long":
            return st.integers(shape.metadata.get("min", -(2**31)), 2**31)
        case "boolean":
            return st.booleans()
        case "double" | "float":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "timestamp":
            return WHEN
    raise AssertionError(shape.type_name)


def _is_nested(shape: Shape) -> bool:
    return shape.type_name in {"structure", "list"}


def _without_empty_structures(value: Any) -> Any:
    """The protocol cannot say an empty structure, so botocore leaves it out."""
    if isinstance(value, dict):
        kept = {name: _without_empty_structures(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item != {}}
    if isinstance(value, list):
        return [_without_empty_structures(item) for item in value]
    return value


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
    sent = _without_empty_structures(data.draw(values(operation.input_shape)))
    request = create_serializer("query").serialize_to_request(sent, operation)
    decoded = CODEC.decode(urlencode(request["body"]))
    assert decoded.operation == operation.name
    assert decoded.parameters == sent


@THOROUGH
@given(st.data())
def test_every_response_is_read_back_by_botocore(data: st.DataObject) -> None:
    operation: OperationModel = data.draw(OPERATIONS)
    answer = data.draw(values(operation.output_shape)) if operation.output_shape else {}
    body = CODEC.encode(operation.name, answer, "request-1")
    parsed = create_parser("query").parse(
        {"status_code": 200, "headers": {}, "body": body}, operation.output_shape
    )
    assert parsed.pop("ResponseMetadata")["RequestId"] == "request-1"
    assert parsed == answer


@pytest.mark.parametrize("shape", RDS.error_shapes, ids=lambda shape: shape.name)
def test_every_modelled_error_has_its_code_and_status(shape: Shape) -> None:
    error = shape.metadata["error"]
    for code in (shape.name, error["code"]):
        status, body = CODEC.encode_error(ApiError(code, "why & <how>"), "request-2")
        parsed = create_parser("query").parse(
            {"status_code": status, "headers": {}, "body": body}, None
        )
        assert status == error["httpStatusCode"]
        assert parsed["Error"] == {
            "Code": error["code"],
            "Message": "why & <how>",
            "Type": "Sender",
        }
        assert parsed["ResponseMetadata"]["RequestId"] == "request-2"


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
        CODEC.decode(form)
    assert refused.value.code == code


def test_the_generic_list_name_is_understood_too() -> None:
    form = "Action=DescribeEvents&EventCategories.member.1=failover"
    assert CODEC.decode(form).parameters == {"EventCategories": ["failover"]}


def test_an_instant_without_a_zone_is_in_utc() -> None:
    decoded = CODEC.decode("Action=DescribeEvents&StartTime=2026-11-21T20:00:00")
    assert decoded.parameters == {"StartTime": datetime(2026, 11, 21, 20, tzinfo=UTC)}


WORDS = st.sampled_from(
    ["Filters", "Filter", "1", "2", "Name", "Values", "Value", "member", "", "Tags", "Marker", "x"]
)
FORMS = st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=6).map(".".join), TEXT), max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RDS.operation_names), FORMS)
def test_no_form_does_worse_than_being_refused(action: str, form: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ApiError):
        assert CODEC.decode(urlencode([("Action", action), *form])).operation == action


def test_list_items_keep_their_numeric_order() -> None:
    keys = "&".join(f"EventCategories.EventCategory.{n}=c{n}" for n in (10, 2, 1))
    decoded = CODEC.decode(f"Action=DescribeEvents&{keys}")
    assert decoded.parameters["EventCategories"] == ["c1", "c2", "c10"]


def test_what_is_not_offered_is_named_with_what_is() -> None:
    codec = QueryCodec(RDS, ("DescribeDBClusters",))
    with pytest.raises(ApiError, match=r"not offer StopDBCluster\. It offers DescribeDBClusters"):
        codec.decode("Action=StopDBCluster&DBClusterIdentifier=a")


def test_characters_that_xml_forbids_cannot_break_a_response() -> None:
    status, body = CODEC.encode_error(ApiError("InvalidAction", "bell \x07 null \x00"), "r")
    parsed = create_parser("query").parse(
        {"status_code": status, "headers": {}, "body": body}, None
    )
    assert parsed["Error"]["Message"] == "bell ? null ?"


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
    assert codec.decode(urlencode(request["body"])).parameters == sent
    body = codec.encode("Op", sent, "r")
    parsed = create_parser("query").parse(
        {"status_code": 200, "headers": {}, "body": body}, operation.output_shape
    )
    assert {name: parsed[name] for name in sent} == sent
