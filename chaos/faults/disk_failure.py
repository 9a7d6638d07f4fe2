"""Let a disk of the cluster volume fail with `aurora_inject_disk_failure`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaos.faults.base import Before, Context
from chaos.faults.injected import OfDisk


class DiskFailure(OfDisk):
    """A share of the requests to a disk, or storage node, fails, and is served by another copy.

    No client sees an error. The effect is a commit on the writer that takes `late_ms_min` longer than
    before, on average; AWS publishes no figure.
    """

    fault: Literal["disk-failure"] = "disk-failure"
    late_ms_min: float = Field(
        20.0, ge=1, le=10_000, description="So much longer must a commit take to count as struck."
    )

    def inject(self, context: Context, before: Before) -> None:
        """Ask the writer for it."""
        place = f"{self.index}, {self.is_disk}, {self.for_s}"
        self.ask(context, before, f"aurora_inject_disk_failure({self.percent}, {place})")

    def late_s(self) -> float:
        """Return twice the least, since half of it counts."""
        return 2 * self.late_ms_min / 1000
