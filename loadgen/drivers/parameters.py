"""The libpq parameters of an arm's connections."""

from __future__ import annotations

from typing import Any

from chaos.model.access import DatabaseAccess
from loadgen.arms import Arm
from loadgen.tables import session_name


def parameters_of(arm: Arm, access: DatabaseAccess, endpoint: str, run: str) -> dict[str, Any]:
    """Return what the arm's connections through an endpoint are opened with, marked with the run."""
    parameters = {
        **access.parameters(endpoint),
        **arm.connection,
        "application_name": session_name(run, arm.name),
    }
    settings = [f"-c {name}={value}" for name, value in arm.session.items()]
    if settings:
        # At start-up rather than by SET: no round trip, nothing a proxy would pin a session for.
        given = access.options.get("options", "")
        parameters["options"] = " ".join([given, *settings]).strip()
    return parameters
