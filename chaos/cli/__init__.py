"""The command line: thin commands over the layers below, one exit code for each kind of end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from chaos import __version__
from chaos.cli.terminal import Terminal
from chaos.errors import ExitCode, GamedayError
from chaos.startup import importing

COMMANDS = {
    "run": ("run", "Carry an experiment out and say what clients felt."),
    "worker": (
        "worker",
        "Send a share of a run's traffic from this machine, until the run is over.",
    ),
    "recover": (
        "recover",
        "Replay the undo records of runs that died before they could restore the cluster.",
    ),
    "stop": (
        "stop",
        "End a run's method now: it recovers what it disturbed, and says why it ended.",
    ),
    "doctor": (
        "doctor",
        "Look at a target and its clients, with a fix for each finding; changes nothing.",
    ),
    "plan": (
        "plan",
        "Tell what a run would do, step by step, and which guard would refuse it; changes nothing.",
    ),
    "policy": (
        "policy",
        "Print the least-privilege IAM policy for exactly this experiment, as JSON.",
    ),
    "validate": (
        "catalogue",
        "Check experiment files; every mistake is file:line:column and what is allowed.",
    ),
    "schema": ("catalogue", "Print the JSON Schema of experiment files, for editors."),
    "experiments": ("catalogue", "List the experiments that ship."),
    "faults": (
        "catalogue",
        "List the faults with their parameters, where they work and what recovery undoes.",
    ),
    "checks": (
        "catalogue",
        "List the checks that an objective may use, with their parameters.",
    ),
    "arms": (
        "catalogue",
        "List the client configurations that can be put under test, with what each costs and saves.",
    ),
    "profiles": (
        "catalogue",
        "List what the clients of an arm can ask, and how much of it.",
    ),
    "guards": ("catalogue", "List the guards that every run must pass before any fault."),
    "runs": ("history", "List the runs, oldest first."),
    "show": ("history", "Show one run's verdict and findings."),
    "judge": ("history", "Judge a run again, from its recorded data alone; exits as the run did."),
    "report": ("history", "Render the report of one or more runs again."),
    "cluster": ("cluster", "Keep a test cluster running by itself."),
}
"""The module of this package whose `register` adds a command, and what the command says it does."""


class _OnDemand(Mapping[str, Any]):
    """The commands; a module is imported once a command of it is wanted, since some take a second."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            part = typer.Typer(rich_markup_mode=None)
            with importing():
                import_module(f"{__name__}.{COMMANDS[name][0]}").register(part)
            self._loaded |= typer.main.get_group(part).commands
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Gameday(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _OnDemand()})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer calls it
        """Write every command and what it does, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, does) for name, (_, does) in COMMANDS.items()])


app = typer.Typer(
    name="gameday",
    cls=_Gameday,
    help="What do our clients feel, and do we lose data, when Amazon Aurora fails over?",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        sys.stdout.write(f"aurora-gameday {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with a code of `chaos.errors.ExitCode`."""
    code = _main()
    try:
        sys.stdout.flush()
    except OSError:  # Whoever read has gone; keep the interpreter from complaining about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _main() -> int:
    complain = Terminal().complain
    try:
        result = app(standalone_mode=False, auto_envvar_prefix="GAMEDAY")
    except GamedayError as error:
        complain(str(error))
        return int(error.exit_code)
    except TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # A command group without a command: its help.
            sys.stderr.write(message + "\n")
        else:
            complain(f"{message.rstrip('.')}; see gameday --help")
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted before anything was disturbed")
        return int(ExitCode.INTERRUPTED)
    except Exception as bug:  # told in a line; a traceback is for who asks for one
        if os.environ.get("GAMEDAY_TRACE"):
            raise
        complain(f"our own error, {type(bug).__name__}: {bug}; set GAMEDAY_TRACE=1 to see where")
        return int(ExitCode.INTERNAL)
    return int(result) if isinstance(result, int) else int(ExitCode.PASS)
