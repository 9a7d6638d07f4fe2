"""What a check is: its fields are the YAML of an objective, its judgement a pure function."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import BaseModel, ConfigDict

from chaos.checks.recording import Recording
from chaos.model.verdict import Finding


class Check(BaseModel):
    """One objective. It sees recorded data only, so judging again gives the same findings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str

    @abstractmethod
    def judge(self, recording: Recording) -> list[Finding]:
        """Return at least one finding; `unknown` with the reason where the data cannot tell."""
