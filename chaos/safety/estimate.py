"""What a run is expected to take: time, and money by the prices that the safety file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos.model.serverless import SERVERLESS_CLASS
from chaos.model.topology import Topology
from chaos.safety.undo import CreateInstance, DeleteInstance, SetCapacity, SetInstance
from chaos.safety.undo.base import UndoRecord

ACU_HOUR = "acu_hour"
_HOUR_S = 3600.0
_CREATION_S_MIN = 600.0
"""RDS bills an instance for ten minutes at least, once it is created or its class is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds that a run usually takes and takes at most, and what the cluster costs meanwhile.

    `cost_usd` is None where a price is missing; `unpriced` says which.
    """

    expected_s: float
    longest_s: float
    cost_usd: float | None
    unpriced: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return it as `gameday plan --json` shows it."""
        return {
            "expected_s": round(self.expected_s, 1),
            "longest_s": round(self.longest_s, 1),
            "cost_usd": None if self.cost_usd is None else round(self.cost_usd, 4),
            "prices_missing": list(self.unpriced),
        }


def cost(
    topology: Topology,
    records: Iterable[UndoRecord],
    prices: Mapping[str, float],
    expected_s: float,
) -> tuple[float | None, tuple[str, ...]]:
    """Return what the cluster's instances cost at most for `expected_s`, and which prices are missing.

    Every instance is counted for the whole run, a Serverless one at the highest maximum that the run
    sets, and those that the run creates or resizes for ten minutes at least. Storage, I/O and transfer
    are not counted.
    """
    most_acu = topology.capacity.max_acu if topology.capacity else 0.0
    classes = [(member.instance_class, expected_s) for member in topology.members]
    billed_s = max(expected_s, _CREATION_S_MIN)
    for record in records:
        if isinstance(record, SetCapacity):
            most_acu = max(most_acu, record.run_max_acu, *(most for _, most in record.run_later))
        elif isinstance(record, CreateInstance):
            classes.append((str(record.settings.get("DBInstanceClass", "")), billed_s))
        elif isinstance(record, DeleteInstance):
            writer = topology.writer or topology.members[0]
            classes.append((writer.instance_class, billed_s))
        elif isinstance(record, SetInstance) and record.setting == "DBInstanceClass":
            classes.append((str(record.run_value), billed_s))
    total, missing = 0.0, set()
    for instance_class, duration_s in classes:
        serverless = instance_class == SERVERLESS_CLASS
        price = prices.get(ACU_HOUR if serverless else instance_class)
        if price is None:
            missing.add(ACU_HOUR if serverless else instance_class)
        else:
            total += price * (most_acu if serverless else 1.0) * duration_s / _HOUR_S
    return (None if missing else total), tuple(sorted(missing))
