"""`gameday cluster exec` as a user types it, on standing test clusters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from fix_exec import PSQL, TIMEOUT_S

from chaos.errors import ExitCode
from chaos.testcluster.process import lifecycle
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(40)

GAMEDAY = (sys.executable, "-m", "chaos")
EXEC = (*GAMEDAY, "cluster", "exec")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A standing cluster, the only one on record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEDAY_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        lifecycle.up(ClusterSpec(id="standing", readers=0))
        tried = gameday(*EXEC, "--", "true")
        if tried.returncode != 0:
            assert "this machine's kernel allows no `cluster exec`" in tried.stderr, tried.stderr
            lifecycle.down("standing")
            pytest.skip(f"THIS MACHINE FORBIDS IT: {tried.stderr.strip()}")
        yield "standing"
        for state in lifecycle.status():
            lifecycle.down(state.id)


def gameday(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
    )


def test_the_only_cluster_is_meant(standing: str) -> None:
    ended = gameday(*EXEC, "--", PSQL, "-At", "sslmode=verify-full", "-c", "SELECT 42")
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr


def test_options_after_the_program_are_its_own(standing: str) -> None:
    ended = gameday(
        *EXEC, "--identifier", standing, "sh", "-c", "echo $0 $1; exit 9", "--help", "-x"
    )
    assert (ended.returncode, ended.stdout) == (9, "--help -x\n"), ended.stderr


def test_what_is_not_there_is_wrong_usage(standing: str) -> None:
    ended = gameday(*EXEC, "--", "no-such-program")
    assert ended.returncode == ExitCode.USAGE
    assert "cannot run no-such-program: there is no such program" in ended.stderr


def test_the_program_ends_with_us(standing: str) -> None:
    with subprocess.Popen(
        [*EXEC, "--", "sh", "-c", "echo $$; exec sleep 600"], stdout=subprocess.PIPE, text=True
    ) as ours:
        assert ours.stdout is not None
        program = psutil.Process(int(ours.stdout.readline()))
        ours.kill()

    def ended() -> bool:
        try:
            return program.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(ended, "the program to end", timeout_s=60)


def test_the_cluster_has_to_be_clear(standing: str) -> None:
    lifecycle.up(ClusterSpec(id="other", readers=0))
    several = gameday(*EXEC, "--", "true")
    assert several.returncode == ExitCode.USAGE
    assert "several test clusters are running (other, standing)" in several.stderr
    lifecycle.down("other")
    gone = gameday(*EXEC, "--identifier", "other", "--", "true")
    assert gone.returncode == ExitCode.USAGE
    assert "no test cluster other is running" in gone.stderr
