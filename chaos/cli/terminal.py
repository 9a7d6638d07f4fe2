"""What reaches the terminal: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from chaos.clock import NS, MonotonicClock

_WIDTH_WITHOUT_TERMINAL = 140


class _Console(Console):
    """A console whose reader may go away: a run goes on, and ends as it would have ended."""

    def on_broken_pipe(self) -> None:
        """Fall silent instead of ending the process."""
        self.quiet = True

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or fall silent where the terminal or its disk is gone."""
        with self._silent_without_reader():
            super().print(*objects, **options)

    def out(self, *objects: Any, **options: Any) -> None:
        """Write unwrapped text, or fall silent likewise."""
        with self._silent_without_reader():
            super().out(*objects, **options)

    @contextmanager
    def _silent_without_reader(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.quiet = True


class Terminal:
    """Progress lines with the seconds since the start; nothing but results for `--quiet`.

    Printing never raises: whether anybody reads decides nothing about a cluster.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Colour and width follow the terminal; plain text where there is none."""
        self._quiet = quiet
        self._clock = MonotonicClock()
        self._start_ns = self._clock.now_ns()
        self._errors = _Console(stderr=True, highlight=False)
        width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
        self.output = _Console(highlight=False, width=width)

    def tell(self, text: str) -> None:
        """Print one line of progress."""
        if not self._quiet:
            elapsed_s = (self._clock.now_ns() - self._start_ns) / NS
            line = Text(f"{elapsed_s:7.1f} s  ", style="dim")
            self._errors.print(line.append(text, style="not dim"), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Print an error, also with `--quiet`."""
        self._errors.print(
            Text("gameday: ", style="bold red").append(text, "not bold default"), soft_wrap=True
        )

    def object(self, value: Any) -> None:
        """Print one JSON object or array as the whole result."""
        self.output.out(json.dumps(value, indent=1, default=str), highlight=False)
