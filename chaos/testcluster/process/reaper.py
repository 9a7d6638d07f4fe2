"""A process that outlives ours to clean up after it: a killed control plane leaves no server behind.

It waits for the end of its standard input, which the kernel brings about however our process ends.
Then it kills every process that works below the cluster's folder, and removes the folder.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

from chaos.testcluster.machine.local_disk import unmount_all
from chaos.testcluster.postgres.processes import kill_all, sweep_lock_file

_DISMISS_TIMEOUT_S = 10.0


class Reaper:
    """The process that watches over one server's folder."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # A terminal's Ctrl-C is for us, not for it.
        )

    def dismiss(self) -> None:
        """Let it do what is left to do, and wait for its end."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_DISMISS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(directory: Path) -> None:
    """Wait for the end of standard input, then clean up."""
    sys.stdin.buffer.read()
    for data in directory.glob("*/*/data"):
        kill_all(data, None)
        sweep_lock_file(data)
    unmount_all(directory)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
