"""The command line as a user runs it: in a process of its own, its folders in a temporary place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest


@dataclass(frozen=True)
class Gameday:
    """Runs `gameday` with its runs and state below `home`."""

    home: Path

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "chaos", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "GAMEDAY_OUT": str(self.runs),
                "GAMEDAY_STATE_DIR": str(self.home / "state"),
                **environment,
            },
        )

    def __call__(
        self, *arguments: str, timeout_s: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def folder(self) -> Path:
        (found,) = (path for path in self.runs.iterdir() if path.is_dir())
        return found

    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder() / "verdict.json").read_text())
        return found


@pytest.fixture
def gameday(tmp_path: Path) -> Gameday:
    return Gameday(tmp_path)


@pytest.fixture
def descendants() -> Callable[[int], list[psutil.Process]]:
    """The process tree below a pid, to be asked before it ends and looked at after."""

    def of(pid: int) -> list[psutil.Process]:
        return psutil.Process(pid).children(recursive=True)

    return of
