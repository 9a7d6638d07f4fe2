"""Cases of what takes members away, adds them or changes them."""

from __future__ import annotations

from conformance.case import BRIEF, Case, Cases

from chaos.faults.delete_reader import DeleteReader

CASES: Cases = {
    "delete-reader": {"any reader": Case(lambda _: DeleteReader(**BRIEF))},
}
