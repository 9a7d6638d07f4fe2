"""The command line: thin commands over the layers below, one exit code for each kind of end."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from chaos import __version__
from chaos.cli import catalogue, cluster, history, run
from chaos.cli.terminal import Terminal
from chaos.errors import ExitCode, GamedayError

app = typer.Typer(
    name="gameday",
    help="What do our clients feel, and do we lose data, when Amazon Aurora fails over?",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
run.register(app)
catalogue.register(app)
history.register(app)
app.add_typer(cluster.app, name="cluster")


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
