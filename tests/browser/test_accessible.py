"""axe-core finds no serious violation: every panel and state, light and dark, and on a phone."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from visitor import PHONE, ask

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

SCREENS = {
    "light": ("?__theme=light", {"viewport": {"width": 1280, "height": 900}}),
    "dark": ("?__theme=dark", {"viewport": {"width": 1280, "height": 900}}),
    "phone": ("?__theme=light", PHONE),
}


def open_panel(page, name, shown):
    page.get_by_role("tab", name=name).click()
    expect(page.locator(shown).first).to_be_visible()


def correct_phrases(page):
    page.get_by_role("button", name="Correct phrases").click()


def search(page):
    open_panel(page, "Search", ".se-tile img")
    page.locator(".se-field").fill("a man")
    page.locator(".se-field").press("Enter")
    page.locator(".se-field").fill("- a horse")
    page.locator(".se-field").press("Enter")
    expect(page.locator(".se-chip")).to_have_count(2)
    page.locator(".se-drop").first.click()
    page.locator(".se-field").fill("a cat")
    expect(page.locator(".se-tile")).to_have_count(1)
    page.get_by_role("button", name="Select cat.jpg").click()


def find_nothing(page):
    page.locator(".se-field").fill("a zorblax")
    expect(page.locator(".se-message:visible")).to_be_visible()


def look(page):
    page.locator(".se-field").fill("a cat")
    expect(page.locator(".se-tile")).to_have_count(1)
    page.get_by_role("button", name="Show the whole photo: cat.jpg").click()
    expect(page.locator(".se-look img")).to_be_visible()


def stop_looking(page):
    page.get_by_role("button", name="Close").click()


def fail(page):
    page.get_by_role("tab", name="Localize").click()
    open_panel(page, "Boxes", ".lv-box")
    ask(page, "")
    expect(page.locator(".lv-message.failed")).to_be_visible()


# In this order on one page: loading it anew for each takes several times as long as the check.
STATES = {
    "boxes": lambda page: None,
    "correcting": correct_phrases,
    "sees": lambda page: open_panel(page, "What it sees", ".sv-grid"),
    "take away": lambda page: open_panel(page, "Take it away", ".cb-block"),
    "search": search,
    "nothing found": find_nothing,
    "whole photo": look,
    "closed again": stop_looking,
    "about": lambda page: open_panel(page, "About", ".ab svg"),
    "message": fail,
}


def violations(page) -> list[str]:
    """What axe calls serious or critical, with the nodes it means."""
    script = Path(find_spec("axe_playwright_python").origin).with_name("axe.min.js")
    if not page.evaluate("'axe' in window"):
        page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]  # of the others no details: quicker
    return [
        f"{violation['id']}: {[node['html'][:160] for node in violation['nodes']]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("screen", SCREENS)
def test_no_serious_violation_in_any_state(visit, screen):
    path, settings = SCREENS[screen]
    page = visit(path, **settings)
    page.wait_for_selector(".lv-box")
    found = {}
    for state, reach in STATES.items():
        reach(page)
        page.wait_for_timeout(300)  # colours fade in
        found[state] = violations(page)
    assert found == {state: [] for state in STATES}


def test_axe_sees_what_is_wrong(visit):
    page = visit()
    page.wait_for_selector(".lv-box")
    page.evaluate("document.querySelector('.lv-photo img').removeAttribute('alt')")
    assert any(text.startswith("image-alt") for text in violations(page))
