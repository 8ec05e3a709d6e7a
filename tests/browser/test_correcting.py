"""Correcting phrases, greying, further boxes and scores, as a visitor does it."""

import re

import pytest
from visitor import active, ask, box, lit, phrase, row, words

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SENTENCE = "A man with the dog holds on."


@pytest.fixture
def asked(page):
    """The page with a sentence of two phrases: A man, the dog."""
    ask(page, SENTENCE)
    see(page, "A man", "the dog")  # not the boxes of what was shown before
    return page


def editing(page):
    page.get_by_role("button", name="Correct phrases").click()
    return page


def word(page, text):
    return page.locator(".lv-word", has_text=text).first


def named(key, text):
    """How the label of a box begins."""
    return re.compile(f"^Box {key}: {re.escape(text)}, ")


def see(page, *phrases):
    """Wait until just these phrases have boxes."""
    expect(page.locator(".lv-box")).to_have_count(len(phrases))
    for key, text in enumerate(phrases, start=1):
        expect(box(page, key)).to_have_attribute("aria-label", named(key, text))


def slide(page, name):
    return page.get_by_label(name)


def test_a_word_is_added_taken_out_and_a_phrase_dropped(asked):
    page = editing(asked)
    see(page, "A man", "the dog")
    word(page, "holds").click()  # a free word beside a phrase joins it
    see(page, "A man", "the dog holds")
    word(page, "holds").click()
    see(page, "A man", "the dog")
    word(page, "with").click()  # between two phrases it makes them one
    see(page, "A man with the dog")
    word(page, "with").click()  # taken out of the middle, it leaves two
    see(page, "A man", "the dog")
    page.get_by_role("button", name="Drop phrase 1: A man").click()
    see(page, "the dog")
    word(page, "man").click()  # a word far from any phrase is a phrase of its own
    see(page, "man", "the dog")
    page.get_by_role("button", name="Done").click()
    assert words(page) == SENTENCE
    assert page.locator(".lv-words").all_inner_texts() == ["man", "the dog"]
    phrase(page, 1).hover()
    assert active(page) == lit("1")


def test_as_found_takes_the_noun_phrases_again(asked):
    page = editing(asked)
    page.get_by_role("button", name="Drop phrase 1: A man").click()
    see(page, "the dog")
    page.get_by_role("button", name="Drop phrase 1: the dog").click()
    see(page)
    expect(page.locator(".lv-message")).to_have_text("No phrase is marked: click words of the sentence to make one.")
    page.get_by_role("button", name="As found").click()
    see(page, "A man", "the dog")


def test_correcting_by_keyboard_keeps_the_focus(asked):
    page = asked
    page.get_by_role("button", name="Correct phrases").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    word(page, "holds").focus()
    page.keyboard.press("Space")
    see(page, "A man", "the dog holds")
    expect(word(page, "holds")).to_be_focused()
    expect(word(page, "holds")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+Tab")
    expect(word(page, "dog")).to_be_focused()
    page.keyboard.press("Enter")
    see(page, "A man", "the", "holds")
    expect(word(page, "dog")).to_be_focused()


def test_clicks_faster_than_the_answers_all_count(asked):
    page = editing(asked)
    for text in ("man", "dog", "holds", "with"):
        word(page, text).click(no_wait_after=True)
    see(page, "A", "with the", "holds")
    page.wait_for_timeout(500)
    see(page, "A", "with the", "holds")


def test_an_answer_that_is_lost_is_asked_for_again(asked):
    page = editing(asked)
    page.clock.install()
    page.route("**/queue/join*", lambda question: None, times=1)  # nobody ever answers it
    with page.expect_request("**/queue/join*"):
        word(page, "man").click()
    word(page, "holds").click()
    page.clock.fast_forward(5000)  # milliseconds, which nobody waits
    see(page, "A", "the dog holds")


def test_an_answer_that_comes_after_it_was_asked_for_again_does_no_harm(asked):
    page = editing(asked)
    page.clock.install()
    late = []
    page.route("**/queue/join*", lambda question: late.append(question), times=1)
    with page.expect_request("**/queue/join*"):
        word(page, "holds").click()
    with page.expect_request("**/queue/join*"):
        page.clock.fast_forward(5000)  # milliseconds, which nobody waits
    see(page, "A man", "the dog holds")
    with page.expect_response("**/queue/join*"):
        late[0].continue_()
    word(page, "with").click()  # answered in turn: after the late one
    see(page, "A man with the dog holds")


def test_another_sentence_ends_correcting(asked):
    page = editing(asked)
    word(page, "holds").click()
    see(page, "A man", "the dog holds")
    ask(page, "The red car.")
    see(page, "The red car")
    expect(page.get_by_role("button", name="Correct phrases")).to_be_visible()
    assert page.get_by_role("button", name="As found").count() == 0


def test_sentences_with_signs_of_any_width_are_corrected_where_they_were_clicked(page):
    ask(page, "👒 A man 👒 hat, the 𝔡og!")  # these signs are two units long in JavaScript, one in Python
    expect(page.locator(".lv-box")).to_have_count(2)
    word(editing(page), "hat").click()
    see(page, "A man", "hat", "the 𝔡og")


def test_the_threshold_greys_without_the_network(page, localizer):
    grounded = localizer.grounded
    expect(page.locator(".lv-box.doubtful")).to_have_count(page.locator(".lv-box").count() - 3)
    slide(page, "Grey below").fill("50")
    expect(page.locator(".lv-doubt")).to_have_text("?Grey: probably not in this photo (below 50 %)")
    expect(box(page, 3)).to_have_class(re.compile("doubtful"))
    assert phrase(page, 3).locator(".lv-number").inner_text() == "3?"
    slide(page, "Grey below").fill("0")
    expect(page.locator(".lv .doubtful")).to_have_count(0)
    expect(page.locator(".lv-doubt")).to_be_hidden()
    slide(page, "Boxes per phrase").fill("4")
    page.wait_for_timeout(500)
    assert localizer.grounded == grounded
    # It stays as it is for the next sentence.
    ask(page, SENTENCE)
    expect(page.locator(".lv-box")).to_have_count(2)
    expect(slide(page, "Grey below")).to_have_value("0")


def test_further_boxes_of_a_phrase(page):
    assert page.locator(".lv-other").count() == 0
    slide(page, "Boxes per phrase").fill("3")
    count = page.locator(".lv-box").count()
    expect(page.locator(".lv-other")).to_have_count(2 * count)
    phrase(page, 1).hover()
    expect(page.locator('.lv-other[data-key="1"] .lv-other-tag').first).to_have_text("#2  score 0.51")
    expect(page.locator('.lv-other[data-key="2"] .lv-other-tag').first).to_be_hidden()
    slide(page, "Boxes per phrase").fill("1")
    expect(page.locator(".lv-other")).to_have_count(0)


def test_the_score_on_demand(page):
    titles = page.locator(".lv-table th")
    assert "Score" not in titles.all_inner_texts()
    page.get_by_label("Score").check()
    assert titles.all_inner_texts()[1:4] == ["In the photo", "Box right", "Score"]
    expect(row(page, 1)).to_contain_text("0.61")
    page.get_by_label("Score").uncheck()
    assert "Score" not in titles.all_inner_texts()
