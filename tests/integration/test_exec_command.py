"""`gameday cluster exec` as a user types it, on standing test clusters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fix_exec import PSQL

from chaos.errors import ExitCode
from chaos.testcluster import lifecycle
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until

GAMEDAY = (sys.executable, "-m", "chaos")
EXEC = (*GAMEDAY, "cluster", "exec")
# In a user namespace without network namespaces, for root and for everybody else.
WITHOUT_NAMESPACES = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A standing cluster, the only one on record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEDAY_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        lifecycle.up(ClusterSpec(id="standing", readers=0))
        yield "standing"
        for state in lifecycle.status():
            lifecycle.down(state.id)


def gameday(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_the_only_cluster_is_meant(standing: str) -> None:
    ended = gameday(*EXEC, "--", PSQL, "-At", "sslmode=verify-full", "-c", "SELECT 42")
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr


def test_options_after_the_program_are_its_own(standing: str) -> None:
    ended = gameday(
        *EXEC, "--identifier", standing, "sh", "-c", "echo $0 $1; exit 9", "--help", "-x"
    )
    assert (ended.returncode, ended.stdout) == (9, "--help -x\n"), ended.stderr


def test_what_cannot_be_run_is_wrong_usage(standing: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a program")
    for program, why in (
        ("no-such-program", "there is no such program"),
        (str(text), "Permission denied"),
    ):
        ended = gameday(*EXEC, "--", program)
        assert ended.returncode == ExitCode.USAGE
        assert f"cannot run {program}: {why}" in ended.stderr


def test_another_mode_is_taken_where_namespaces_are_forbidden(standing: str) -> None:
    forbid = ("unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_NAMESPACES, "sh")
    if gameday(*forbid, "true").returncode != 0:
        pytest.skip(
            "THIS KERNEL FORBIDS user namespaces, and so every test of mode intercept is it"
        )
    show = ("--", PSQL, "-At", "-c", "SELECT 42")
    asked = gameday(*forbid, *EXEC, "--mode", "namespace", *show)
    assert asked.returncode == ExitCode.INTERNAL
    assert "mode namespace: unshare: No space left on device" in asked.stderr
    ended = gameday(*forbid, *EXEC, *show)
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr


def test_where_no_mode_works_it_says_what_is_missing(standing: str) -> None:
    """A program under `exec` cannot have its calls handed to another one."""
    ended = gameday(*EXEC, "--", *EXEC, "--", "true")
    assert ended.returncode == ExitCode.INTERNAL
    assert "mode namespace: " in ended.stderr
    assert "mode intercept: " in ended.stderr
    assert "seccomp is not forbidden" in ended.stderr


def test_the_program_ends_with_us(standing: str) -> None:
    with subprocess.Popen(
        [*EXEC, "--", "sh", "-c", "echo $$; exec sleep 600"], stdout=subprocess.PIPE, text=True
    ) as ours:
        assert ours.stdout is not None
        program = psutil.Process(int(ours.stdout.readline()))
        ours.kill()
    wait_until(lambda: not program.is_running(), "the program to end", timeout_s=30)


def test_the_cluster_has_to_be_clear(standing: str) -> None:
    lifecycle.up(ClusterSpec(id="other", readers=0))
    several = gameday(*EXEC, "--", "true")
    assert several.returncode == ExitCode.USAGE
    assert "several test clusters are running (other, standing)" in several.stderr
    assert gameday(*EXEC, "--identifier", "other", "--", "true").returncode == 0
    lifecycle.down("other")
    gone = gameday(*EXEC, "--identifier", "other", "--", "true")
    assert gone.returncode == ExitCode.USAGE
    assert "no test cluster other is running" in gone.stderr
