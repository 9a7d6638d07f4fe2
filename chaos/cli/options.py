"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chaos.errors import DefinitionError

RunsRoot = Annotated[
    Path,
    typer.Option("--out", envvar="GAMEDAY_OUT", help="Folder that holds the runs' folders."),
]
Variables = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a ${NAME}.")
]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", help="Only these arms of the workload (repeatable)."),
]
Repeat = Annotated[
    int | None, typer.Option(min=1, max=100, help="Do each step of the method N times.")
]
Safety = Annotated[
    Path | None,
    typer.Option(
        "--safety",
        envvar="GAMEDAY_SAFETY",
        help="Safety file; absent: gameday-safety.yaml here, or ~/.config/gameday/safety.yaml.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", envvar="GAMEDAY_JSON", help="Print one JSON object.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", envvar="GAMEDAY_QUIET", help="No progress, only results.")
]


class Profile(StrEnum):
    """Paces of the test cluster (chaos.testcluster.profiles), as an option may name them."""

    FAST = "fast"
    AURORA = "aurora"


DEFAULT_RUNS = Path("runs")


def assigned(variables: list[str] | None) -> Mapping[str, str]:
    """Return what `--set NAME=VALUE` gives.

    Raises:
        DefinitionError: one is written otherwise.
    """
    pairs = [variable.partition("=") for variable in variables or ()]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise DefinitionError(f"--set {name}: write --set NAME=VALUE")
    return {name: value for name, _, value in pairs}
