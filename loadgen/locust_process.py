"""One arm's traffic in a process of its own: `python -m loadgen.locust_process`.

The order of imports is the point of this file. `import locust` patches the process for gevent,
which replaces the resolver's functions: the test cluster's names are installed after it. psycopg
decides when it is imported whether to wait in C, which would stop every user at once: it is last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from chaos import names
from chaos.model.access import DatabaseAccess
from chaos.startup import importing


def main() -> int:
    """Serve one arm until standard input ends; returns the process's exit status."""
    config: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    access = DatabaseAccess.from_json(config["access"])
    with importing():
        serve = _import_patched(access)
    return serve(config)


def _import_patched(access: DatabaseAccess) -> Callable[[dict[str, Any]], int]:
    sys.modules.setdefault("locust.web", _Absent("locust.web"))
    import locust  # noqa: F401, PLC0415 - patches the process, before any driver is imported

    if access.name_server is not None:
        names.install(access.name_server)
    import psycopg.waiting  # noqa: PLC0415 - after locust

    if psycopg.waiting.wait is getattr(psycopg.waiting, "wait_c", None):
        raise AssertionError("psycopg was imported before locust: it would block every user")
    from loadgen.generator import serve  # noqa: PLC0415 - after locust
    from loadgen.users import GREENLETS  # noqa: PLC0415 - after locust

    return lambda config: serve(config, access, GREENLETS)


class _Absent(ModuleType):
    """Stands for Locust's web interface: Flask is a quarter of what a start of this process costs."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})  # named where Locust could be told to serve it; never made here


if __name__ == "__main__":
    sys.exit(main())
