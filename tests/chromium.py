"""A real Chromium, headless, and what a page that was opened in it asked for and complained of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

import pytest
from needs import lack

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="session")
def browser():
    """A real Chromium, headless."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        lack("a browser", "apt-get install chromium, or put another Chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Visit:
    """A page that was opened, with all that it asked for and complained of."""

    page: object
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
