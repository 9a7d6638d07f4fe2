"""Guards: each refuses a run before any fault, with its reason and what to do. One file a guard."""

from __future__ import annotations

from chaos.safety.guards.account import ACCOUNT
from chaos.safety.guards.alarms import ALARMS
from chaos.safety.guards.alone import ALONE
from chaos.safety.guards.backup import BACKUP
from chaos.safety.guards.base import Guard, refusals
from chaos.safety.guards.blackout import BLACKOUT
from chaos.safety.guards.budget import BUDGET
from chaos.safety.guards.deployment import DEPLOYMENT
from chaos.safety.guards.engine import ENGINE
from chaos.safety.guards.healthy import HEALTHY
from chaos.safety.guards.maintenance import MAINTENANCE
from chaos.safety.guards.opted_in import OPT_IN_TAG, OPT_IN_VALUE, OPTED_IN
from chaos.safety.guards.production import NOT_PRODUCTION
from chaos.safety.guards.reachable import REACHABLE
from chaos.safety.guards.readers import READERS
from chaos.safety.guards.safety_lever import SAFETY_LEVER
from chaos.safety.guards.situation import Aim, Situation
from chaos.safety.guards.targets import TARGETS
from chaos.safety.guards.undone import UNDONE

GUARDS: tuple[Guard, ...] = (
    OPTED_IN,
    ACCOUNT,
    NOT_PRODUCTION,
    ENGINE,
    HEALTHY,
    READERS,
    MAINTENANCE,
    BACKUP,
    DEPLOYMENT,
    BLACKOUT,
    ALARMS,
    SAFETY_LEVER,
    ALONE,
    UNDONE,
    BUDGET,
    TARGETS,
    REACHABLE,
)

__all__ = ["GUARDS", "OPT_IN_TAG", "OPT_IN_VALUE", "Aim", "Guard", "Situation", "refusals"]
