"""A small part of IAM's evaluation: which actions of a policy document are allowed on what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any


def allows(
    policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, Any]
) -> bool:
    """Tell whether a statement allows an action on a resource, given what its conditions ask for."""
    return any(
        action in statement["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and _holds(statement.get("Condition", {}), context)
        for statement in policy["Statement"]
    )


def _holds(condition: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    for operator, wanted in condition.items():
        for key, value in wanted.items():
            has = context.get(key)
            if operator == "StringEquals" and has != value:
                return False
            if operator == "ForAllValues:StringEquals" and not set(has or ()) <= set(value):
                return False
            assert operator in {"StringEquals", "ForAllValues:StringEquals"}, operator
    return True


def unused(policy: Mapping[str, Any], actions: Collection[str]) -> set[str]:
    """Return the actions that a policy allows and that are not among these."""
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    return allowed - set(actions)
