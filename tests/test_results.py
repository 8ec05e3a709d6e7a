"""The result types: dictionaries, drawings, and the palette they share with the page."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sspe.drawing import DOUBTFUL, PALETTE, contrast, format_probability, ink_on, phrase_color, rgb, shorten
from sspe.results import PRESENT_THRESHOLD, Candidate, Localization, LocalizedPhrase

SENTENCE = "A man beside a dog, and a dog."


def _phrase(text: str, start: int, box: tuple[float, float, float, float], score: float) -> LocalizedPhrase:
    candidates = (Candidate(box, score), Candidate((0.0, 0.0, 5.0, 5.0), score - 0.1))
    return LocalizedPhrase(text, start, start + len(text), text.split()[-1], box, score, candidates)


def _localization(width: int = 200, height: int = 100, sentence: str = SENTENCE) -> Localization:
    phrases = (
        _phrase("A man", 0, (10.0, 20.0, 60.0, 90.0), 0.5),
        _phrase("a dog", 13, (100.004, 40.0, 150.0, 80.5), 0.25),
        _phrase("a dog", 24, (-0.0, 0.0, 200.0, 100.0), -0.125),
    )
    return Localization(sentence, width, height, phrases, np.full((height, width, 3), 128, np.uint8))


def _calibrated(*present: float, **settings) -> Localization:
    """The same phrases with these probabilities of being in the photo."""
    localization = _localization(**settings)
    phrases = zip(localization.phrases, present, strict=True)
    return replace(localization, phrases=tuple(replace(p, confidence=0.123456, present=shown) for p, shown in phrases))


def test_dictionary_is_json_and_cuts_the_sentence_verbatim():
    found = json.loads(json.dumps(_localization().to_dict()))
    assert (found["width"], found["height"], found["sentence"]) == (200, 100, SENTENCE)
    for phrase in found["phrases"]:
        assert SENTENCE[phrase["start"] : phrase["end"]] == phrase["text"]
        assert phrase["candidates"][0] == {"box": phrase["box"], "score": phrase["score"]}
    assert found["phrases"][1]["box"] == [100.0, 40.0, 150.0, 80.5]
    assert found["phrases"][2]["score"] == -0.125


def test_numpy_numbers_become_plain_ones():
    box = tuple(np.float32(v) for v in (1.1, 2.2, 3.3, 4.4))
    phrase = LocalizedPhrase("x", 0, 1, "x", box, np.float32(0.3), (Candidate(box, np.float32(0.3)),))
    found = Localization("x", 5, 5, (phrase,), np.zeros((5, 5, 3), np.uint8)).to_dict()
    assert json.loads(json.dumps(found))["phrases"][0] == {
        "text": "x", "start": 0, "end": 1, "head": "x", "negated": False, "known": True,
        "box": [1.1, 2.2, 3.3, 4.4], "boxes": [[1.1, 2.2, 3.3, 4.4]], "chosen_by": None,
        "score": 0.3, "confidence": None, "present": None,
        "candidates": [{"box": [1.1, 2.2, 3.3, 4.4], "score": 0.3}],
    }  # fmt: skip


def test_several_things_have_a_box_each():
    localization = _localization()
    boxes = ((10.0, 20.0, 60.0, 90.0), (110.0, 20.5, 160.0, 90.0))
    men = replace(localization.phrases[0], boxes=boxes)
    dog = replace(localization.phrases[1], chosen_by="on the left")
    several = replace(localization, phrases=(men, dog, localization.phrases[2]))
    plain = json.loads(json.dumps(several.to_dict()))["phrases"]
    assert plain[0]["boxes"] == [list(box) for box in boxes] and plain[0]["box"] == list(boxes[0])
    assert [phrase["chosen_by"] for phrase in plain] == [None, "on the left", None]
    assert plain[1]["boxes"] == [plain[1]["box"]]  # one thing, one box
    drawn, one = np.array(several.draw()), np.array(localization.draw())
    color = np.array(rgb(phrase_color(0)))
    assert (drawn[25:85, 108:115] == color).all(axis=2).any() and not (one[25:85, 108:115] == color).all(axis=2).any()


def test_probabilities_are_plain_numbers_or_null():
    localization = _calibrated(np.float32(0.9), 0.33333333, 0.0)
    phrases = json.loads(json.dumps(localization.to_dict()))["phrases"]
    assert [phrase["present"] for phrase in phrases] == [0.9, 0.3333, 0.0]
    assert [phrase["confidence"] for phrase in phrases] == [0.1235] * 3
    assert list(phrases[0]).index("confidence") == list(phrases[0]).index("score") + 1


def test_a_denied_phrase_says_so():
    localization = _localization()
    hat = replace(localization.phrases[0], negated=True)
    localization = replace(localization, phrases=(hat, *localization.phrases[1:]))
    assert [phrase["negated"] for phrase in localization.to_dict()["phrases"]] == [True, False, False]
    assert hat.label == "not: A man" and localization.phrases[1].label == "a dog"
    assert localization.draw().tobytes() != _localization().draw().tobytes()


def test_doubtful_below_the_threshold_only():
    phrases = _calibrated(PRESENT_THRESHOLD - 0.001, PRESENT_THRESHOLD, 1.0).phrases
    assert [phrase.doubtful for phrase in phrases] == [True, False, False]
    assert not any(phrase.doubtful for phrase in _localization().phrases)


def test_doubtful_phrases_can_be_left_out():
    found = _calibrated(PRESENT_THRESHOLD - 0.001, PRESENT_THRESHOLD, 1.0)
    assert found.without_doubtful() == replace(found, phrases=found.phrases[1:])
    assert found.without_doubtful(0.9).phrases == found.phrases[2:]
    assert found.without_doubtful(0) == found and _localization().without_doubtful(1) == _localization()
    unknown = replace(found, phrases=(replace(found.phrases[2], known=False, confidence=None, present=None),))
    assert unknown.without_doubtful(0).phrases == ()


def test_an_unknown_word_is_doubtful_grey_and_says_so_at_every_threshold():
    first, *others = _calibrated(0.9, 0.9, 0.9).phrases
    unknown = replace(first, known=False, confidence=None, present=None)
    assert unknown.doubtful and unknown.is_doubtful(0)
    found = replace(_localization(1000, 800), phrases=(unknown, *others))
    assert [(p["known"], p["present"]) for p in json.loads(json.dumps(found.to_dict()))["phrases"]] == [
        (False, None), (True, 0.9), (True, 0.9)
    ]  # fmt: skip
    pixels = np.asarray(found.draw(0.0))
    assert (pixels == rgb(DOUBTFUL)).all(axis=2).any() and not (pixels == rgb(phrase_color(0))).all(axis=2).any()


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0, "<1 %"), (0.0099, "<1 %"), (0.01, "1 %"), (0.29, "29 %"), (0.2999, "29 %"), (0.3, "30 %"), (0.999, "99 %"),
     (np.float32(0.3), "30 %"), (1, "100 %")],
)  # fmt: skip
def test_probabilities_are_rounded_down(probability, text):
    assert format_probability(probability) == text


def test_localizations_compare_and_print_without_their_photo():
    one, other = _localization(), _localization()
    other.photo[:] = 0
    assert one == other
    assert "photo" not in repr(one)


def test_empty_localization():
    empty = Localization("Wow!", 4, 3, (), np.zeros((3, 4, 3), np.uint8))
    assert empty.to_dict()["phrases"] == []
    assert np.array_equal(np.asarray(empty.draw()), empty.photo)


def test_drawing_keeps_size_and_photo_and_shows_every_colour():
    localization = _localization(1000, 800)
    image = localization.draw()
    pixels = np.asarray(image)
    assert image.size == (1000, 800)
    assert (localization.photo == 128).all()
    for index in range(3):
        assert (pixels == rgb(phrase_color(index))).all(axis=2).any(), f"colour of phrase {index + 1} is missing"


def test_a_drawing_greys_below_the_threshold_it_is_given():
    phrase = LocalizedPhrase("a dog", 0, 5, "dog", (10, 10, 90, 90), 0.5, (Candidate((10, 10, 90, 90), 0.5),), 0.5, 0.4)
    found = Localization("a dog", 100, 100, (phrase,), np.zeros((100, 100, 3), np.uint8))
    assert np.array_equal(np.asarray(found.draw()), np.asarray(found.draw(0.4)))
    assert not np.array_equal(np.asarray(found.draw()), np.asarray(found.draw(0.41)))
    assert (np.asarray(found.draw(0.41)) == rgb(DOUBTFUL)).all(2).any()


def test_a_doubtful_phrase_is_drawn_grey_dashed_and_thinner():
    box = (100.0, 300.0, 700.0, 700.0)
    sure = replace(_phrase("a dog", 0, box, 0.5), confidence=0.5, present=0.9)
    doubtful = replace(sure, present=0.1)

    def drawn(phrase: LocalizedPhrase) -> np.ndarray:
        return np.asarray(Localization("a dog", 800, 800, (phrase,), np.zeros((800, 800, 3), np.uint8)).draw())

    of_sure, of_doubtful = drawn(sure), drawn(doubtful)
    assert not (of_doubtful == rgb(PALETTE[0])).all(axis=2).any()
    assert not (of_sure == rgb(DOUBTFUL)).all(axis=2).any()

    def across(pixels: np.ndarray) -> np.ndarray:
        """Pixels that are not the black of the photo along the row through the middle of the box."""
        return pixels[500, 80:120].any(axis=1)

    assert 0 < across(of_doubtful).sum() < across(of_sure).sum()
    side = of_doubtful[310:690, 101]  # just inside the hair line: grey and white take turns
    grey, white = ((side == color).all(axis=1) for color in (rgb(DOUBTFUL), (255, 255, 255)))
    assert (grey | white).all()
    assert 0.4 < grey.mean() < 0.6


def test_lines_grow_with_the_photo():
    def line_width(width: int, height: int) -> int:
        box = (width * 0.25, height * 0.5, width * 0.75, height * 0.9)
        found = Localization("x", width, height, (_phrase("x", 0, box, 0.1),), np.zeros((height, width, 3), np.uint8))
        column = np.asarray(found.draw())[:, width // 2]
        # Count below the middle of the box, where no label is.
        return int((column[int(height * 0.7) :] == rgb(PALETTE[0])).all(axis=1).sum())

    assert line_width(400, 300) == 2
    assert line_width(4000, 3000) == 12


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (2, 500), (500, 2)])
def test_tiny_photos_are_drawn(size):
    width, height = size
    phrases = (_phrase("x", 0, (0.0, 0.0, float(width), float(height)), 0.9),) * 3
    for shown in (None, 0.9, 0.1):
        some = tuple(replace(phrase, confidence=shown, present=shown) for phrase in phrases)
        assert Localization("x", width, height, some, np.zeros((height, width, 3), np.uint8)).draw().size == size


def test_labels_keep_off_each_other():
    phrases = tuple(_phrase("dog", 0, (300.0, 300.0, 500.0, 500.0), 0.5) for _ in range(4))
    image = Localization("dog", 800, 800, phrases, np.zeros((800, 800, 3), np.uint8)).draw()
    pixels = np.asarray(image)
    for index in range(4):  # each label keeps a patch of its own colour
        assert (pixels == rgb(phrase_color(index))).all(axis=2).sum() > 500


def test_shorten():
    assert shorten("a  \n dog") == "a dog"
    assert shorten("x" * 50) == "x" * 39 + "…"
    assert shorten("") == ""


def test_ink_is_readable_on_every_colour():
    assert min(contrast(ink_on(color), color) for color in (*PALETTE, DOUBTFUL)) >= 4.5  # WCAG AA for small text
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)


# Machado, Oliveira and Fernandes (2009), full deficiency, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_stay_apart_for_colour_blind_eyes(deficiency):
    def seen_as(color: str) -> np.ndarray:
        """CIE Lab (D65) of the colour as such eyes see it."""
        srgb = np.array(rgb(color)) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(DEFICIENCIES[deficiency] @ linear, 0, 1)
        xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
        f = np.cbrt(xyz / (0.9505, 1.0, 1.089))
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    seen = [seen_as(color) for color in (*PALETTE, DOUBTFUL)]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) > 12  # a just noticeable difference is about 2.3


def test_palette_starts_over():
    assert phrase_color(len(PALETTE)) == phrase_color(0)
    assert len(set(PALETTE)) == len(PALETTE)
