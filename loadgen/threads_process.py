"""One arm's traffic by threads in a process of its own: `python -m loadgen.threads_process`.

For clients that gevent breaks: nothing here imports Locust, so nothing is patched.
"""

from __future__ import annotations

import json
import os
import sys

from chaos import names
from chaos.model.access import DatabaseAccess


def main() -> int:
    """Serve one arm until standard input ends; returns the process's exit status."""
    config = json.loads(sys.stdin.buffer.readline())
    access = DatabaseAccess.from_json(config["access"])
    if access.name_server is not None:
        names.install(access.name_server)
    # Drivers may take the resolver's functions over as they are when they are imported.
    from loadgen.generator import serve  # noqa: PLC0415 - after names
    from loadgen.threads import threads  # noqa: PLC0415 - after names

    return serve(config, access, threads())


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Python would wait for threads of client libraries, of which some never end.
    os._exit(status)
