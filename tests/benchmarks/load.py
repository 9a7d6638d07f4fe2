"""A crowd beside the probes: processes that insert as fast as they can, and reconnect."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any, Self

import psycopg
from fix_outage import Rig


class Load:
    """`processes` clients of the writer, each at `rate` inserts a second (0: no limit)."""

    def __init__(self, rig: Rig, processes: int, rate: float) -> None:
        parameters = rig.access.parameters("cluster")
        parameters["hostaddr"] = rig.nodes["one"].address
        context = multiprocessing.get_context("spawn")
        self._crowd = [
            context.Process(target=_insert, args=(parameters, rate), daemon=True)
            for _ in range(processes)
        ]
        if processes:
            with psycopg.connect(**parameters) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS crowd (id bigserial, note text)")

    def __enter__(self) -> Self:
        for process in self._crowd:
            process.start()
        return self

    def __exit__(self, *reason: object) -> None:
        for process in self._crowd:
            process.kill()
            process.join()


def _insert(parameters: dict[str, Any], rate: float) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)  # as other clients, though the bench itself comes first
    while True:
        try:
            with psycopg.connect(**parameters, autocommit=True) as connection:
                while True:
                    connection.execute("INSERT INTO crowd (note) VALUES ('x')")
                    if rate:
                        time.sleep(1 / rate)  # noqa: TID251 - paces a load process
        except psycopg.Error:
            time.sleep(0.05)  # noqa: TID251 - the server is gone for the moment
