"""What every part of an experiment has in common: it is frozen and knows its keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of an experiment; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
