"""Give a custom endpoint other members with `ModifyDBClusterEndpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.targets import select
from chaos.model.topology import CustomEndpoint, Topology
from chaos.safety.calls import Call
from chaos.safety.undo import SetEndpointMembers, Undo

_WHO = "SELECT pg_catalog.aurora_db_instance_identifier()"
_CONNECTIONS = 5  # in a row; more than one answer of a balancing name


@dataclass(frozen=True, slots=True)
class Seen:
    """The endpoint before, the members that it gets, and the instances that it may lead to then."""

    endpoint: CustomEndpoint
    static: tuple[str, ...]
    excluded: tuple[str, ...]
    leads_to: frozenset[str]


class ChangeCustomEndpoint(Fault):
    """Call `ModifyDBClusterEndpoint` with other members.

    The effect is that the API shows them and new connections reach no other instance; sessions stay
    where they are. Where no instance is left to lead to, the API alone tells.
    """

    undoes: ClassVar[str] = "gives the endpoint back its members"
    asks_again: ClassVar[bool] = True
    expected_s: ClassVar[float] = 60.0

    fault: Literal["change-custom-endpoint"] = "change-custom-endpoint"
    endpoint: str = Field(description="Identifier of the custom endpoint.")
    static_members: tuple[str, ...] = Field(
        (), description="Instances that it leads to: `writer`, `reader:tier=N`, identifiers."
    )
    excluded_members: tuple[str, ...] = Field(
        (), description="Instances that it does not lead to, while it leads to all others."
    )

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if bool(self.static_members) == bool(self.excluded_members):
            raise ValueError("give static_members or excluded_members, one of the two")
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the endpoint; refuse members that there are not."""
        for selector in (*self.static_members, *self.excluded_members):
            select(selector, topology)
        return (self.endpoint.lower(),)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Seen:
        """Find the endpoint; refuse one that has these members already."""
        endpoints = {e.id: e for e in context.rds.custom_endpoints()}
        now = endpoints.get(targets[0])
        if now is None:
            there = ", ".join(endpoints) or "none"
            raise GuardRefused(
                f"change-custom-endpoint: {topology.cluster} has no custom endpoint {targets[0]}; "
                f"there are {there}"
            )
        if now.status != "available":
            raise GuardRefused(f"change-custom-endpoint: {now.id} is {now.status}")
        static = _instances(self.static_members, topology)
        excluded = _instances(self.excluded_members, topology)
        if (set(static), set(excluded)) == (set(now.static), set(now.excluded)):
            raise GuardRefused(
                f"change-custom-endpoint: {now.id} has these members already; "
                "choose others, or the fault has no effect"
            )
        usable = topology.readers if now.kind == "READER" else topology.members
        leads_to = {m.id for m in usable if (m.id in static if static else m.id not in excluded)}
        return Seen(now, static, excluded, frozenset(leads_to))

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Give it back its members."""
        seen: Seen = before.seen
        return (
            SetEndpointMembers(
                endpoint=seen.endpoint.id,
                static=seen.endpoint.static,
                excluded=seen.endpoint.excluded,
                run_static=seen.static,
                run_excluded=seen.excluded,
            ),
        )

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return one change."""
        return (Call("ModifyDBClusterEndpoint"),)

    def inject(self, context: Context, before: Before) -> None:
        """Request the members once."""
        seen: Seen = before.seen
        context.rds.modify_endpoint(seen.endpoint.id, static=seen.static, excluded=seen.excluded)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the endpoint once the API shows the members and connections reach them alone."""
        seen: Seen = before.seen
        for now in context.rds.custom_endpoints():
            shown = (set(now.static), set(now.excluded)) == (set(seen.static), set(seen.excluded))
            if now.id == seen.endpoint.id and now.status == "available" and shown:
                return before.target if self._leads_there(context, seen) else None
        return None

    def _leads_there(self, context: Context, seen: Seen) -> bool:
        if not seen.leads_to:
            return True
        reached = (
            context.database.query(seen.endpoint.address, _WHO)[0][0] for _ in range(_CONNECTIONS)
        )
        return all(instance in seen.leads_to for instance in reached)

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the endpoint has the members that it had, and the cluster too."""
        seen: Seen = before.seen
        for now in context.rds.custom_endpoints():
            same = (set(now.static), set(now.excluded)) == (
                set(seen.endpoint.static),
                set(seen.endpoint.excluded),
            )
            if now.id == seen.endpoint.id:
                return same and super().is_recovered(context, before)
        return False


def _instances(selectors: tuple[str, ...], topology: Topology) -> tuple[str, ...]:
    return tuple(dict.fromkeys(select(selector, topology).id for selector in selectors))
