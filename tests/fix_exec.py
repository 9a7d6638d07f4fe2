"""Programs that run beside a test cluster as under `gameday cluster exec`."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fix_server import LiveCluster

from chaos.testcluster.postgres.programs import find_postgres

_RUNNER = Path(__file__).with_name("exec_runner.py")
TIMEOUT_S = 120
_REFUSALS: dict[object, str] = {}
PSQL = shutil.which("psql") or find_postgres().program("psql")
# The system's own, before that of the tests, which may lie where others cannot look.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable


class Beside:
    """Runs programs beside one cluster, in one mode and as one account."""

    def __init__(
        self,
        live: LiveCluster,
        mode: str,
        account: tuple[int, int] | None = None,
        *,
        like_docker: bool = False,
    ) -> None:
        self.live = live
        self.kind = (mode, account, like_docker)
        self._told = {
            "access": live.state.access.as_json(),
            "api_url": live.state.api_url,
            "region": live.state.region,
            "ca_file": live.state.status["ca_file"],
            "name_server": asdict(live.state.name_server),
            "mode": mode,
            "account": account,
            "like_docker": like_docker,
        }

    @property
    def starter(self) -> tuple[str, ...]:
        """The command that runs the program which it is given."""
        told = f"EXEC_TOLD={json.dumps(self._told)}"
        return ("env", told, sys.executable, str(_RUNNER))

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program; its input and output are pipes unless `options` say otherwise."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(
            [*self.starter, *command],
            text=True,
            cwd="/",
            **{**pipes, **options},
        )

    def run(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        with self.start(*command) as process:
            try:
                out, err = process.communicate(given, timeout=TIMEOUT_S)
            finally:
                process.kill()
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def output(self, *command: str, given: str = "") -> str:
        """Return what a program that succeeds writes."""
        ended = self.run(*command, given=given)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def python(self, source: str, given: str = "") -> str:
        """Return what a Python program of this environment writes."""
        return self.output(sys.executable, "-c", source, given=given)


def possible(beside: Beside) -> Beside:
    """Return it where the kernel allows its mode; elsewhere skip, once the product has said so."""
    why = _refusal(beside)
    if why:
        pytest.skip(f"THIS MACHINE FORBIDS IT: {why}")
    return beside


def _refusal(beside: Beside) -> str:
    """Why the kernel allows no program like these; it answers once for each mode and account."""
    if beside.kind not in _REFUSALS:
        tried = beside.run("true")
        if tried.returncode != 0:
            refusal = "this machine's kernel allows no `cluster exec` (mode "
            assert refusal in tried.stderr, tried.stderr
            assert "what is needed: Linux 5.14" in tried.stderr, tried.stderr
        _REFUSALS[beside.kind] = (
            tried.stderr.strip().rpartition("\n")[2] if tried.returncode else ""
        )
    return _REFUSALS[beside.kind]


@pytest.fixture(params=["namespace", "intercept"])
def beside(request: pytest.FixtureRequest, live: LiveCluster) -> Beside:
    """Run programs in each mode, as whoever runs the tests."""
    return possible(Beside(live, request.param))


@pytest.fixture(params=["namespace", "intercept"])
def beside_as_nobody(request: pytest.FixtureRequest, live: LiveCluster) -> Beside:
    """Run programs in each mode, unprivileged."""
    if os.geteuid() != 0:
        pytest.skip("not root: every test of `beside` is unprivileged already")
    entry = pwd.getpwnam("nobody")
    return possible(Beside(live, request.param, (entry.pw_uid, entry.pw_gid)))
