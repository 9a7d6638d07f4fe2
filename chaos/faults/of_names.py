"""Name servers that fail, lie or are late: what the faults `dns-*` have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import Disturbance
from chaos.model.access import OF_CLUSTER
from chaos.model.answers import NameAnswer
from chaos.model.topology import Topology

PROBABILITY = Field(1.0, gt=0, le=1, description="Share of the queries that meet it.")
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A name, how it was answered before, and since then: when, and whether it led astray."""

    name: str
    answer: NameAnswer
    notes: list[tuple[float, bool]] = field(default_factory=list)

    def note(self, context: Context) -> None:
        """Look once more."""
        at_s = context.name_server.ask(self.name).at_s
        if (astray := is_astray(context, self.name)) is not None:
            self.notes.append((at_s, astray))


def answered(fault: str, context: Context, name: str) -> NameAnswer:
    """Ask for a name until it has an address, a few times at most: datagrams get lost.

    Raises:
        GuardRefused: it has none.
    """
    for _ in range(_TRIES):
        answer = context.name_server.ask(name)
        if not answer.error:
            return answer
    raise GuardRefused(f"{fault}: {name} is answered {answer.error} already")


class OfNames(Disturbance):
    """A disturbance of some of the cluster's DNS names. The effect is the answer to a real query."""

    endpoint: str | None = Field(
        None,
        description="`cluster`, `reader`, an instance, a custom endpoint, or a whole DNS name. "
        "Absent: every name of the cluster.",
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the endpoint; the cluster where all its names are meant."""
        return (self.endpoint or topology.cluster,)

    def parameters(self, before: Before) -> dict[str, Any]:
        """Add the cluster, so that no other one's names are disturbed."""
        return {**super().parameters(before), "cluster": before.topology.cluster}

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Asked:
        """Ask for the name, which must have an address."""
        super().see(context, topology, targets)
        name = self._name(context, topology)
        return Asked(name, answered(self.fault, context, name))

    @abstractmethod
    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether an answer is what the fault makes of it."""

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the endpoint once a query is answered as the fault makes it."""
        asked: Asked = before.seen
        now = context.name_server.ask(asked.name)
        return before.target if self.shows(now, asked.answer) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the name answered as before."""
        if not super().is_recovered(context, before):
            return False
        now = context.name_server.ask(before.seen.name)
        return not now.error and not self.shows(now, before.seen.answer)

    def _name(self, context: Context, topology: Topology) -> str:
        """Return what the name server is asked for: one of the names that are disturbed."""
        wanted = self.endpoint or "cluster"
        if "." in wanted or wanted in OF_CLUSTER or topology.member(wanted):
            return wanted
        for custom in context.rds.custom_endpoints():
            if custom.id == wanted:
                return custom.address
        members = ", ".join(m.id for m in topology.members)
        raise GuardRefused(
            f"{self.fault}: {topology.cluster} has no endpoint {wanted}; say `cluster`, `reader`, "
            f"an instance ({members}), a custom endpoint, or a whole DNS name"
        )


class OfMovingNames(OfNames):
    """One that only shows when the writer moves, by the steps within it.

    The effect is a name that leads where it should not once they are done: the cluster endpoint to
    another instance than the writer, the reader endpoint to the writer.
    """

    shows_later: ClassVar[bool] = True

    endpoint: str | None = Field(
        None, description="`cluster` or `reader`. Absent: every name of the cluster."
    )

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Asked:
        """Ask for the name; refuse one of which nobody knows where it should lead."""
        if self.endpoint not in {None, "cluster", "reader"}:
            raise GuardRefused(
                f"{self.fault}: only of `cluster` and `reader` it is known where they should lead, "
                f"not of {self.endpoint}"
            )
        return super().see(context, topology, targets)

    def shows(self, now: NameAnswer, was: NameAnswer) -> bool:
        """Tell whether the name leads where it led before; see `is_astray` for the rest."""
        return now.addresses == was.addresses

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the endpoint once it leads astray."""
        return before.target if is_astray(context, before.seen.name) else None

    def why_none(self, context: Context, before: Before) -> str:
        """Say so where nothing moved the writer."""
        return why_straight(context, before)

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and the name leads where it should."""
        back = super(OfNames, self).is_recovered(context, before)
        return back and is_astray(context, before.seen.name) is False


def is_astray(context: Context, name: str) -> bool | None:
    """Tell whether `cluster` or `reader` leads where it should not; None while nobody can tell."""
    topology = context.rds.topology()
    if topology.writer is None:
        return None
    writer = context.name_server.ask(topology.writer.id).addresses
    now = context.name_server.ask(name).addresses
    if not writer or not now:
        return None
    if name == "reader":
        return writer[0] in now and bool(topology.readers)
    return now != writer


def why_straight(context: Context, before: Before) -> str:
    """Say so where the writer is still the same, so that no name could lead astray."""
    was, now = before.topology.writer, context.rds.topology().writer
    if was is None or now is None or was.id != now.id:
        return ""
    return f"{now.id} is still the writer: let the steps within this one, as a nested step, move it"
