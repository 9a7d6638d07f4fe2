"""Identifiers and ARNs by RDS's rules: of any case when given, stored in lower case."""

from __future__ import annotations

import re

from chaos.testcluster.records import ApiError

LENGTH_MAX = 63
RULE = (
    "Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; "
    "and must not end with a hyphen or contain two consecutive hyphens."
)

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_IDENTIFIER = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")
_ARN = re.compile(  # a global cluster's has no Region
    r"arn:aws[a-z-]*:rds:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):(?P<kind>[a-z-]+):(?P<id>.+)"
)


def is_identifier(text: str) -> bool:
    """Tell whether `text` may name a cluster or an instance."""
    return len(text) <= LENGTH_MAX and _IDENTIFIER.fullmatch(text) is not None


def is_region(text: str) -> bool:
    """Tell whether `text` may name an AWS Region."""
    return _REGION.fullmatch(text) is not None


def checked(text: str, parameter: str) -> str:
    """Return a new identifier in lower case.

    Raises:
        ApiError: InvalidParameterValue in AWS's own words.
    """
    if not is_identifier(text):
        raise ApiError(
            "InvalidParameterValue", f"The parameter {parameter} is not a valid identifier. {RULE}"
        )
    return text.lower()


def arn(region: str, account: str, kind: str, identifier: str) -> str:
    """Return the ARN of a `cluster` or a `db` (an instance)."""
    return f"arn:aws:rds:{region}:{account}:{kind}:{identifier}"


def parse_arn(text: str) -> tuple[str, str] | None:
    """Return kind and identifier of an RDS ARN, or None if `text` is none."""
    match = _ARN.fullmatch(text)
    return (match["kind"], match["id"].lower()) if match else None


def bare(text: str, kind: str) -> str:
    """Return the lower-case identifier of what is named by identifier or by the ARN of its kind."""
    parsed = parse_arn(text)
    return parsed[1] if parsed and parsed[0] == kind else text.lower()
