"""Congest a disk of the cluster volume with `aurora_inject_disk_congestion`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chaos.faults.base import Before, Context
from chaos.faults.injected import OfDisk


class DiskCongestion(OfDisk):
    """A share of the requests to a disk, or storage node, takes longer.

    The effect is a commit on the writer that takes at least half of that longer than before.
    """

    fault: Literal["disk-congestion"] = "disk-congestion"
    minimum_ms: float = Field(20.0, ge=0, le=100, description="So much longer at least.")
    maximum_ms: float = Field(100.0, gt=0, le=100, description="So much longer at most.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum_ms >= self.maximum_ms:
            raise ValueError("minimum_ms must be less than maximum_ms")
        return self

    def inject(self, context: Context, before: Before) -> None:
        """Ask the writer for it."""
        place = f"{self.index}, {self.is_disk}, {self.for_s}"
        delays = f"{self.minimum_ms}, {self.maximum_ms}"
        self.ask(
            context, before, f"aurora_inject_disk_congestion({self.percent}, {place}, {delays})"
        )

    def late_s(self) -> float:
        """Return the mean delay."""
        return (self.minimum_ms + self.maximum_ms) / 2000 * self.percent / 100
