"""Cases of what changes the capacity; on a cluster of their own, in which nobody else's load shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.case import BRIEF, Case, Cases, State

from chaos.faults.force_scale_up import ForceScaleUp
from chaos.faults.pause_and_resume import PauseAndResume
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.scale_storm import ScaleStorm

PATIENT: dict[str, Any] = {**BRIEF, "effect_timeout_s": 180}
"""CloudWatch's newest minute may have begun before the injection; then the next one tells."""


def same_servers(before: State, after: State, effect: Mapping[str, Any]) -> None:
    """Nobody was restarted: scaling keeps every session, and a paused server is the same one."""
    started = {name: identity.started_at for name, identity in after.identities.items()}
    assert started == {name: identity.started_at for name, identity in before.identities.items()}


CASES: Cases = {
    "force-scale-up": {
        "the writer": Case(
            lambda _: ForceScaleUp(rise_acu=1, sessions=2, **PATIENT),
            cluster="scaling",
            check=same_servers,
        )
    },
    "scale-capacity": {
        "wider": Case(
            lambda _: ScaleCapacity(min_acu=0.5, max_acu=16, **PATIENT),
            cluster="scaling",
            check=same_servers,
        ),
        "above what it has": Case(
            lambda _: ScaleCapacity(min_acu=20, max_acu=24, **PATIENT),
            cluster="scaling",
            check=same_servers,
        ),
    },
    "scale-storm": {
        "up and down": Case(
            lambda _: ScaleStorm.model_validate(
                {
                    "series": [
                        {"min_acu": 4, "max_acu": 16},
                        {"min_acu": 0.5, "max_acu": 1, "hold_s": 0.5},
                        {"min_acu": 0, "max_acu": 2.5},
                    ],
                    **PATIENT,
                }
            ),
            cluster="scaling",
            check=same_servers,
        )
    },
    "pause-and-resume": {
        "everybody": Case(
            lambda _: PauseAndResume(hold_s=0.5, **PATIENT), cluster="scaling", check=same_servers
        )
    },
}
