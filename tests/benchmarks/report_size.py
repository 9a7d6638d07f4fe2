"""How large a report is, how long it takes to write and to open: a demo's run, and millions.

    python tests/benchmarks/report_size.py

Opening is from the start of the navigation to the second animation frame after the load, in the
machine's own headless Chromium; the median and the fastest of nine, since other work only adds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from chaos.clock import NS
from chaos.model.history import OPERATION_DTYPE, load_history
from reports import html

sys.path.insert(0, str(Path(__file__).parents[1]))

from fix_browser import NoBrowser, chromium
from fix_history import ORIGIN_NS
from fix_report import stuck_pool_run, write_verdict

PAINTED = """
() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
  () => done(performance.now()))))
"""


def multiplied(folder: Path, operations: int) -> None:
    """Replace the operations of every arm by `operations` of the same, spread over an hour."""
    for path in (folder / "operations").glob("*.ops"):
        few = np.fromfile(path, dtype=OPERATION_DTYPE)
        many = few[np.sort(np.arange(operations) % len(few))]
        taken = many["ended_ns"] - many["intended_ns"]
        many["intended_ns"] = ORIGIN_NS + np.linspace(0, 3600 * NS, operations).astype(np.int64)
        many["started_ns"] = many["intended_ns"]
        many["ended_ns"] = many["intended_ns"] + taken
        many.tofile(path)


def opened_ms(browser: Browser, path: Path) -> list[float]:
    """Return how long nine openings took, the fastest first."""
    took = []
    for _ in range(9):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        took.append(float(page.evaluate(PAINTED)))
        page.close()
    return sorted(took)


def measured(browser: Browser | None, folder: Path) -> dict[str, float]:
    """Render a folder and open the page."""
    html.render(folder)  # compiles the templates
    logs = load_history(folder).arms.values()
    started = time.process_time()
    path = html.render(folder)
    figures = {
        "operations": sum(len(log.operations) for log in logs),
        "size_kb": round(path.stat().st_size / 1000),
        "render_s": round(time.process_time() - started, 3),
    }
    if browser:
        opened = opened_ms(browser, path)
        figures |= {"open_ms": round(statistics.median(opened)), "open_ms_min": round(opened[0])}
    return figures


def main() -> None:
    """Print one line of JSON a run."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium())
        except NoBrowser as missing:
            browser = None
            sys.stderr.write(f"opening is not measured: {missing}\n")
        for name, operations in (("demo", 0), ("1e6 an arm", 10**6), ("4e6 an arm", 4 * 10**6)):
            with tempfile.TemporaryDirectory() as place:
                folder = write_verdict(stuck_pool_run(Path(place) / "run").write())
                if operations:
                    multiplied(folder, operations)
                sys.stdout.write(json.dumps({"run": name, **measured(browser, folder)}) + "\n")


if __name__ == "__main__":
    main()
