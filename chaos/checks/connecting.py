"""What clients went through to connect, as a stream of operations of its own kind.

Each connection that a client tried to open is an operation that was due when connecting began, and
succeeded or failed when that was known. Clients connect when they have to: a pool whose connections
outlive a fault tells nothing of connecting meanwhile, and few tries leave wide bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from chaos.model.history import ATTEMPT_DTYPE, OPERATION_DTYPE, OperationLog, Stream
from chaos.model.operation import NO_WRITE_ID, ConnectionEvent, Kind, Outcome

StreamKey = tuple[str, str, Kind]


def connect_streams(
    logs: Mapping[str, OperationLog],
) -> dict[StreamKey, tuple[OperationLog, Stream]]:
    """Return a stream for each arm and endpoint that a connection was tried to, and its log."""
    return {
        (stream.arm, stream.endpoint, stream.kind): (tries, stream)
        for log in logs.values()
        for tries in (connect_log(log),)
        for stream in tries.streams()
    }


def connect_log(log: OperationLog) -> OperationLog:
    """Return the connections that an arm tried to open as operations."""
    tried = log.connections[log.connections["event"] != ConnectionEvent.CLOSED]
    failed = tried["event"] == ConnectionEvent.FAILED
    operations = np.zeros(len(tried), dtype=OPERATION_DTYPE)
    operations["intended_ns"] = operations["started_ns"] = tried["began_ns"]
    operations["ended_ns"] = tried["at_ns"]
    operations["write_id"] = NO_WRITE_ID
    for name in ("backend_pid", "endpoint", "instance"):
        operations[name] = tried[name]
    operations["error"] = np.where(failed, tried["address"], 0)
    operations["attempts"] = 1
    operations["kind"] = Kind.CONNECT
    operations["outcome"] = np.where(failed, Outcome.FAILED, Outcome.OK)
    return replace(log, operations=operations, attempts=np.empty(0, dtype=ATTEMPT_DTYPE))
