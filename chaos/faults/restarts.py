"""Telling by SQL that a server was restarted: since when it runs changes with every restart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from chaos.faults.base import Before, Context


def started(context: Context, instances: tuple[str, ...]) -> Mapping[str, datetime]:
    """Ask instances since when they run."""
    return {name: context.database.identify(name).started_at for name in instances}


def restarted(context: Context, before: Before) -> str | None:
    """Return the targets once each of them runs since later than `before.seen`, else None."""
    since: Mapping[str, datetime] = before.seen
    later = all(context.database.identify(n).started_at > at for n, at in since.items())
    return before.target if later else None
