"""The page in headless Chromium; a test fails on any request elsewhere and on any error in the console."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Helpers of these tests; the fake localizer and the server of those beside them.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "web")]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PATIENCE = 30_000  # milliseconds: as long as a busy machine may take; what is there is found at once


def find_browser() -> str | None:
    """Path of the browser: SSPE_BROWSER, or the first of BROWSERS that is installed."""
    return os.environ.get("SSPE_BROWSER") or next((path for path in map(shutil.which, BROWSERS) if path), None)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def localizer():
    """The fake localizer behind the page."""
    import torchvision  # noqa: F401 (a real localizer has loaded it; a panel that had to would wait for seconds)
    from fake_localizer import FakeLocalizer

    return FakeLocalizer()


@pytest.fixture(scope="session")
def address(localizer):
    """Address of the page."""
    from fake_collection import FakeCollection
    from serving import served

    from sspe.web.page import build_app
    from sspe.web.shelves import Shelves

    with served(build_app(localizer, shelves=Shelves(localizer, build=FakeCollection.build))) as url:
        yield url


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def browser():
    path = find_browser()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed and SSPE_BROWSER is not set")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def context_for(browser):
    """context_for(settings) -> the context with these settings, whose cache has Gradio's scripts, compiled.

    An empty page stays open in it: the others are tabs of its window, and a window takes longer to open than our page.
    """
    contexts = {}

    def context(settings):
        key = json.dumps(settings, sort_keys=True)
        if key not in contexts:
            contexts[key] = browser.new_context(**settings)
            contexts[key].set_default_timeout(PATIENCE)
            contexts[key].new_page()
        return contexts[key]

    yield context
    for made in contexts.values():
        made.close()


@pytest.fixture
def visit(context_for, address):
    """visit(path, **context settings) -> an open page; the page keeps nothing in the browser that a later one finds."""
    pages, faults = [], []

    def check_request(request):
        if not request.url.startswith((address, "data:", "blob:")):
            faults.append(f"request to {request.url}")

    def check_console(message):
        if message.type == "error":
            faults.append(f"console: {message.text}")

    def open_page(path="", url=None, **settings):
        page = context_for(settings or DESKTOP).new_page()
        pages.append(page)
        if url is None:  # a page of another server looks after its own requests
            page.on("request", check_request)
        page.on("console", check_console)
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.goto((url or address) + path)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not faults


@pytest.fixture
def page(visit):
    """The page on a desktop screen, opened on its finished first example."""
    opened = visit()
    opened.wait_for_selector(".lv-box")
    return opened
