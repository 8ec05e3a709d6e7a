"""The page as a visitor meets it."""

import re

import pytest
from PIL import Image
from visitor import PHONE, active, ask, box, color, lit, numbers, phrase, row, upload, words

from sspe.drawing import DOUBTFUL, rgb
from sspe.web.examples import examples
from sspe.web.page import build_app

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SENTENCE = "A man with the dog."


def test_opens_on_a_finished_result(page):
    assert words(page) == examples()[0].sentence
    count = page.locator(".lv-box").count()
    assert count >= 2
    assert page.locator(".lv-phrase").count() == count
    assert page.locator(".lv-table tbody tr").count() == count
    assert page.locator(".lv-table th").all_inner_texts()[1:3] == ["In the photo", "Box right"]
    assert row(page, 1).locator(".lv-value").all_inner_texts() == ["96 %", "81 %"]
    expect(page.locator("#sentence textarea")).to_have_value(examples()[0].sentence)
    # Boxes sit where the data says: the first of the fake localizer starts at the photo's corner and covers 35 % of it.
    frame, first = page.locator(".lv-photo").bounding_box(), box(page, 1).bounding_box()
    assert first["x"] == pytest.approx(frame["x"], abs=1)
    assert first["y"] == pytest.approx(frame["y"], abs=1)
    assert first["width"] == pytest.approx(0.35 * frame["width"], abs=1)


def test_examples_open_ready(page):
    shown = page.locator(".lv-photo img").get_attribute("alt")
    for index in (2, 1):
        page.locator(".eg-photo").nth(index).click()
        expect(page.locator("#sentence textarea")).to_have_value(examples()[index].sentence)
        expect(page.locator(".lv-photo img")).not_to_have_attribute("alt", shown)
        assert words(page) == examples()[index].sentence
        shown = page.locator(".lv-photo img").get_attribute("alt")
    with Image.open(examples()[1].photo) as photo:
        expect(page.locator(".lv-photo img")).to_have_attribute(
            "alt", f"The photo, {photo.width} by {photo.height} pixels"
        )


@pytest.mark.parametrize("enter", [False, True], ids=["button", "Enter"])
def test_upload_to_result(page, picture, enter):
    upload(page, picture)
    ask(page, SENTENCE, enter)
    expect(page.locator(".lv-photo img")).to_have_attribute("alt", "The photo, 320 by 240 pixels")
    assert words(page) == SENTENCE
    # A second sentence on the same photo.
    ask(page, "The red car.", enter)
    expect(page.locator(".lv-sentence")).to_contain_text("The red car")
    assert page.locator(".lv-box").count() == 1


def test_hover_links_all_ways(page):
    page.mouse.move(2, 2)
    assert active(page) == lit()
    for find, key in ((phrase, "2"), (box, "1"), (row, "3")):
        find(page, key).hover()
        assert active(page) == lit(key)
    expect(box(page, 3).locator(".lv-tag span")).to_be_visible()  # the tag spells the phrase out
    page.mouse.move(2, 2)
    assert active(page) == lit()
    expect(box(page, 3).locator(".lv-tag span")).to_be_hidden()


def test_the_boxes_of_several_things_light_up_together(page, picture):
    upload(page, picture)
    ask(page, "The two dogs beside the car.")
    expect(page.locator(".lv-sentence")).to_contain_text("The two dogs")
    expect(page.locator(".lv-box")).to_have_count(3)
    expect(row(page, 1)).to_contain_text("2 boxes")
    assert row(page, 1).locator(".lv-corners").count() == 2 and row(page, 2).locator(".lv-corners").count() == 1
    expect(page.locator("button.lv-box")).to_have_count(2)  # one stop for the keyboard for each phrase
    expect(page.locator("button.lv-box").first).to_have_attribute("aria-label", re.compile("two dogs.*2 boxes"))
    for number in (0, 1):
        box(page, 1).nth(number).hover(position={"x": 5, "y": 40})
        assert active(page) == {"box": ["1", "1"], "phrase": ["1"], "row": ["1"]}
        page.mouse.move(2, 2)


def test_click_keeps_until_clicked_again_or_elsewhere(page):
    phrase(page, 2).click()
    page.mouse.move(2, 2)
    assert active(page) == lit("2")
    expect(box(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(box(page, 1)).to_have_attribute("aria-pressed", "false")
    phrase(page, 1).hover()  # hovering looks at another one for a moment
    assert active(page) == lit("1")
    page.mouse.move(2, 2)
    assert active(page) == lit("2")
    box(page, 2).click(position={"x": 40, "y": 90})
    page.mouse.move(2, 2)
    assert active(page) == lit()
    row(page, 3).click()
    page.locator(".lv-hint").first.click()
    page.mouse.move(2, 2)
    assert active(page) == lit()


def test_keyboard_links_both_ways(page):
    page.locator("#localize").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('lv-box')"):
            break
    assert active(page) == lit("1")  # a box in focus lights its phrase
    page.keyboard.press("Tab")
    assert active(page) == lit("2")
    page.keyboard.press("Enter")
    expect(phrase(page, 2)).to_have_attribute("aria-pressed", "true")
    for _ in range(page.locator(".lv-box").count() - 1):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("lv-phrase")
    assert active(page) == lit("1")  # a phrase in focus lights its box
    page.keyboard.press("Space")
    expect(box(page, 1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(box(page, 1)).to_have_attribute("aria-pressed", "false")
    page.locator("#sentence textarea").focus()
    assert active(page) == lit()


def test_touch_links_both_ways_and_phones_never_scroll_sideways(visit):
    page = visit(**PHONE)
    page.wait_for_selector(".lv-box")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box(page, 2).tap(position={"x": 30, "y": 60})
    assert active(page) == lit("2")
    phrase(page, 1).tap()
    assert active(page) == lit("1")
    phrase(page, 1).tap()
    assert active(page) == lit()
    ask(page, "A man with " + "an extraordinarilylongwordwithoutanyplacetobreakitintotwolines" * 3)
    expect(page.locator(".lv-box")).to_have_count(2)
    phrase(page, 2).tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_bad_input_is_one_sentence_in_place(page, picture, tmp_path, capfd):
    failed = page.locator(".lv-message.failed")
    ask(page, "")
    expect(failed).to_have_text("The sentence is empty: describe something in the photo, as in “a man in a red hat”.")
    assert page.locator(".lv-photo").count() == 0
    ask(page, "Wow!")
    expect(page.locator(".lv-message")).to_contain_text("No noun phrase was found in “Wow!”")
    expect(page.locator(".lv-photo")).to_be_visible()
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture.read_bytes()[:5000])
    words = tmp_path / "words.jpg"
    words.write_text("not a picture")
    for path, sentence in (
        (broken, "broken.png is a damaged or truncated picture"),
        (words, "words.jpg is not a picture"),
    ):
        page.reload()
        page.wait_for_selector(".lv-box")
        upload(page, path)
        ask(page, SENTENCE)
        expect(failed).to_contain_text(sentence)
        assert "/tmp" not in failed.inner_text()
    page.reload()
    page.get_by_label("Remove Image").click()
    ask(page, SENTENCE)
    expect(failed).to_have_text("There is no photo yet: upload or paste one, or pick an example.")
    # Good input afterwards gives a result again.
    upload(page, picture)
    ask(page, SENTENCE)
    expect(page.locator(".lv-box")).to_have_count(2)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_doubtful_phrases_are_grey_with_a_question_mark_and_still_in_reach(visit, theme):
    page = visit(f"?__theme={theme}")
    page.wait_for_selector(".lv-box")
    expect(page.locator(".lv-doubt")).to_have_text("?Grey: probably not in this photo (below 30 %)")
    grey = list(rgb(DOUBTFUL))
    for key, label in ((1, "1"), (4, "4?")):
        tag, chips = box(page, key).locator(".lv-tag"), (phrase(page, key), row(page, key))
        assert tag.evaluate("node => node.firstChild.data") == label
        assert (color(tag, "backgroundColor") == grey) == (key == 4)
        for place in chips:
            assert place.locator(".lv-number").inner_text() == label
            assert (color(place.locator(".lv-number"), "backgroundColor") == grey) == (key == 4)
    assert "probably not in this photo, in the photo 21 %" in box(page, 4).get_attribute("aria-label")
    assert "probably not in this photo, in the photo 21 %" in phrase(page, 4).get_attribute("aria-description")
    assert "probably not" not in box(page, 1).get_attribute("aria-label")
    for find in (phrase, box, row):
        page.mouse.move(2, 2)
        find(page, 4).hover()
        assert active(page) == lit("4")
    ask(page, SENTENCE)  # whose phrases are both likely
    expect(page.locator(".lv-box")).to_have_count(2)
    assert page.locator(".doubtful").count() == 0
    expect(page.locator(".lv-doubt")).to_be_hidden()


def test_an_unknown_word_is_grey_at_every_threshold_and_says_so(visit):
    page = visit()
    page.wait_for_selector(".lv-box")
    ask(page, "A man beside a zorblax")
    expect(page.locator(".lv-box")).to_have_count(2)
    expect(page.locator(".lv-doubt")).to_have_text("?Grey: not a word it knows")
    page.get_by_label("Grey below").fill("0")
    expect(page.locator(".lv-box.doubtful")).to_have_count(1)
    for place in (phrase(page, 2), row(page, 2)):
        assert place.locator(".lv-number").inner_text() == "2?"
    expect(row(page, 2)).to_contain_text("not a word it knows")
    assert box(page, 2).get_attribute("aria-label") == "Box 2: a zorblax, not a word it knows"
    page.get_by_label("Grey below").fill("100")  # now the man is too unlikely: two reasons
    expect(page.locator(".lv-doubt")).to_contain_text("probably not in this photo (below 100 %)")
    expect(page.locator(".lv-doubt")).to_contain_text("not a word it knows")


def test_without_calibration_the_score_is_shown_and_nothing_is_grey(visit):
    from fake_localizer import FakeLocalizer
    from serving import served

    with served(build_app(FakeLocalizer(calibrated=False))) as url:
        page = visit(url=url)
        page.wait_for_selector(".lv-box")
        titles = page.locator(".lv-table th").all_inner_texts()
        assert titles == ["Phrase", "Score", "Box: x1, y1, x2, y2 (px)"]
        expect(row(page, 1)).to_contain_text("0.61")
        assert row(page, 1).locator("td").count() == len(titles)
        assert page.locator(".doubtful").count() == 0
        assert page.locator(".lv-slide").all_inner_texts() == ["Boxes per phrase\n1"]  # none greys, none adds
        assert page.locator(".lv-hint").count() == 1
        page.close()  # before its server


def test_a_sentence_is_text_and_never_code(page):
    sentence = "A <b>man</b> ${window.hit=1} `x` {{value}} \\u12 with the <img src=x onerror=window.hit=1> & 'hat'."
    ask(page, sentence)
    expect(page.locator(".lv-sentence")).to_contain_text("onerror")
    assert words(page) == sentence
    assert page.evaluate("window.hit") is None


def test_missing_checkpoint_is_one_sentence(visit):
    from serving import served

    error = "There is no checkpoint at <b>here</b> ${1+1}; run `sspe train` or name one in SSPE_CHECKPOINT."
    with served(build_app(error=error)) as url:
        page = visit(url=url)
        expect(page.get_by_role("alert")).to_have_text(error)
        assert page.locator("textarea").count() == 0


def test_the_page_does_not_jump_while_it_works(page, picture):
    """The frame of the page keeps its place and width through example, error and result."""

    def frame():
        place = page.locator("#result").bounding_box()
        return place["x"], place["y"], place["width"]

    before = frame()
    ask(page, "")
    expect(page.locator(".lv-message.failed")).to_be_visible()
    assert frame() == before
    upload(page, picture)
    ask(page, "A cat.")
    expect(page.locator(".lv-box")).to_have_count(1)
    assert frame() == before


def test_dark_mode_is_readable(visit):
    page = visit("?__theme=dark")
    page.wait_for_selector(".lv-box")
    light, ground = page.evaluate(
        """() => [['.lv-words', 'color'], ['.gradio-container', 'backgroundColor']].map(
           ([selector, name]) => getComputedStyle(document.querySelector(selector))[name])"""
    )
    assert min(numbers(light)) > 200
    assert max(numbers(ground)) < 60
