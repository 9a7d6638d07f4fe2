"""The command line in this process, where starting one of its own proves nothing more."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest
from conftest import Gameday

from chaos.cli import main


def inside(
    gameday: Gameday, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Do what `gameday(...)` does, a second faster: nothing is started and imported for it."""
    environment = {
        "GAMEDAY_OUT": str(gameday.runs),
        "GAMEDAY_STATE_DIR": str(gameday.home / "state"),
        **environment,
    }
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment),
        patch("sys.argv", ["gameday", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(
        arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue()
    )
