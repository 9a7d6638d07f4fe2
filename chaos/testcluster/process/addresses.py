"""A block of loopback addresses per cluster, leased by listening on its control address.

Block N is 127.77.N.0/24. Whoever listens on 127.77.N.1:5380 holds it; the kernel frees the lease
when that process dies, however it dies, so no lock file can go stale. Two clusters on one machine
never share an address, and instances of one cluster can share the database port as RDS's do.
"""

from __future__ import annotations

import errno
import itertools
import socket
import threading
from collections import deque
from dataclasses import dataclass, field

from chaos.errors import HostError

CONTROL_PORT = 5380
DNS_PORT = 5300
DEFAULT_PORT = 5432
_BLOCKS = range(1, 251)
_FIRST_INSTANCE = 10
_INSTANCES_MAX = 245


@dataclass(frozen=True, slots=True)
class AddressBlock:
    """One leased /24; `listener` is the control address's listening socket, to serve HTTP on."""

    number: int
    listener: socket.socket = field(repr=False)

    @classmethod
    def lease(cls) -> AddressBlock:
        """Take the first free block.

        Raises:
            HostError: all are taken, or this machine does not answer on 127.77.0.0/16.
        """
        for number in _BLOCKS:
            listener = _listen(f"127.77.{number}.1", CONTROL_PORT)
            if listener is not None:
                return cls(number, listener)
        raise HostError(
            f"all {len(_BLOCKS)} address blocks of this machine are in use by test clusters; "
            "stop one with `gameday cluster down`"
        )

    @property
    def control(self) -> str:
        """The address of the control plane and of the name server."""
        return f"127.77.{self.number}.1"

    @property
    def control_port(self) -> int:
        """The TCP port of the control plane."""
        return CONTROL_PORT

    @property
    def dns_port(self) -> int:
        """The UDP and TCP port of the name server on the control address."""
        return DNS_PORT

    def instance_address(self, number: int) -> str:
        """Return the block's instance address `number`, from 1 to 245."""
        return f"127.77.{self.number}.{_FIRST_INSTANCE + number}"

    def close(self) -> None:
        """Give the block back."""
        self.listener.close()


class InstanceAddresses:
    """A block's addresses for instances; one that was given back is the last to be taken again."""

    def __init__(self, block: AddressBlock) -> None:
        self._lock = threading.Lock()
        self._free = deque(block.instance_address(n) for n in range(1, _INSTANCES_MAX + 1))

    def next(self, count: int) -> tuple[str, ...]:
        """Return the addresses that will be taken next, without taking them."""
        with self._lock:
            return tuple(itertools.islice(self._free, count))

    def take(self) -> str:
        """Return an address that no instance has.

        Raises:
            HostError: all are in use.
        """
        with self._lock:
            if self._free:
                return self._free.popleft()
        raise HostError(
            f"all {_INSTANCES_MAX} instance addresses of this test cluster are in use; "
            "delete instances first"
        )

    def give_back(self, address: str) -> None:
        """Take an address back, once, when its instance is gone."""
        with self._lock:
            self._free.append(address)


def choose_port(addresses: InstanceAddresses, asked: int | None, count: int) -> int:
    """Return a port for so many instances: the one asked for, else 5432, else a free one.

    Raises:
        HostError: the one that is asked for is in use.
    """
    wanted = asked or DEFAULT_PORT
    blocked = [a for a in addresses.next(count) if not port_is_free(a, wanted)]
    if not blocked:
        return wanted
    if asked is not None:
        raise HostError(
            f"port {wanted} is in use on {blocked[0]} or on all addresses; "
            "free it, or name another port"
        )
    return free_port(blocked[0])


def port_is_free(address: str, port: int) -> bool:
    """Tell whether a server could listen on `address:port` now."""
    probe = _listen(address, port)
    if probe is None:
        return False
    probe.close()
    return True


def free_port(address: str) -> int:
    """Return a port that nothing uses on `address`, nor on the wildcard address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port


def _listen(address: str, port: int) -> socket.socket | None:
    """Return a listening socket, or None where another one has the address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of an earlier holder in TIME_WAIT do not count; another listener always does.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            return None
        if error.errno == errno.EADDRNOTAVAIL:
            raise HostError(
                f"cannot listen on {address}: this machine's loopback does not answer on all of "
                "127.0.0.0/8; the test cluster needs Linux"
            ) from error
        raise HostError(f"cannot listen on {address}:{port}: {error.strerror}") from error
    return listener
