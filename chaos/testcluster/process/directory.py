"""Where a cluster's data lie: in memory where they fit, else in the folder for temporary files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
_SPACE_PER_NODE = 150 * 1024 * 1024


def make_directory(nodes: int) -> Path:
    """Make a private folder for the data of `nodes` nodes."""
    base: Path | None = None
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= nodes * _SPACE_PER_NODE:
        base = _MEMORY
    return Path(tempfile.mkdtemp(prefix="gameday-", dir=base))
