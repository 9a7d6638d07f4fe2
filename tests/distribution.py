"""Which tests run beside each other under `--dist loadgroup`: those of a file one after the other.

A worker does a group of tests in turn; a file is a group, since its fixtures are shared. Marks change
that (CONTRIBUTING.md says when): `spread` makes several groups of a file, `seconds` starts its groups
before shorter ones, `alone` takes a test out of the parallel phase.
"""

from __future__ import annotations

from collections import Counter

import pytest

MARKS = """\
alone: runs beside no other test, since its verdict needs clients that are not starved
spread(groups): so many groups of the file's tests may run at once, each with module fixtures of its own
seconds(s): about how long the file, or a test that is a group, takes; the longest start first
"""


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS.splitlines():
        config.addinivalue_line("markers", mark)


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
