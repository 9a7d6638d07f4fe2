"""A run's folder: made before anything happens, complete at every instant."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from chaos import __version__
from chaos.clock import Anchor
from chaos.errors import DefinitionError, HostError

_PACKAGES = (
    "boto3", "botocore", "dnspython", "gevent", "locust", "numpy", "psycopg", "sqlalchemy", "tenacity",
)  # fmt: skip


def create(root: Path, experiment: str, anchor: Anchor) -> Path:
    """Make the folder of a new run, `<UTC start>-<experiment>`; its name is the run's id.

    Raises:
        HostError: it cannot be made or written; says where and why.
    """
    stamp = f"{anchor.wall(anchor.monotonic_ns):%Y%m%dT%H%M%SZ}"
    made(root)
    try:
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            folder = root / f"{stamp}-{experiment}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            (folder / "operations").mkdir()
            return folder
    except OSError as error:
        raise HostError(
            f"cannot make a run folder in {root}: {error.strerror}; choose another with --out"
        ) from error
    raise HostError(f"a hundred runs started within one second in {root}")


@contextmanager
def created(root: Path, experiment: str, anchor: Anchor) -> Iterator[Path]:
    """Make the folder of a new run for a block, and take it away if the block fails without a file.

    Raises:
        HostError: as `create`.
    """
    folder = create(root, experiment, anchor)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # Not empty: it tells what happened.
            (folder / "operations").rmdir()
            folder.rmdir()
        raise


def made(root: Path) -> Path:
    """Make the folder that holds the runs' folders, if it is missing, and return it.

    Raises:
        HostError: it cannot be made; says why.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make {root} for the runs' folders: {error.strerror}; choose another with --out"
        ) from error
    return root


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        HostError: the disk is full or the folder is gone.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}; free space or choose another --out"
        ) from error


def write_definition(folder: Path, experiment: Mapping[str, Any]) -> None:
    """Write `experiment.yaml` as resolved."""
    text = StringIO()
    yaml = YAML()
    yaml.dump(dict(experiment), text)
    write(folder / "experiment.yaml", text.getvalue())


def write_environment(folder: Path, anchor: Anchor, fields: Mapping[str, Any]) -> None:
    """Write `environment.json`: what the run is, where it ran, with what; never a secret."""
    environment = {
        "run": folder.name,
        "anchor": asdict(anchor),
        "started_at": anchor.wall(anchor.monotonic_ns).isoformat(),
        "command": _masked(sys.argv),
        "git": _git(),
        "host": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": {
            "aurora-gameday": __version__,
            **{package: metadata.version(package) for package in _PACKAGES},
        },
        **fields,
    }
    write(folder / "environment.json", json.dumps(environment, indent=1, default=str))


def _masked(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the values of `--set NAME=VALUE`."""
    masked: list[str] = []
    for argument in arguments:
        after_set = bool(masked) and masked[-1] == "--set"
        if after_set or argument.startswith("--set="):
            prefix, _, rest = argument.partition("=")
            name = rest.partition("=")[0] if argument.startswith("--set=") else prefix
            masked.append(f"--set={name}=***" if argument.startswith("--set=") else f"{name}=***")
        else:
            masked.append(argument)
    return masked


def _git() -> dict[str, Any] | None:
    """Return revision and dirtiness of the checkout we are run from, None outside one."""
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
        status = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if revision.returncode:
        return None
    return {"revision": revision.stdout.strip(), "dirty": bool(status.stdout.strip())}


def find(root: Path, run: str | None) -> Path:
    """Return the folder of a run: a path, an id below `root`, or the latest for None.

    Raises:
        DefinitionError: there is none.
    """
    if run is not None:
        for folder in (Path(run), root / run):
            if (folder / "environment.json").is_file():
                return folder
        raise DefinitionError(f"{run}: no run folder, here or in {root}; `gameday runs` lists them")
    folders = listing(root)
    if not folders:
        raise DefinitionError(f"no run in {root}; `gameday run EXPERIMENT` makes one")
    return folders[-1]


def listing(root: Path) -> list[Path]:
    """Return the folders of all runs below `root`, oldest first."""
    return sorted(path.parent for path in root.glob("*/environment.json"))
