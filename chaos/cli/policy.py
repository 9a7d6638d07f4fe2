"""`gameday policy`: the IAM policy that exactly one experiment needs, on exactly one cluster."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from chaos.cli.embedded import specification
from chaos.cli.loading import loaded_from
from chaos.cli.options import DEFAULT_RUNS, Quiet, RunsRoot, Safety, Variables, assigned
from chaos.cli.plan import planned
from chaos.cli.terminal import Terminal
from chaos.definition.safety import safety_of
from chaos.errors import DefinitionError
from chaos.run.permissions import policy_of

_STAND_IN = "cluster"
_UNNAMED = "CLUSTER"
_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):rds:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"(?:cluster|db):(?P<cluster>[A-Za-z0-9-]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the policy is to name instead of the stand-in's."""

    partition: str = "aws"
    region: str = "REGION"
    account: str = "ACCOUNT"
    cluster: str = _UNNAMED


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="policy")(policy)


def policy(
    experiment: Annotated[str, typer.Argument(help="A file, or the name of a shipped experiment.")],
    *,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="GAMEDAY_CLUSTER",
            help="Identifier: it is asked what it has. ARN, or absent: none is asked.",
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Account to name where no cluster is asked.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Region to name where no cluster is asked.")
    ] = None,
    variables: Variables = None,
    safety: Safety = None,
    out: RunsRoot = DEFAULT_RUNS,
    quiet: Quiet = False,
) -> None:
    """Print the least-privilege IAM policy for exactly this experiment, as JSON."""
    terminal = Terminal(quiet=quiet)
    definition, _ = loaded_from(experiment, assigned(variables))
    place = _place(cluster, account, region)
    asked = cluster if place is None else None
    identifier = _STAND_IN if place is None or place.cluster == _UNNAMED else place.cluster
    spec = replace(specification(definition.test_cluster, profile="fast", seed=0), id=identifier)
    made = planned(definition, asked, spec, safety=safety_of(safety), runs=out, terminal=terminal)
    document = policy_of(made)
    if place is not None:
        document = _elsewhere(document, made.situation.topology.arn, identifier, place)
    terminal.object(document)


def _place(cluster: str | None, account: str | None, region: str | None) -> _Place | None:
    """Return what to name where no cluster is asked; None: the one of this identifier is asked.

    Raises:
        DefinitionError: account or ARN are none, or the options contradict each other.
    """
    if account is not None and not re.fullmatch(r"\d{12}", account):
        raise DefinitionError(f"--account {account}: an account has twelve digits")
    given = {k: v for k, v in (("account", account), ("region", region)) if v is not None}
    if cluster is None or ":" not in cluster:
        if cluster is None:
            return _Place(**given)
        return _Place(**given, cluster=cluster) if given else None
    found = _ARN.fullmatch(cluster)
    if found is None:
        raise DefinitionError(
            f"--cluster {cluster}: neither an identifier nor an ARN such as "
            "arn:aws:rds:eu-west-1:123456789012:cluster:shop"
        )
    if given:
        raise DefinitionError("--account and --region are in the ARN of --cluster already")
    return _Place(**found.groupdict())


def _elsewhere(
    document: dict[str, Any], arn: str, identifier: str, place: _Place
) -> dict[str, Any]:
    """Return a policy for the stand-in with another place's names."""
    _, partition, _, region, account, *_ = arn.split(":")
    text = json.dumps(document)
    for old, new in (
        (f"arn:{partition}:", f"arn:{place.partition}:"),
        (f":{region}:", f":{place.region}:"),
        (f":{account}:", f":{place.account}:"),
    ):
        text = text.replace(old, new)
    if place.cluster != identifier:
        text = re.sub(rf":(cluster|db):{identifier}\b", rf":\1:{place.cluster}", text)
    found: dict[str, Any] = json.loads(text)
    return found
