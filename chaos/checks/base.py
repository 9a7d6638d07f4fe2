"""What a check is: its fields are the YAML of an objective, its judgement a pure function."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from chaos.checks.recording import Recording
from chaos.model.verdict import Finding, Verdict


class Check(BaseModel):
    """One objective. It sees recorded data only, so judging again gives the same findings."""

    # Built within `Experiment` alone, once: most processes need none of its own.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str

    @abstractmethod
    def judge(self, recording: Recording) -> list[Finding]:
        """Return at least one finding; `unknown` with the reason where the data cannot tell."""


class StreamCheck(Check):
    """An objective about the operations of one arm, endpoint and kind."""

    unit: ClassVar[str]
    """Of what is measured and of its limit."""

    arm: str = Field(description="Arm whose operations are judged, or `probe`.")
    endpoint: str = Field("cluster", description="`cluster`, `reader` or an instance identifier.")
    operation: Literal["write", "read", "transaction", "connect"] = Field(
        "write", description="Kind of operation; `connect` is that of the client's connections."
    )

    @property
    @abstractmethod
    def limit(self) -> float:
        """The bound that is held against what is measured."""

    def finding(
        self,
        verdict: Verdict,
        why: str,
        *,
        measured: float | None = None,
        uncertainty_s: float | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
    ) -> Finding:
        """Return a finding about the stream."""
        return Finding(
            check=self.check,
            verdict=verdict,
            why=why,
            arm=self.arm,
            endpoint=self.endpoint,
            operation=self.operation,
            measured=measured,
            limit=self.limit,
            unit=self.unit,
            uncertainty_s=uncertainty_s,
            from_s=from_s,
            to_s=to_s,
        )
