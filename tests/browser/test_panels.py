"""The panels beside the boxes, the tab About, and how the page looks while it waits."""

import json
import subprocess

import numpy as np
import pytest
from fake_localizer import FakeLocalizer
from PIL import Image
from serving import call, served
from visitor import PHONE, ask, phrase, upload

from sspe.drawing import DOUBTFUL, rgb
from sspe.web.examples import examples
from sspe.web.page import build_app
from sspe.web.panels.take_away import COCO

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def open_panel(page, name):
    page.get_by_role("tab", name=name).click()
    return page


def test_what_it_sees(page):
    open_panel(page, "What it sees")
    expect(page.locator(".sv-phrase[aria-pressed=true]")).to_have_text("1A man")
    expect(page.locator(".sv-figure h3")).to_have_text(["Proposals", "Heat map", "Edge map", "Best crops"])
    expect(page.locator(".sv-box")).to_have_count(9)
    # The best proposal lies on top of the others and is the only one in full colour.
    opacities = page.locator(".sv-box").evaluate_all("boxes => boxes.map(b => Number(b.style.opacity))")
    assert opacities == sorted(opacities) and opacities[-1] == 1
    for picture in ("Where the weight of the phrase lies", "Edges of the photo, dark on white"):
        drawn = page.get_by_alt_text(picture)
        expect(drawn).to_be_visible()
        assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1
    assert page.locator(".sv-crop img").count() == len(page.locator(".sv-score").all_inner_texts()) > 1
    page.get_by_label("Best", exact=False).first.fill("4")
    expect(page.locator(".sv-box")).to_have_count(4)
    page.locator(".sv-crop").first.hover()
    expect(page.locator(".sv-box.active")).to_have_attribute("data-rank", "1")


def test_the_figures_follow_phrase_and_photo(page):
    open_panel(page, "What it sees")
    heat = page.get_by_alt_text("Where the weight of the phrase lies")
    first = heat.get_attribute("src")
    page.locator(".sv-phrase").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sv-phrase").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".sv-phrase").nth(1)).to_be_focused()
    expect(heat).not_to_have_attribute("src", first)
    page.locator(".eg-photo").nth(2).click()
    expect(page.locator(".sv-phrase").first).to_contain_text("A ginger cat")
    ask(page, "The red car.")
    expect(page.locator(".sv-phrase")).to_have_text(["1The red car"])
    ask(page, "Wow!")
    expect(page.locator(".sv-note")).to_have_text("There is no phrase to look at: localize a sentence first.")


def test_a_visitor_whom_the_page_forgot_sees_nothing_of_another_photo(visit, monkeypatch):
    monkeypatch.setattr("sspe.web.page.MAX_SESSIONS", 1)
    with served(build_app(FakeLocalizer())) as url:
        page = visit(url=url)
        ask(page, "The red car.")
        expect(page.locator(".lv-sentence")).to_contain_text("The red car")
        call(url, "localize", [None, ""])  # the session of another visitor takes the place
        open_panel(page, "What it sees")
        expect(page.locator(".sv-note")).to_have_text("There is no phrase to look at: localize a sentence first.")
        open_panel(page, "Take it away")
        expect(page.locator(".cb-note")).to_have_text("There is no result to take away: localize a sentence first.")
        ask(page, "The red car.")
        expect(page.locator(".cb pre").first).to_contain_text("The red car")
        call(url, "localize", [None, ""])
        open_panel(page, "Boxes")
        page.get_by_role("button", name="Correct phrases").click()
        page.locator(".lv-word").first.click()
        expect(page.locator(".lv-message.failed")).to_contain_text("has forgotten this result")


def downloads(page, tmp_path):
    """The three files of the panel, saved under their own names."""
    saved = []
    for name in ("Picture (PNG)", "JSON", COCO):
        link = page.get_by_role("button", name=name, exact=True)
        expect(link).to_be_enabled()
        with page.expect_download() as download:
            link.click()
        saved.append(tmp_path / download.value.suggested_filename)
        download.value.save_as(saved[-1])
    return saved


def test_downloads_are_the_result_as_shown(page, picture, tmp_path):
    upload(page, picture)
    ask(page, "A man with the dog.")
    expect(page.locator(".lv-box")).to_have_count(2)
    page.get_by_role("button", name="Correct phrases").click()
    page.get_by_role("button", name="Drop phrase 1: A man").click()
    expect(page.locator(".lv-box")).to_have_count(1)
    page.get_by_label("Boxes per phrase").fill("3")
    page.get_by_label("Grey below").fill("100")
    open_panel(page, "Take it away")
    drawn, plain, coco = downloads(page, tmp_path)
    assert [path.name for path in (drawn, plain, coco)] == ["noise_boxes.png", "noise.json", "noise_coco.json"]
    with Image.open(drawn) as image:
        assert (image.format, image.size) == ("PNG", (320, 240))
        assert (np.asarray(image.convert("RGB")) == rgb(DOUBTFUL)).all(2).any()  # below 100 %: grey
    found = json.loads(plain.read_text(encoding="utf-8"))
    assert [(p["text"], p["start"], p["end"]) for p in found["phrases"]] == [("the dog", 11, 18)]
    assert len(found["phrases"][0]["candidates"]) == 3
    data = json.loads(coco.read_text(encoding="utf-8"))
    assert data["images"][0]["file_name"] == "noise.png"
    assert data["annotations"] == data["categories"] == []  # below 100 %: left out
    assert json.loads(page.locator(".cb pre").last.inner_text()) == found


def test_the_snippets_name_this_very_page_and_result(page, address, picture):
    photo = picture.with_name("it's noise, ok.png")  # a name that Gradio keeps in other letters
    photo.write_bytes(picture.read_bytes())
    upload(page, photo)
    ask(page, "A man with the dog.")
    expect(page.locator(".lv-box")).to_have_count(2)
    open_panel(page, "Take it away")
    expect(page.locator(".cb-block h3")).to_have_text(["Python", "Python, through this page", "curl", "JSON"])
    library, client, curl, _ = page.locator(".cb pre").all_inner_texts()
    assert 'Localizer.from_pretrained()("it\'s noise, ok.png", sentence)' in library
    assert f'Client("{address}")' in client
    said = subprocess.run(["sh", "-c", curl], cwd=picture.parent, capture_output=True, text=True, timeout=60)
    answer = json.loads(said.stdout.partition("data: ")[2])[0]
    assert [p["text"] for p in answer["phrases"]] == ["A man", "the dog"] and answer["width"] == 320


def test_nothing_to_take_away(page):
    ask(page, "")
    expect(page.locator(".lv-message.failed")).to_be_visible()
    open_panel(page, "Take it away")
    expect(page.locator(".cb-note")).to_have_text("There is no result to take away: localize a sentence first.")
    for name in ("Picture (PNG)", "JSON", COCO):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()


def test_about(page):
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_role("img", name="How it works")).to_be_visible()
    expect(page.get_by_role("heading", name="Cite")).to_be_visible()


def test_odd_examples_say_what_is_odd(page):
    for index, example in enumerate(examples()):
        if example.badge:
            choice = page.locator(".eg-photo").nth(index)
            expect(choice.locator(".eg-badge")).to_have_text(example.badge)
            choice.click()
            expect(page.locator(".lv-message")).to_have_text(example.note)
    page.locator(".eg-photo").first.click()
    expect(page.locator(".lv-message")).to_have_count(0)


def test_a_slow_photo_names_its_stages(visit, picture):
    slow = FakeLocalizer()
    app = build_app(slow)
    slow.delay = 1.0  # after the examples
    with served(app) as url:
        page = visit(url=url)
        page.wait_for_selector(".lv-box")
        upload(page, picture)
        ask(page, "A man.")
        for stage in ("Edge Boxes", "Embedding 9 regions"):
            expect(page.locator("#view")).to_contain_text(stage)
        expect(page.locator(".lv-photo img")).to_have_attribute("alt", "The photo, 320 by 240 pixels")
        page.close()  # before its server


def test_too_large_a_file_is_one_sentence(page, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG" + bytes(26 * 2**20))
    page.get_by_label("Remove Image").click()
    page.set_input_files("#photo input[type=file]", path)
    expect(page.get_by_text("exceed the maximum allowed size of 25.0 Mb")).to_be_visible()


def test_too_many_pixels_are_one_sentence(page, tmp_path):
    path = tmp_path / "vast.png"
    Image.new("1", (20_000, 10_000)).save(path)
    upload(page, path)
    ask(page, "A man.")
    expect(page.locator(".lv-message.failed")).to_contain_text("vast.png has too many pixels to be opened safely")


def test_nothing_jumps_while_the_page_loads(visit):
    """Nor is a font fetched, which on a slow machine would come after the first words and move what is below them."""
    page = visit()
    fonts = []
    page.on("request", lambda request: fonts.append(request.url) if request.resource_type == "font" else None)
    page.add_init_script(
        """window.jumps = 0; new PerformanceObserver(list => {
             for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.jumps += entry.value;
           }).observe({type: 'layout-shift', buffered: true});"""
    )
    page.reload(wait_until="commit")
    page.wait_for_selector(".lv-box")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.jumps") < 0.1  # "good" as the Web Vitals define it
    assert not fonts


@pytest.mark.parametrize("panel", ["What it sees", "Take it away", "About"])
def test_phones_never_scroll_sideways(visit, panel):
    page = visit(**PHONE)
    page.wait_for_selector(".lv-box")
    page.get_by_role("tab", name=panel).tap()
    page.wait_for_selector({"What it sees": ".sv-grid", "Take it away": ".cb-block", "About": ".ab svg"}[panel])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_motion_is_reduced_where_the_visitor_wants_it_so(visit):
    page = visit(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.wait_for_selector(".lv-box")
    assert phrase(page, 1).evaluate("node => getComputedStyle(node).transitionDuration") == "0s"
