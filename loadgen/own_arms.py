"""A user's own arm: one Python file that makes an `Arm`, named by an experiment.

The file is run in a process of its own before anything is disturbed (`look_into`), so that nothing
that it does reaches the runner; then in the arm's traffic process, from the text that was looked at.
The contract is in docs/arms.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import linecache
import subprocess
import sys
import traceback
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.errors import DefinitionError
from loadgen.arm import Arm
from loadgen.families import problems, runs_in_threads

LOOK_S_MAX = 30.0
"""How long running a file may take: it should only define things."""
_DRIVER_PARTS = ("errors", "session", "trouble", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text of a file of arms, as it goes to traffic processes and into the run's folder."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """What tells one text from another."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of arms, and what it said each of them is: description, settings, threads, problems."""

    source: Source
    arms: Mapping[str, Mapping[str, Any]]


def look_into(path: Path) -> Found:
    """Run a file in a process of its own and say which arms it makes.

    Raises:
        DefinitionError: it cannot be read, or is wrong; says in which line.
    """
    try:
        source = Source(name=path.name, text=path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path.name} cannot be read: {error}") from error
    try:
        done = subprocess.run(
            [sys.executable, "-m", "loadgen.own_arms"],
            input=json.dumps({"name": source.name, "text": source.text}),
            capture_output=True,
            text=True,
            timeout=LOOK_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DefinitionError(
            f"{path.name} ran for {LOOK_S_MAX:g} s; a file of arms should only define them"
        ) from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        why = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit status {done.returncode}")
        raise DefinitionError(f"{path.name} ended the process that ran it: {why}")
    told = json.loads(lines[-1])
    if "error" in told:
        raise DefinitionError(told["error"])
    return Found(source=source, arms=told["arms"])


def arms_in(source: Source) -> dict[str, Arm]:
    """Run the text of a file here and return the arms that it makes, by name.

    Raises:
        DefinitionError: it is wrong; says in which line.
    """
    # Under a name of ours: a file called `asyncpg.py` must not stand where drivers look for theirs.
    module = types.ModuleType(f"gameday_arms_{Path(source.name).stem}")
    module.__file__ = source.name
    sys.modules[module.__name__] = module  # dataclasses and pickles of it look there
    # So that tracebacks show the lines, also where there is no such file.
    lines = source.text.splitlines(keepends=True)
    linecache.cache[source.name] = (len(source.text), None, lines, source.name)
    try:
        exec(compile(source.text, source.name, "exec"), module.__dict__)  # noqa: S102 - the point
    except SyntaxError as error:
        raise DefinitionError(f"{source.name}:{error.lineno or 1}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == source.name), 1)
        raise DefinitionError(f"{source.name}:{line}: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Arm)]
    if not found:
        raise DefinitionError(f"{source.name}:1: makes no arm; assign an Arm to a name")
    made: dict[str, Arm] = {}
    for arm in found:
        if made.setdefault(arm.name, arm) is not arm:
            raise DefinitionError(
                f"{source.name}:1: makes two arms {arm.name!r}; give each its own name"
            )
    return made


def _described(arm: Arm) -> dict[str, Any]:
    return {
        "description": arm.description,
        "settings": arm.settings,
        "threads": runs_in_threads(arm),
        "problems": [what for _, what in problems(arm)] + _missing_parts(arm),
    }


def _missing_parts(arm: Arm) -> list[str]:
    if isinstance(arm.driver, str) or not isinstance(arm.driver, type):
        return []
    missing = [part for part in _DRIVER_PARTS if not hasattr(arm.driver, part)]
    return [f"driver {arm.driver.__name__} has no {', '.join(missing)}"] if missing else []


def main() -> None:
    """Answer `look_into`: a source on standard input, what it makes on standard output."""
    source = Source(**json.loads(sys.stdin.read()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = arms_in(source)
        told: dict[str, Any] = {"arms": {arm.name: _described(arm) for arm in found.values()}}
    except DefinitionError as error:
        told = {"error": str(error)}
    print(json.dumps(told, default=str))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
