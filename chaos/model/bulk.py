"""Arrays of many operations: past some size they lie in a file without a name, not in memory.

An hour of traffic is 18 million operations. What is derived from them for judging is as long, and the
kernel can put a file's pages away when memory is short, which it cannot do with memory proper. So
columns are made piece by piece into such a file (in TMPDIR, gone with the process), and whoever reads
them needs to know nothing of it.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_MEMORY_MAX = 8 * 2**20
"""Bytes from which on an array lies in a file."""
ROWS = 2**17
"""Rows of a piece."""

Array = NDArray[Any]


def room(count: int, dtype: np.dtype[Any] | type) -> Array:
    """Return an array of `count` values that are yet to be written; zeros where it is large."""
    kind = np.dtype(dtype)
    size = count * kind.itemsize
    if size > IN_MEMORY_MAX:
        try:
            with tempfile.TemporaryFile(prefix="gameday-") as file:
                # Now rather than when a page is written, which would kill the process.
                os.posix_fallocate(file.fileno(), 0, size)
                return np.frombuffer(mmap.mmap(file.fileno(), size), dtype=kind)
        except OSError:  # No space there: then in memory after all.
            return np.empty(count, dtype=kind)
    return np.empty(count, dtype=kind)


def pieces(count: int) -> Iterator[slice]:
    """Yield slices that cover `count` rows in order."""
    for start in range(0, count, ROWS):
        yield slice(start, min(start + ROWS, count))


def made(count: int, dtype: np.dtype[Any] | type, piece: Callable[[slice], Array]) -> Array:
    """Return an array of `count` rows, each slice of which `piece` computes."""
    array = room(count, dtype)
    for part in pieces(count):
        array[part] = piece(part)
    return array


def column(records: Array, name: str) -> NDArray[np.int64]:
    """Return one field of records as a contiguous column."""
    return made(len(records), np.int64, lambda part: records[name][part])


def taken(array: Array, rows: NDArray[np.int64]) -> Array:
    """Return some rows, in the order asked for."""
    return made(len(rows), array.dtype, lambda part: array[rows[part]])


def kept(array: Array, flags: NDArray[np.bool_]) -> Array:
    """Return the rows whose flag is set, in order."""
    found = room(int(np.count_nonzero(flags)), array.dtype)
    at = 0
    for part in pieces(len(array)):
        some = array[part][flags[part]]
        found[at : at + len(some)] = some
        at += len(some)
    return found


def where(count: int, flags: Callable[[slice], NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return the rows of which `flags`, asked piece by piece, says so, ascending."""
    total = sum(int(np.count_nonzero(flags(part))) for part in pieces(count))
    found = room(total, np.int64)
    at = 0
    for part in pieces(count):
        some = np.flatnonzero(flags(part)) + part.start
        found[at : at + len(some)] = some
        at += len(some)
    return found


def ascending(array: Array) -> bool:
    """Tell whether no value is below the one before it."""
    return all(
        bool(
            (
                array[max(part.start, 1) : part.stop]
                >= array[max(part.start, 1) - 1 : part.stop - 1]
            ).all()
        )
        for part in pieces(len(array))
    )
