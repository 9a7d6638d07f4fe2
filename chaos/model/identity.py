"""Who an instance is, by its own word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chaos.model.topology import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An instance by its own word; `started_at` changes with every restart of its server."""

    role: Role
    started_at: datetime
