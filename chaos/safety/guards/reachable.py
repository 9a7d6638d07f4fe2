"""The endpoints answer from here, with the credentials that traffic will use."""

from __future__ import annotations

from chaos.errors import DatabaseError
from chaos.model.access import OF_CLUSTER
from chaos.safety.guards.base import Guard
from chaos.safety.guards.situation import Situation


def _refusal(situation: Situation) -> str | None:
    try:
        for endpoint in sorted(OF_CLUSTER):
            situation.database.identify(endpoint)
    except DatabaseError as error:
        return str(error)
    return None


REACHABLE = Guard("reachable", "cluster and reader endpoint answer from here", _refusal)
