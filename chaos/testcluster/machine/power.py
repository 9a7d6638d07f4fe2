"""Where there is power: Availability Zones and single machines can be without.

What has none does not start. Whoever brings a server to life starts it here, and so waits until the
power is back.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from chaos.errors import HostError

if TYPE_CHECKING:
    from chaos.testcluster.aurora.core import Core, Member
    from chaos.testcluster.postgres.node import Node

_POLL_S = 0.05


class Power:
    """The outages of one server's estate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zones: frozenset[str] = frozenset()
        self._nodes: frozenset[Node] = frozenset()

    def reaches(self, member: Member) -> bool:
        """Tell whether an instance's machine has power."""
        return member.availability_zone not in self._zones and member.node not in self._nodes

    def cut_zone(self, zone: str) -> bool:
        """Take the power from a zone; False where it has none already."""
        with self._lock:
            is_new = zone not in self._zones
            self._zones |= {zone}
            return is_new

    def restore_zone(self, zone: str) -> None:
        """Give it back."""
        with self._lock:
            self._zones -= {zone}

    def cut_node(self, node: Node) -> bool:
        """Take the power from one machine; False where it has none already."""
        with self._lock:
            is_new = node not in self._nodes
            self._nodes |= {node}
            return is_new

    def restore_node(self, node: Node) -> None:
        """Give it back."""
        with self._lock:
            self._nodes -= {node}


def start(core: Core, member: Member, upstream: str | None) -> None:
    """Start an instance's node (`Node.start`) as soon as it has power.

    Raises:
        HostError: it ended instead, or lost its power meanwhile.
        WaitTimeout: it hangs.
        Closing: the cluster closes.
    """
    power = core.ground.power
    while member.node.silence.lasts or not power.reaches(member):
        core.pause(_POLL_S)
    member.node.start(upstream)
    if not power.reaches(member):  # Cut after we looked, and before there was a server to find.
        member.node.silence.begin(member.node.pid)
        raise HostError(f"{member.id} lost its power while it started")
