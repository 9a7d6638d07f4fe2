"""What CloudWatch tells about capacities: the lowest and the highest of the newest minute.

A minute may have begun before an injection, and then shows what was before it as well. So a value
counts as new only where the minute that was seen before the injection did not show it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaos.safety.calls import Call
from chaos.safety.ports import Rds

READS = (Call("GetMetricData", service="cloudwatch"),)
"""The API calls of a fault that looks at this."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One instance's capacity in the newest minute, in ACU."""

    lowest: float
    highest: float

    def came_down_to(self, acu: float, before: Minute | None) -> bool:
        """Tell whether the capacity has certainly been no more than this since `before`."""
        showed_already = before is None or before.lowest <= acu
        return (self.highest if showed_already else self.lowest) <= acu

    def came_up_to(self, acu: float, before: Minute | None) -> bool:
        """Tell whether the capacity has certainly been no less than this since `before`."""
        showed_already = before is None or before.highest >= acu
        return (self.lowest if showed_already else self.highest) >= acu

    def __str__(self) -> str:
        if self.lowest == self.highest:
            return f"{self.lowest:g} ACU"
        return f"{self.lowest:g} to {self.highest:g} ACU"


def newest_minute(rds: Rds) -> Mapping[str, Minute]:
    """Return the newest minute of each instance that CloudWatch knows a capacity of.

    Raises:
        ControlPlaneError: CloudWatch did not answer, or refused.
    """
    lowest, highest = rds.acu_now("Minimum"), rds.acu_now("Maximum")
    return {name: Minute(lowest[name], highest[name]) for name in lowest if name in highest}
