"""STS: who the caller is. Any credentials are accepted, so it is the same user of the same account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.records import ACCOUNT

USER = "gameday"
USER_ID = "AIDAGAMEDAYTESTCLUSTER"


def get_caller_identity(region: Region, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001 - the same everywhere
    """GetCallerIdentity."""
    return {
        "UserId": USER_ID,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{USER}",
    }


IDENTITY_OPERATIONS: Mapping[str, Callable[[Region, Parameters], Mapping[str, Any]]] = {
    "GetCallerIdentity": get_caller_identity,
}
