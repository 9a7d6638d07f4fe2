"""The machine's own Chromium, driven through Playwright; no browser is downloaded.

Without one the tests are skipped with the reason, unless `GAMEDAY_REQUIRE_BROWSER` is set, as it is in
continuous integration: then they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless browser with a profile of its own."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        _without(f"none of {', '.join(_NAMES)} is installed")
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        except Error as error:
            _without(f"{program} does not start: {error.message.splitlines()[0]}")
        yield launched
        launched.close()


def _without(reason: str) -> None:
    if os.environ.get("GAMEDAY_REQUIRE_BROWSER"):
        pytest.fail(f"GAMEDAY_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)
