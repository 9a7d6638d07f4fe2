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

MODULES = {
    "run": "run",
    "worker": "worker",
    "recover": "recover",
    "stop": "stop",
    "doctor": "doctor",
    "plan": "plan",
    "policy": "policy",
    "validate": "catalogue",
    "schema": "catalogue",
    "experiments": "catalogue",
    "faults": "catalogue",
    "checks": "catalogue",
    "arms": "catalogue",
    "profiles": "catalogue",
    "guards": "catalogue",
    "runs": "history",
    "show": "history",
    "judge": "history",
    "report": "history",
    "cluster": "cluster",
}
"""The module of this package whose `register` adds a command."""


class _OnDemand(Mapping[str, Any]):
    """The commands; a module is imported once a command of it is wanted, since some take a second."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            part = typer.Typer(rich_markup_mode=None)
            import_module(f"{__name__}.{MODULES[name]}").register(part)
            self._loaded |= typer.main.get_group(part).commands
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class _Gameday(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _OnDemand()})


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
