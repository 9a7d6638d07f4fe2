"""Faults that would change the same thing at once, as the cluster of now tells; refused before any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from chaos.definition.steps import Step, all_rivals
from chaos.errors import GuardRefused
from chaos.faults.base import Before, Fault

_INSTANCE = "Instance"
_HARMLESS = frozenset({"noop"})


def require_apart(steps: Iterable[Step], look: Callable[[Fault], Before]) -> None:
    """Hold any two faults that may be under way at once to change different things.

    Two API calls do where they change one instance, or the cluster by the same operation; two
    faults of one kind do on one target.

    Raises:
        GuardRefused: two of them do not, or one has no target.
    """
    for one, other in all_rivals(steps):
        changed = sorted(set(_changes(one, look(one))) & set(_changes(other, look(other))))
        if changed:
            raise GuardRefused(
                f"{one.fault} and {other.fault} would be under way at once, and both concern "
                f"{', '.join(changed)}; name different targets, or do them in sequence"
            )


def _changes(fault: Fault, before: Before) -> Iterator[str]:
    """Yield what a fault changes, in words."""
    if fault.fault in _HARMLESS:
        return
    for call in fault.calls(before):
        if _INSTANCE in call.operation:
            yield from (f"instance {target}" for target in before.targets)
        else:
            yield f"{call.operation} of {before.topology.cluster}"
    yield from (f"{fault.fault} of {target}" for target in before.targets)
