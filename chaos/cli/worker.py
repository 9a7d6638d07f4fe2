"""`gameday worker`: sends a share of the traffic of a run that another machine carries out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chaos.cli.options import AsJson, Quiet
from chaos.cli.target import login
from chaos.cli.terminal import Terminal
from chaos.errors import DefinitionError, HostError, RunInterrupted
from chaos.run.interrupt import InterruptibleClock, signals_to
from chaos.worker import WorkerProcess
from loadgen.distributed.force import (
    JOIN_S_MAX,
    TOKEN_VARIABLE,
    WORKER,
    WORKERS_MAX,
    Force,
    ForceConfig,
    parsed_address,
    strong_token,
)

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=WORKERS_MAX,
        help="Split the traffic between N workers, on this machine unless --listen is given.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Wait here for the workers, which `gameday worker --join` starts on other machines.",
    ),
]
_LEAVE_S_MAX = 30.0
_LOOK_EVERY_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(name="worker")(worker)


def force_config(workers: int | None, listen: str | None) -> ForceConfig | None:
    """Return the workers that `gameday run` is to have; None: it sends its traffic itself.

    Raises:
        DefinitionError: where to listen is not written as HOST:PORT, nobody is waited for, or the
            token in the environment is short.
    """
    if workers is None:
        if listen is not None:
            raise DefinitionError("--listen waits for workers; say for how many with --workers N")
        return None
    chosen = os.environ.get(TOKEN_VARIABLE)
    return ForceConfig(
        workers=workers,
        listen=parsed_address(listen) if listen else None,
        token=strong_token(chosen) if chosen else None,
    )


@contextmanager
def gathered(
    config: ForceConfig | None,
    *,
    arms: tuple[str, ...],
    folder: Path,
    kind: str,
    tell: Callable[[str], None],
    clock: InterruptibleClock,
) -> Iterator[Force | None]:
    """Have the workers of a run for a block; None where it has none.

    Raises:
        DefinitionError: workers of other machines cannot reach this kind of cluster.
        HostError: not all of them joined.
    """
    if config is None:
        yield None
        return
    force = Force(config, arms, folder, tell, clock)
    force.require_reach(kind)
    with force:
        yield force


def worker(
    *,
    join: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where `gameday run --workers --listen` waits.")
    ],
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="The token that the run told; in the environment nobody else sees it.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Send a share of a run's traffic from this machine, until the run is over."""
    host, port = parsed_address(join)
    if not token:
        raise DefinitionError(f"no token; set {TOKEN_VARIABLE} to the one that the run told")
    terminal = Terminal(quiet=quiet)
    _worked(host, port, strong_token(token), terminal)
    if as_json:
        terminal.object({"joined": f"{host}:{port}", "delivered": True})
    return 0


def _worked(host: str, port: int, token: str, terminal: Terminal) -> None:
    """Be a worker from joining to the last record; leave a folder only where it is of use.

    Raises:
        HostError: it ended early; says why, and where its records and logs are.
        RunInterrupted: a signal ended it; says where its records are, if there are any.
    """
    folder = Path(tempfile.mkdtemp(prefix="gameday-worker-"))
    clock = InterruptibleClock()
    with signals_to(clock, terminal.tell):
        process = WorkerProcess(
            "the worker",
            WORKER,
            {
                "host": host,
                "port": port,
                "token": token,
                "login": login(),
                "folder": str(folder),
                "join_s_max": JOIN_S_MAX,
            },
            folder / "logs" / "worker.log",
        )
        terminal.tell(f"joining {host}:{port}")
        why = ""
        interrupted: RunInterrupted | None = None
        try:
            why = _followed(process, terminal, clock)
        except RunInterrupted as error:
            interrupted = error
        finally:
            status = process.stop(_LEAVE_S_MAX)
    if interrupted and _holds_operations(folder):
        raise RunInterrupted(
            f"{interrupted}; what this worker recorded, and may not have shipped, is in {folder}"
        ) from interrupted
    if not interrupted and (why or status):
        raise HostError(
            f"this worker ended early: {why or f'exit status {status}'}; what it recorded and did "
            f"not ship, and its logs, are in {folder}"
        )
    shutil.rmtree(folder, ignore_errors=True)
    if interrupted:
        raise interrupted


def _holds_operations(folder: Path) -> bool:
    return any(path.stat().st_size for path in (folder / "operations").glob("*.ops"))


def _followed(process: WorkerProcess, terminal: Terminal, clock: InterruptibleClock) -> str:
    """Tell what it does until it ends; return why, where it gave up."""
    told = {"ready": "joined", "serving": "sending traffic", "stopped": "handing over records"}
    while True:
        message = process.take()
        if message is None:
            clock.sleep(_LOOK_EVERY_S)
        elif message["state"] == "ended":
            return ""
        elif message["state"] == "error":
            return str(message["message"])
        else:
            terminal.tell(told.get(message["state"], message["state"]))
