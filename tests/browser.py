"""A real browser for tests and pictures: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]

WIDE, PHONE = (1280, 900), (390, 844)
"""Sizes of a window in pixels."""

_ARGUMENTS = (
    # No talk with anyone but the page, and none of what needs a user or a graphics card.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, for the time of the body."""
    found = shutil.which("chromium")
    assert found, "there is no chromium; 'make packages' installs it"
    # Chromium refuses to be root with its sandbox, and containers lack what the sandbox needs.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 or os.environ.get("CI") else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=[*_ARGUMENTS, *sandbox], timeout=60_000
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(
    browser: Browser,
    size: tuple[int, int] = WIDE,
    scheme: Scheme = "light",
    *,
    scripts: bool = True,
) -> Iterator[Page]:
    """A fresh page that prefers a colour scheme, for the time of the body."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        java_script_enabled=scripts,
        service_workers="block",
    )
    try:
        yield context.new_page()
    finally:
        context.close()
