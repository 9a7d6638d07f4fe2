"""A worker process of ours: started with a configuration, stopped by closing its standard input.

`import locust` patches the process it happens in, and a busy process measures its own lag, so
traffic, probes and the test cluster never run in the runner. The contract with such a process:

- its first line of standard input is its configuration as JSON (credentials never reach `argv`);
- it prints JSON lines: `{"state": "ready", ...}` once it serves its purpose, `{"state": "error",
  "message": ...}` when it gives up;
- further lines of standard input may be orders, each answered by the state that it leads to;
- end of file on standard input, also when the runner dies, tells it to finish what is in flight,
  flush its records and exit with 0.

`WorkerProcess` is the starter's side of it; `orders` and `tell` are the worker's.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from chaos.errors import HostError


class WorkerProcess:
    """One worker; not thread-safe. Its standard error goes to `log`."""

    def __init__(self, name: str, module: str, config: dict[str, Any], log: Path) -> None:
        """Start `python -m module` in a session of its own: Ctrl-C reaches only the runner."""
        self.name = name
        self.log = log
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._error = ""
        with _opened(log) as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; await_ready tells why
            self._process.stdin.write((json.dumps(config) + "\n").encode())
            self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def await_ready(self, timeout_s: float) -> dict[str, Any]:
        """Wait for `ready`, and return that message with whatever else it says.

        Raises:
            HostError: it gave up, died, or was not ready in time; names the log.
        """
        return self._await("ready", "could not start", timeout_s)

    def await_state(self, state: str, timeout_s: float) -> None:
        """Wait until it says that it is in the state that an order leads to.

        Raises:
            HostError: it gave up, died, or did not get there in time; names the log.
        """
        self._await(state, f"did not become {state}", timeout_s)

    def _await(self, state: str, failure: str, timeout_s: float) -> dict[str, Any]:
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            raise HostError(
                f"{self.name} was not {state} within {timeout_s:g} s; see {self.log}"
            ) from None
        if message.get("state") != state:
            why = message.get("message", "it ended")
            raise HostError(f"{self.name} {failure}: {why}; see {self.log}")
        return message

    def take(self) -> dict[str, Any] | None:
        """Return the next thing that it said, without waiting; None: nothing new.

        For a worker that says more than the states that are waited for.
        """
        return None if self._messages.empty() else self._messages.get()

    def last_error(self) -> str:
        """Return why it gave up, where it said so after it was ready; empty otherwise."""
        while not self._messages.empty():
            message = self._messages.get()
            if message.get("state") == "error":
                self._error = message.get("message", "")
        return self._error

    def close_input(self) -> None:
        """Tell it to end, without waiting; `stop` waits. For several that are to end together."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone already; the exit status tells
            self._process.stdin.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send one more JSON line; nothing happens if the process has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write((json.dumps(message) + "\n").encode())
            self._process.stdin.flush()

    def await_silence(self, timeout_s: float) -> None:
        """Wait, but not longer than this, until nobody can say anything any more.

        That is the end of the process, and of whatever it has left its standard output to.
        """
        self._reader.join(timeout_s)

    def stop(self, timeout_s: float) -> int:
        """Close its input, wait, and kill it if it does not end in time; return its exit status."""
        self.close_input()
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(1.0)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._messages.put(json.loads(line))
            except json.JSONDecodeError:
                continue  # something printed by a library; not part of the contract
        self._messages.put({"state": "ended"})


def orders() -> Iterator[dict[str, Any]]:
    """Yield each further line of our standard input as it comes, until its end."""
    descriptor = sys.stdin.fileno()
    read = b""
    while True:
        # Under gevent, reading at once would stop everything else in the process.
        select.select([descriptor], [], [])
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return
        *lines, read = (read + chunk).split(b"\n")
        yield from map(json.loads, lines)


def tell(state: str, message: str = "", **more: Any) -> None:
    """Send one line to whoever started this process."""
    with suppress(BrokenPipeError):  # it is gone; the records are what remains
        print(json.dumps({"state": state, "message": message, **more}), flush=True)  # noqa: T201 - the contract


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise HostError(f"cannot write {log}: {error.strerror}") from error
