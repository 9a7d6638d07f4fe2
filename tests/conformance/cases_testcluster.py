"""Cases of what only a test cluster has a call for."""

from __future__ import annotations

from conformance.case import Cases

CASES: Cases = {}
