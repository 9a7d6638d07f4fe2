"""Which worker carried out which operations of an arm, and how well its clock is known.

Where several machines sent an arm's traffic, `ARM.workers` lies beside `ARM.ops`: one fixed-width
record for each run of operations that came from one worker at once, also where it is of none and only
attempts or connections came. Their instants were moved to the runner's clock by `offset_ns`, and are
wrong by `error_ns` at most. Without the file every instant was
read on the machine of the runner, whose processes share one clock.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHARE = struct.Struct("<qqqqi")
"""Index in ARM.ops of the first operation; how many; offset and error of the clock (ns); worker."""
SHARE_DTYPE = np.dtype(
    {
        "names": ["first", "count", "offset_ns", "error_ns", "worker"],
        "formats": ["<i8", "<i8", "<i8", "<i8", "<i4"],
        "itemsize": SHARE.size,
    }
)
Shares = NDArray[np.void]
NO_SHARES: Shares = np.empty(0, dtype=SHARE_DTYPE)


def path_of(folder: Path, arm: str) -> Path:
    """Return where the shares of an arm's operations are, in the folder of its other files."""
    return folder / f"{arm}.workers"


def load_shares(folder: Path, arm: str) -> Shares:
    """Return the shares of one arm, none for traffic of the runner's own machine."""
    path = path_of(folder, arm)
    if not path.exists():
        return NO_SHARES
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) // SHARE.size * SHARE.size], dtype=SHARE_DTYPE)
