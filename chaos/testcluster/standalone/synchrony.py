"""Keeping commits waiting for the hidden node exactly while it streams, and replicas on their source.

RDS mirrors a Multi-AZ instance's volume; here PostgreSQL's synchronous replication makes a commit as
slow, and the shared folder of WAL (storage.py) makes it as safe. A lost standby stops commits until the
control plane has noticed it, as a lost mirror does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from chaos.errors import DatabaseError, HostError
from chaos.testcluster.aurora.core import Member
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.standalone.core import StandaloneCore

log = logging.getLogger(__name__)

SETTING = "synchronous_standby_names"
_INTERVAL_S = 0.05


class Synchrony:
    """Watches one instance's nodes and sets what commits of the active one wait for.

    Args:
        core: the instance's.
        restart: restarts a node in the background; called under the core's lock.
    """

    def __init__(self, core: StandaloneCore, restart: Callable[[Member], None]) -> None:
        self._core = core
        self._restart = restart
        self._set: tuple[Node, str] | None = None
        self._thread = threading.Thread(target=self._watch, name="synchrony", daemon=True)

    def start(self) -> None:
        """Begin; it ends when the core closes."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, after the core has closed."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def holds(self, active: Node, standby: str) -> bool:
        """Tell whether commits of `active` wait for `standby`."""
        return self._set == (active, f'"{standby}"')

    def _watch(self) -> None:
        core = self._core
        while not core.closing.wait(_INTERVAL_S):
            try:
                if core.source is None:
                    self._hold()
                else:
                    self._follow(core.source())
            except (HostError, DatabaseError, OSError) as error:
                log.warning("replication of %s: %s", core.spec.id, error)

    def release(self) -> None:
        """Let commits wait for nobody now; the standby is not healthy any more."""
        self._hold()

    def _follow(self, source: Node | None) -> None:
        """Stream from where the source's active node is now."""
        core = self._core
        with core.lock:
            active = core.writer_member()
            if active is None or not active.healthy:
                return
            if core.settings.cannot_follow(active):
                self._restart(active)
                return
        if source is not None and active.node.upstream != source.address:
            active.node.follow(source.address)

    def _hold(self) -> None:
        """Let commits wait for the standby while it is healthy."""
        core = self._core
        with core.lock:
            active, standby = core.writer_member(), core.standby()
            if active is None or active.node.pid is None:
                return
            if standby is not None and standby.healthy and core.settings.cannot_follow(standby):
                self._restart(standby)
            waits = standby is not None and standby.healthy and not standby.node.silence.lasts
            name = f'"{standby.id}"' if standby is not None and waits else ""
        if self._set != (active.node, name):
            active.node.set({SETTING: name})
            self._set = (active.node, name)
