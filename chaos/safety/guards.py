"""Guards: each refuses a run before any fault, with its reason and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chaos.errors import GuardRefused
from chaos.model.topology import Topology

OPT_IN_TAG = "gameday"
OPT_IN_VALUE = "allowed"


class Resolvable(Protocol):
    """The part of a fault that guards ask."""

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the target or refuse."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A named condition; `refusal` returns why not, or None."""

    name: str
    summary: str
    refusal: Callable[[Topology, Sequence[Resolvable]], str | None]


def _opted_in(topology: Topology, method: Sequence[Resolvable]) -> str | None:
    if topology.tags.get(OPT_IN_TAG) == OPT_IN_VALUE:
        return None
    return (
        f"cluster {topology.cluster} is not opted in; if disturbing it is allowed, tag it: "
        f"aws rds add-tags-to-resource --resource-name {topology.arn} "
        f"--tags Key={OPT_IN_TAG},Value={OPT_IN_VALUE}"
    )


def _engine(topology: Topology, method: Sequence[Resolvable]) -> str | None:
    if "postgresql" in topology.engine:
        return None
    return f"cluster {topology.cluster} runs {topology.engine}; only PostgreSQL engines are known"


def _healthy(topology: Topology, method: Sequence[Resolvable]) -> str | None:
    if topology.all_available():
        return None
    members = ", ".join(f"{m.id} {m.status}" for m in topology.members) or "no instance"
    return (
        f"cluster {topology.cluster} is not healthy and quiet: it is {topology.status}, {members}; "
        "wait until everything is available"
    )


def _targets(topology: Topology, method: Sequence[Resolvable]) -> str | None:
    try:
        for fault in method:
            fault.resolve(topology)
    except GuardRefused as refusal:
        return str(refusal)
    return None


GUARDS: tuple[Guard, ...] = (
    Guard("opted-in", f"the cluster bears the tag {OPT_IN_TAG}={OPT_IN_VALUE}", _opted_in),
    Guard("engine", "the cluster runs a PostgreSQL engine", _engine),
    Guard("healthy", "the cluster and every member are available", _healthy),
    Guard("targets", "every fault of the method finds its target", _targets),
)
