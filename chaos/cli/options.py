"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RunsRoot = Annotated[
    Path,
    typer.Option("--out", envvar="GAMEDAY_OUT", help="Folder that holds the runs' folders."),
]
Safety = Annotated[
    Path | None,
    typer.Option(
        "--safety",
        envvar="GAMEDAY_SAFETY",
        help="Safety file; absent: gameday-safety.yaml here, or ~/.config/gameday/safety.yaml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", envvar="GAMEDAY_QUIET", help="No progress, only results.")
]


class Profile(StrEnum):
    """Paces of the test cluster (chaos.testcluster.profiles), as an option may name them."""

    FAST = "fast"
    AURORA = "aurora"


DEFAULT_RUNS = Path("runs")
