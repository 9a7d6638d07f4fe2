"""IAM policies: every call is in the table as AWS knows it, and a policy allows what it must only."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from iam_matcher import allows, unused

from chaos.safety.calls import Call
from chaos.safety.guards import GUARDS
from chaos.safety.policy import RULES, Scope, document

ROOT = Path(__file__).parents[2]
ARN = "arn:aws:rds:eu-west-1:123456789012:"
SCOPE = Scope(
    cluster=f"{ARN}cluster:shop",
    is_cluster=True,
    instances=(f"{ARN}db:shop-1", f"{ARN}db:shop-2"),
    made=(f"{ARN}db:shop-2",),
    used=(f"{ARN}pg:default*",),
)
TAGGED = {"aws:ResourceTag/gameday": "allowed"}


def made(*operations: str, **changes: Any) -> dict[str, Any]:
    fields = {name: getattr(SCOPE, name) for name in SCOPE.__dataclass_fields__}
    return document([Call(operation) for operation in operations], Scope(**{**fields, **changes}))


def declared() -> set[tuple[str, str]]:
    """Every `Call("Operation")` that is written anywhere in the product."""
    found = set()
    for path in (ROOT / "chaos").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id != "Call" or not node.args:
                continue
            service = next(
                (
                    str(k.value.value)
                    for k in node.keywords
                    if k.arg == "service" and isinstance(k.value, ast.Constant)
                ),
                "rds",
            )
            found |= {
                (service, one.value)
                for one in ast.walk(node.args[0])
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
    return found


def test_every_call_that_a_fault_or_an_undo_record_makes_is_in_the_table() -> None:
    calls = declared()
    assert len(calls) > 15
    assert calls <= set(RULES), "add it to RULES in chaos/safety/policy.py"
    for guard in GUARDS:
        assert {(call.service, call.operation) for call in guard.reads} <= set(RULES)


def test_every_operation_of_the_table_is_one_of_the_service() -> None:
    session = botocore.session.get_session()
    for service, operation in RULES:
        model = session.get_service_model(service)
        assert operation in model.operation_names, f"{service}:{operation}"


def test_a_statement_has_an_id_that_iam_accepts_and_no_other_has_it() -> None:
    statements = document([Call(o, service=s) for s, o in RULES], SCOPE)["Statement"]
    sids = [statement["Sid"] for statement in statements]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() for sid in sids)
    for statement in statements:
        assert statement["Resource"], statement["Sid"]


def test_the_cluster_is_changed_only_while_it_is_opted_in() -> None:
    policy = made("FailoverDBCluster")
    cluster = f"{ARN}cluster:shop"
    assert allows(policy, "rds:FailoverDBCluster", cluster, TAGGED)
    assert not allows(policy, "rds:FailoverDBCluster", cluster, {})
    assert not allows(policy, "rds:FailoverDBCluster", f"{ARN}cluster:shop2", TAGGED)
    assert not allows(policy, "rds:DeleteDBCluster", cluster, TAGGED)


def test_the_lease_may_be_written_and_nothing_can_be_opted_in() -> None:
    policy = made("AddTagsToResource", "RemoveTagsFromResource")
    cluster = f"{ARN}cluster:shop"
    for action in ("rds:AddTagsToResource", "rds:RemoveTagsFromResource"):
        assert allows(policy, action, cluster, {**TAGGED, "aws:TagKeys": ["gameday-lease"]})
        assert not allows(policy, action, cluster, {**TAGGED, "aws:TagKeys": ["gameday"]})
        assert not allows(
            policy, action, cluster, {**TAGGED, "aws:TagKeys": ["gameday-lease", "gameday"]}
        )
        assert not allows(policy, action, cluster, {"aws:TagKeys": ["gameday-lease"]})


def test_only_the_instances_that_may_be_deleted_may_be_deleted() -> None:
    policy = made("DeleteDBInstance", "RebootDBInstance")
    assert allows(policy, "rds:DeleteDBInstance", f"{ARN}db:shop-2", {})
    assert not allows(policy, "rds:DeleteDBInstance", f"{ARN}db:shop-1", {})
    assert allows(policy, "rds:RebootDBInstance", f"{ARN}db:shop-1", {})
    assert not allows(policy, "rds:RebootDBInstance", f"{ARN}db:other", {})


def test_instances_that_bear_the_tag_are_bound_to_it() -> None:
    policy = made("RebootDBInstance", instances_opted_in=True)
    assert allows(policy, "rds:RebootDBInstance", f"{ARN}db:shop-1", TAGGED)
    assert not allows(policy, "rds:RebootDBInstance", f"{ARN}db:shop-1", {})


def test_creating_an_instance_allows_what_it_depends_on_and_no_more() -> None:
    role, key = "arn:aws:iam::123456789012:role/monitoring", "arn:aws:kms:eu-west-1:1:key/k"
    policy = made("CreateDBInstance", made_tags=frozenset({"team"}), roles=(role,), keys=(key,))
    assert allows(policy, "rds:CreateDBInstance", f"{ARN}db:shop-2", {})
    assert allows(policy, "rds:CreateDBInstance", f"{ARN}cluster:shop", {})
    assert allows(policy, "rds:AddTagsToResource", f"{ARN}db:shop-2", {"aws:TagKeys": ["team"]})
    assert not allows(policy, "rds:AddTagsToResource", f"{ARN}db:shop-2", {"aws:TagKeys": ["a"]})
    passed = {"iam:PassedToService": "monitoring.rds.amazonaws.com"}
    assert allows(policy, "iam:PassRole", role, passed)
    assert not allows(policy, "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})
    assert allows(policy, "kms:DescribeKey", key, {})
    bare = made("CreateDBInstance")
    assert unused(bare, {"rds:CreateDBInstance"}) == set()


@pytest.mark.parametrize(
    ("operation", "resource"),
    [
        ("FailoverGlobalCluster", "arn:aws:rds::123456789012:global-cluster:g"),
        ("SwitchoverGlobalCluster", "arn:aws:rds:eu-central-1:123456789012:cluster:far"),
    ],
)
def test_a_global_cluster_is_moved_with_its_members(operation: str, resource: str) -> None:
    policy = made(
        operation,
        global_cluster="arn:aws:rds::123456789012:global-cluster:g",
        global_members=("arn:aws:rds:eu-central-1:123456789012:cluster:far",),
    )
    assert allows(policy, f"rds:{operation}", resource, {})
    assert not allows(policy, f"rds:{operation}", f"{ARN}cluster:other", {})


def test_an_operation_that_is_not_in_the_table_is_no_silent_gap() -> None:
    with pytest.raises(KeyError, match="DeleteDBCluster"):
        made("DeleteDBCluster")


def test_an_instance_in_no_cluster_is_asked_for_as_a_cluster_first() -> None:
    policy = made("DescribeDBClusters", cluster=f"{ARN}db:lone", is_cluster=False)
    assert allows(policy, "rds:DescribeDBClusters", f"{ARN}cluster:lone", {})
