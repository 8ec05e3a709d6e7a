"""The panel "Boxes" as data: tokens, places, tags."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sspe.drawing import DOUBTFUL, PALETTE, UNKNOWN_WORD, phrase_color
from sspe.results import PRESENT_THRESHOLD, Candidate, Localization, LocalizedPhrase
from sspe.web.panels.boxes import (
    SHOWN_CANDIDATES,
    Figure,
    Place,
    Token,
    format_score,
    message_data,
    phrase_marks,
    split_sentence,
    split_words,
    view_data,
)


def phrase(text, start, box=(0.0, 0.0, 10.0, 10.0), score=0.5, confidence=None, present=None):
    candidates = (Candidate(box, score),)
    return LocalizedPhrase(
        text, start, start + len(text), text.split()[-1], box, score, candidates, confidence, present
    )


def localization(sentence, *phrases, width=200, height=100):
    return Localization(sentence, width, height, phrases, np.zeros((height, width, 3), np.uint8))


def test_sentence_is_cut_verbatim():
    sentence = 'A man\n in "the  hat" ☂.'
    tokens = split_sentence(sentence, [phrase("A man", 0), phrase("the  hat", 11)])
    assert tokens == [Token("A man", "1"), Token('\n in "', None), Token("the  hat", "2"), Token('" ☂.', None)]
    assert "".join(token.text for token in tokens) == sentence


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [
        ([], [("a red hat", None)]),
        ([phrase("a red hat", 0)], [("a red hat", "1")]),
        ([phrase("hat", 6), phrase("a red", 0)], [("a red", "2"), (" ", None), ("hat", "1")]),  # given in any order
        ([phrase("a red", 0), phrase("red hat", 2)], [("a red", "1"), (" hat", "2")]),  # overlapping
        ([phrase("a red hat", 0), phrase("red", 2)], [("a red hat", "1")]),  # one inside the other
    ],
)
def test_pieces_always_join_to_the_sentence(phrases, expected):
    tokens = split_sentence("a red hat", phrases)
    assert [(token.text, token.key) for token in tokens] == expected
    assert "".join(token.text for token in tokens) == "a red hat"


def test_a_denied_phrase_says_so_beside_its_box_and_in_the_table():
    denied = replace(phrase("hat", 3), negated=True)
    data = view_data(localization("no hat", denied), "data:")
    assert data["phrases"][0]["text"] == "not: hat"
    assert [token["text"] for token in data["tokens"]] == ["no ", "hat"]  # the sentence stays verbatim


def test_boxes_in_per_cent_of_the_photo_and_in_pixels():
    (mark,) = phrase_marks(localization("a hat", phrase("a hat", 0, (20.0, 25.0, 60.4, 100.0), 0.312)))
    assert [frame.place for frame in mark.frames] == [Place(10, 25, 20.2, 75)]
    assert mark.pixels == ("20, 25, 60, 100",)
    assert (mark.key, mark.color, mark.figures) == ("1", phrase_color(0), (Figure("0.31", 31.2),))


def test_boxes_never_leave_the_photo():
    (mark,) = phrase_marks(localization("a hat", phrase("a hat", 0, (-20.0, -5.0, 260.0, 130.0))))
    assert mark.frames[0].place == Place(0, 0, 100, 100)


def test_smaller_boxes_lie_above_larger_ones():
    small, large, middle = (0.0, 0.0, 9.0, 9.0), (0.0, 0.0, 200.0, 100.0), (0.0, 0.0, 90.0, 50.0)
    marks = phrase_marks(localization("x", phrase("x", 0, small), phrase("x", 0, large), phrase("x", 0, middle)))
    assert [mark.frames[0].layer for mark in marks] == [3, 1, 2]


def test_tags_at_one_corner_stand_side_by_side():
    left, right = (10.0, 50.0, 60.0, 90.0), (130.0, 50.0, 190.0, 90.0)
    marks = phrase_marks(localization("x", *(phrase("x", 0, box) for box in (left, right, left, left, right))))
    assert [mark.frames[0].shift for mark in marks] == [0, 0, 1, 2, 1]
    assert [mark.frames[0].flush_right for mark in marks] == [False, True, False, False, True]


def test_a_tag_stays_inside_where_the_photo_ends_above_its_box():
    marks = phrase_marks(
        localization("x", phrase("x", 0, (0.0, 1.0, 50.0, 50.0)), phrase("x", 0, (0.0, 30.0, 50.0, 50.0)))
    )
    assert [mark.frames[0].raised for mark in marks] == [False, True]


def test_several_things_are_all_drawn_and_counted():
    boxes = ((20.0, 25.0, 60.0, 75.0), (100.0, 25.0, 180.0, 75.0))
    dogs = replace(phrase("two dogs", 0), boxes=boxes)
    cat = replace(phrase("the cat", 10, (20.0, 25.0, 60.0, 60.0)), chosen_by="on the left")
    two, one = phrase_marks(localization("two dogs, the cat on the left", dogs, cat))
    assert [frame.place for frame in two.frames] == [Place(10, 25, 20, 50), Place(50, 25, 40, 50)]
    assert two.pixels == ("20, 25, 60, 75", "100, 25, 180, 75")
    assert (two.note, one.note) == ("2 boxes", "chosen by: on the left")
    assert [frame.layer for mark in (two, one) for frame in mark.frames] == [2, 1, 3]
    assert one.frames[0].shift == 1  # its tag makes way for that of the first dog
    assert phrase_marks(localization("x", phrase("x", 0)))[0].note == ""


@pytest.mark.parametrize(
    ("score", "text", "strength"),
    [(0.999, "1.00", 99.9), (-0.25, "\N{MINUS SIGN}0.25", 0), (-0.001, "0.00", 0), (1.0001, "1.00", 100)],
)
def test_scores(score, text, strength):
    assert format_score(score) == text
    (mark,) = phrase_marks(localization("x", phrase("x", 0, score=score)))
    assert mark.figures == (Figure(text, strength),)
    assert (mark.spoken, mark.score, mark.present) == (f"score {text}", text, None)


def test_probabilities_take_the_place_of_the_score():
    found = localization(
        "a man, a cat",
        phrase("a man", 0, confidence=0.64, present=0.87),
        phrase("a cat", 7, (5.0, 5.0, 9.0, 9.0), 0.9, 0.5, 0.12),
    )
    data = view_data(found, "")
    assert data["columns"] == ["In the photo", "Box right"]
    assert data["calibrated"] and data["explanation"]
    man, cat = phrase_marks(found)
    assert man.figures == (Figure("87 %", 87.0), Figure("64 %", 64.0))
    assert (man.present, man.color, man.spoken) == (0.87, phrase_color(0), "in the photo 87 %, box right 64 %")
    assert (cat.key, cat.present, cat.score) == ("2", 0.12, "0.90")
    assert [token["key"] for token in data["tokens"]] == ["1", None, "2"]


@pytest.mark.parametrize("others", [[], [phrase("a man", 0, confidence=0.64, present=0.87)]], ids=["alone", "beside"])
def test_an_unknown_word_has_no_figures_and_leaves_the_others_theirs(others):
    data = view_data(localization("a man, a zorblax", *others, replace(phrase("a zorblax", 7), known=False)), "")
    assert data["columns"] == ["In the photo", "Box right"] and data["unknown"] == UNKNOWN_WORD
    *known, zorblax = data["phrases"]
    assert (zorblax["known"], zorblax["present"], zorblax["figures"]) == (False, None, ())
    assert zorblax["spoken"] == "not a word it knows"
    assert all(mark["known"] and len(mark["figures"]) == 2 for mark in known)


def test_the_browser_is_told_what_is_grey_until_the_visitor_says_otherwise():
    for data in (view_data(localization("x"), ""), message_data("No photo.")):
        assert (data["threshold"], data["grey"]) == (100 * PRESENT_THRESHOLD, DOUBTFUL)
        assert [color for color, _ in data["palette"]] == list(PALETTE)


def test_further_candidates_are_sent_and_the_answer_is_not_among_them():
    boxes = [(10.0 * k, 0.0, 10.0 * k + 20, 50.0) for k in range(8)]
    candidates = tuple(Candidate(box, 0.9 - 0.1 * k) for k, box in enumerate(boxes))
    one = LocalizedPhrase("x", 0, 1, "x", boxes[0], 0.9, candidates)
    (mark,) = phrase_marks(localization("x", one))
    assert [c.score for c in mark.candidates] == ["0.80", "0.70", "0.60", "0.50"]
    assert len(mark.candidates) == SHOWN_CANDIDATES - 1
    assert mark.candidates[0].place == Place(5, 0, 10, 50)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A man's hat, w/o a-brim!", ["A", "man's", "hat", "w/o", "a-brim"]),
        ("  ☂ 👒 red", ["red"]),
        ("ein Hütchen", ["ein", "Hütchen"]),
        ("...", []),
    ],
)
def test_words_to_click(sentence, words):
    split = split_words(sentence)
    assert [word.text for word in split] == [*words, ""]
    assert "".join(word.gap + word.text for word in split) == sentence
    for word in split:
        assert sentence[word.start : word.end] == word.text


@pytest.mark.parametrize(
    "phrases",
    [[], [phrase("x", 0)], [phrase("x", 0, confidence=0.5, present=0.5), phrase("x", 0)]],
    ids=["no phrase", "uncalibrated", "in part"],
)
def test_without_probabilities_there_is_the_score_and_no_empty_column(phrases):
    data = view_data(localization("x", *phrases), "")
    assert (data["columns"], data["explanation"], data["calibrated"]) == (["Score"], "", False)
    assert all(len(mark["figures"]) == 1 for mark in data["phrases"])


def test_view_is_json_with_everything_the_browser_needs():
    box = tuple(np.float32(v) for v in (1, 2, 30, 40))
    data = json.loads(
        json.dumps(view_data(localization("a hat!", phrase("a hat", 0, box, np.float32(0.2))), "data:x", "note"))
    )
    assert (data["width"], data["height"], data["src"], data["message"], data["failed"]) == (
        200,
        100,
        "data:x",
        "note",
        False,
    )
    assert [token["key"] for token in data["tokens"]] == ["1", None]
    assert data["phrases"][0]["text"] == "a hat"


def test_message_alone():
    data = message_data("No photo.")
    assert data.keys() == view_data(localization("x"), "").keys()
    assert (data["message"], data["failed"], data["src"], data["phrases"]) == ("No photo.", True, "", [])
