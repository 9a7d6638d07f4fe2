"""Cases of what works inside the database."""

from __future__ import annotations

from conformance.case import Cases

CASES: Cases = {}
