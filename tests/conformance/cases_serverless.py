"""Cases of what changes the capacity."""

from __future__ import annotations

from conformance.case import BRIEF, Case, Cases

from chaos.faults.scale_capacity import ScaleCapacity

CASES: Cases = {
    "scale-capacity": {"narrower": Case(lambda _: ScaleCapacity(min_acu=1, max_acu=2, **BRIEF))},
}
