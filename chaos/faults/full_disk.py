"""Leave no space on an instance's local storage."""

from __future__ import annotations

from typing import Literal

from chaos.errors import DatabaseError
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.model.topology import Topology

# It does not fit into work_mem, so it needs temporary files.
_SORT = "SELECT max(a) FROM (SELECT a FROM generate_series(1, 300000) a ORDER BY a DESC OFFSET 0) s"
_DISK_FULL = "53100"


class FullDisk(OfInstance):
    """What needs temporary files fails with SQLSTATE 53100; commits go on, as on Aurora.

    The effect is a large sort that fails so.
    """

    fault: Literal["full-disk"] = "full-disk"

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> None:
        """Sort once while there is space."""
        super().see(context, topology, targets)
        context.database.query(targets[0], _SORT)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once a sort finds no space."""
        return before.target if self._is_full(context, before.target) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, the space too."""
        return super().is_recovered(context, before) and not self._is_full(context, before.target)

    def _is_full(self, context: Context, instance: str) -> bool:
        try:
            context.database.query(instance, _SORT)
        except DatabaseError as error:
            if error.sqlstate == _DISK_FULL:
                return True
            raise
        return False
