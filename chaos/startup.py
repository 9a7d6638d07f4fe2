"""Importing what a process consists of, at a third less of its processor time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Keep the garbage collector from what is imported: all of it lives as long as the process.

    It would go through every module, class and field again and again while they are made, and once
    more at the process's end.
    """
    was_enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:  # else what is there may as well be garbage
            gc.freeze()
        if was_enabled:
            gc.enable()
