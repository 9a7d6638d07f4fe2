"""A cluster's whole shape at one instant, kept in the journal, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from chaos.model.topology import CustomEndpoint, Member, Topology

OURS = "gameday-lease"
"""The tag by which a run tells others that it goes on; it comes and goes with the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a run must lead back to."""

    topology: Topology
    custom_endpoints: tuple[CustomEndpoint, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the journal holds it."""
        fields: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Snapshot:
        """Read what `as_json` gave.

        Raises:
            pydantic.ValidationError: it is not one of this version's.
        """
        return _ADAPTER.validate_python(dict(fields))


_ADAPTER: TypeAdapter[Snapshot] = TypeAdapter(Snapshot)


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that is not as it was."""

    subject: str
    name: str
    was: object
    now: object

    def __str__(self) -> str:
        """Say it as a clause."""
        if self.name == "existence":
            return f"{self.subject} {'is gone' if self.was else 'was not there before'}"
        return f"{self.name} of {self.subject} is {self.now}, it was {self.was}"


def differences(before: Snapshot, after: Snapshot) -> list[Difference]:
    """Return what is not as it was; which member is the writer may differ."""
    was, now = _shape(before), _shape(after)
    return [
        difference
        for subject in dict.fromkeys((*was, *now))
        for difference in _of_subject(subject, was.get(subject), now.get(subject))
    ]


def _of_subject(
    subject: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None
) -> Iterator[Difference]:
    if was is None or now is None:
        yield Difference(subject, "existence", was is not None, now is not None)
        return
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name):
            yield Difference(subject, name, was.get(name), now.get(name))


def _shape(snapshot: Snapshot) -> dict[str, Mapping[str, Any]]:
    topology = snapshot.topology
    return {
        f"cluster {topology.cluster}": _of_cluster(topology),
        **{m.id: _of_member(m, has_standby=topology.has_standby) for m in topology.members},
        **{f"custom endpoint {e.id}": _of_endpoint(e) for e in snapshot.custom_endpoints},
    }


def _of_member(member: Member, *, has_standby: bool) -> dict[str, Any]:
    # A failover swaps a Multi-AZ instance's zone with its standby's.
    apart = {"Tags", "AvailabilityZone"} if has_standby else {"Tags"}
    kept = {name: value for name, value in member.settings.items() if name not in apart}
    tags = member.settings.get("Tags") or ()
    assert isinstance(tags, list | tuple)
    return {
        **kept,
        "status": member.status,
        "PromotionTier": member.promotion_tier,
        # An instance in no cluster carries the lease itself.
        "tags": {tag["Key"]: tag.get("Value", "") for tag in tags if tag["Key"] != OURS},
    }


def _of_cluster(topology: Topology) -> dict[str, Any]:
    bounds = topology.capacity
    return {
        "status": topology.status,
        "capacity": f"{bounds.min_acu:g}-{bounds.max_acu:g} ACU" if bounds else "none",
        "SecondsUntilAutoPause": bounds.pause_after_s if bounds else None,
        "parameter group": topology.parameter_group,
        "tags": {k: v for k, v in topology.tags.items() if k != OURS},
    }


def _of_endpoint(endpoint: CustomEndpoint) -> dict[str, Any]:
    return {
        "static members": sorted(endpoint.static),
        "excluded members": sorted(endpoint.excluded),
    }
