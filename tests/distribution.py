"""Which tests run beside each other under `--dist loadgroup`: those of a file one after the other.

A worker does a group of tests in turn; a file is a group, since its fixtures are shared. Marks change
that (CONTRIBUTING.md says when): `spread` makes several groups of a file, `seconds` starts its groups
before shorter ones, `alone` takes a test out of the parallel phase.

xdist itself writes the group behind a test's name, which pytest 9.2 does not keep; every test is then a
group, silently. So the workers leave word of the groups in a folder, and the scheduler reads it there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

MARKS = """\
alone: runs beside no other test, since its verdict needs clients that are not starved
spread(groups): so many groups of the file's tests may run at once, each with module fixtures of its own
seconds(s): about how long the file, or a test that is a group, takes; the longest start first
"""

FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
"""Where the workers leave word; of the process that deals the tests out."""


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS.splitlines():
        config.addinivalue_line("markers", mark)
    if getattr(config.option, "dist", "no") == "loadgroup":  # said to who deals the tests out
        config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="gameday-groups-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if FOLDER in config.stash:
        config.stash[FOLDER].cleanup()


class Groups(LoadScopeScheduling):
    """Gives a worker one group after the other."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._folder = Path(config.stash[FOLDER].name)

    @cached_property
    def _of(self) -> dict[str, str]:
        """The group of each test, by its name; all workers say the same."""
        found: dict[str, str] = json.loads(next(self._folder.iterdir()).read_text())
        return found

    def _split_scope(self, nodeid: str) -> str:
        return self._of[nodeid]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    if FOLDER in node.config.stash:
        node.workerinput["groups"] = node.config.stash[FOLDER].name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    return Groups(config, log) if FOLDER in config.stash else None


@pytest.hookimpl(tryfirst=True)  # before xdist tells that the tests are collected
def pytest_collection_finish(session: pytest.Session) -> None:
    told = getattr(session.config, "workerinput", {}).get("groups")
    if told is None:
        return
    groups = {item.nodeid: _of_mark(item) for item in session.items}
    file = Path(told) / f"{os.getpid()}.json"
    file.write_text(json.dumps(groups), encoding="utf-8")


def _of_mark(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    assert mark is not None
    return str(mark.args[0])


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not getattr(config.option, "loadgroup", False):  # said to xdist's workers only
        return
    in_file: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            file = item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(_group(item, file, in_file[file])))
            in_file[file] += 1
    items.sort(key=_seconds, reverse=True)  # stable: a group's tests keep their order


def _group(item: pytest.Item, file: str, number: int) -> str:
    spread = item.get_closest_marker("spread")
    if spread is None:
        return file
    (groups,) = spread.args or (number + 1,)
    return f"{file}#{number % groups}"


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("seconds")
    return float(mark.args[0]) if mark else 0.0
