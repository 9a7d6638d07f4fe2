"""The machine's own Chromium, driven through Playwright; no browser is downloaded.

Without one the tests are skipped with the reason, unless `GAMEDAY_REQUIRE_BROWSER` is set, as it is in
continuous integration: then they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",  # the tests run as root, too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 120_000
"""For a busy machine: to start, and to show what is expected of a page."""


class NoBrowser(Exception):  # noqa: N818 - what this machine has
    """This machine has no Chromium that starts; says why."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless browser with a profile of its own.

    Raises:
        NoBrowser: there is none, or it does not start.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoBrowser(f"none of {', '.join(_NAMES)} is installed")
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(
                executable_path=program, args=list(_ARGUMENTS), timeout=_PATIENCE_MS
            )
        except Error as error:
            first = error.message.splitlines()[0]
            raise NoBrowser(f"{program} does not start: {first}") from error
        yield launched
        launched.close()


@pytest.fixture(scope="module")  # while it is there, nobody else on its thread can use asyncio
def browser() -> Iterator[Browser]:
    """A headless browser, or the reason why there is none."""
    expect.set_options(timeout=_PATIENCE_MS)
    try:
        with chromium() as launched:
            yield launched
    except NoBrowser as missing:
        if os.environ.get("GAMEDAY_REQUIRE_BROWSER"):
            pytest.fail(f"GAMEDAY_REQUIRE_BROWSER is set, but {missing}")
        pytest.skip(str(missing))
