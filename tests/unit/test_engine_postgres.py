"""Finding PostgreSQL: what is asked for, what is installed, and what the error says otherwise."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from chaos.errors import HostError
from chaos.testcluster.postgres import programs as postgres
from chaos.testcluster.postgres.programs import find_postgres


def install(folder: Path, version: str) -> Path:
    """Make programs that only say their version."""
    folder.mkdir(parents=True)
    for name in postgres.PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version} (Debian)"\n')
        program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(postgres.ENVIRONMENT, raising=False)
    monkeypatch.setattr(postgres, "_PATTERNS", ())
    monkeypatch.setattr(postgres, "_WHEELS", ())
    monkeypatch.setattr("chaos.testcluster.postgres.programs.shutil.which", lambda _: None)


def test_none_says_what_to_install() -> None:
    with pytest.raises(HostError, match=r"pip install 'aurora-gameday\[postgres\]'"):
        find_postgres()


def test_the_newest_installed_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major, version in [("9", "9.6"), ("14", "14.22"), ("15", "15.18")]:
        install(tmp_path / major / "bin", version)
    monkeypatch.setattr(postgres, "_PATTERNS", (f"{tmp_path}/*/bin",))
    found = find_postgres()
    assert (found.version, found.major) == ("15.18", 15)
    assert found.program("initdb") == str(tmp_path / "15" / "bin" / "initdb")


def test_what_is_asked_for_wins_over_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "17" / "bin", "17.10")
    monkeypatch.setattr(postgres, "_PATTERNS", (f"{tmp_path}/*/bin",))
    older = install(tmp_path / "older" / "bin", "14.22")
    assert find_postgres(older).version == "14.22"
    monkeypatch.setenv(postgres.ENVIRONMENT, str(older.parent))
    assert find_postgres().version == "14.22"


@pytest.mark.parametrize("version", ["13.4", None])
def test_an_unusable_folder_is_refused_by_name(tmp_path: Path, version: str | None) -> None:
    folder = install(tmp_path / "bin", version) if version else tmp_path
    with pytest.raises(HostError, match=str(folder)):
        find_postgres(folder)


@pytest.mark.parametrize("function", ["bin_dir", "bin"])
def test_a_wheel_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    folder = install(tmp_path / "wheel", "17.10")
    wheel = types.ModuleType("a_wheel")
    wheel.__file__ = __file__
    setattr(wheel, function, lambda: str(folder))
    monkeypatch.setitem(sys.modules, "a_wheel", wheel)
    monkeypatch.setattr(postgres, "_WHEELS", ("not_installed", "a_wheel"))
    assert find_postgres().directory == folder


def test_a_beta_or_development_version_is_understood(tmp_path: Path) -> None:
    assert find_postgres(install(tmp_path / "bin", "18beta1")).major == 18
