"""Letters of any script on drawn pictures."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw

import sspe.lettering
from sspe.drawing import DrawnPhrase, draw_phrases
from sspe.lettering import Lettering


@pytest.fixture
def no_fonts(tmp_path, monkeypatch):
    """A system with no fonts but those put into the folder returned."""
    monkeypatch.setattr(sspe.lettering, "_folders", lambda: [tmp_path])
    caches = (sspe.lettering._files, sspe.lettering._file_with)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def written(text: str) -> np.ndarray:
    image = Image.new("L", (300, 40))
    Lettering(20).draw(ImageDraw.Draw(image), 5, 5, text, "#FFFFFF")
    return np.asarray(image)


def labelled(text: str) -> np.ndarray:
    phrase = DrawnPhrase([(10.0, 50.0, 90.0, 90.0)], text, "50 %", False)
    return np.asarray(draw_phrases(np.zeros((100, 400, 3), np.uint8), [phrase]))


def make_font(file, letters: str) -> None:
    """A font of these letters alone: bars whose heights differ, for what is missing a square."""
    names = {letter: f"letter{i}" for i, letter in enumerate(letters)}
    glyphs = {}
    for i, name in enumerate([".notdef", *names.values()]):
        pen = TTGlyphPen(None)
        top = 700 if not i else 100 * i
        pen.moveTo((100, 0))
        for point in ((100, top), (700, top), (700, 0)):
            pen.lineTo(point)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: (800, 100) for name in glyphs})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)


@pytest.mark.parametrize(
    ("one", "other"),
    [("собака", "кошкам"), ("γάτα", "σπίτι"), ("שלום", "כלבה"), ("سلام", "كتاب"), ("Hrvatskađ", "Hrvatskač")],
)
def test_other_scripts_are_written_without_any_font_of_the_system(no_fonts, one, other):
    """A letter that a font lacks looks like every other that it lacks."""
    assert not np.array_equal(labelled(one), labelled(other))
    assert not np.array_equal(written(one[0]), written("\U0010ffff"))


def test_what_they_lack_comes_from_a_font_of_the_system(no_fonts):
    before = labelled("犬"), labelled("猫")
    assert np.array_equal(*before)
    (no_fonts / "emoji.ttf").write_bytes(b"no font")
    (no_fonts / "deeper").mkdir()
    make_font(no_fonts / "deeper" / "cjk.ttf", "犬猫")
    sspe.lettering._files.cache_clear()
    sspe.lettering._file_with.cache_clear()
    dog, cat = labelled("犬"), labelled("猫")
    assert not np.array_equal(dog, cat) and not np.array_equal(dog, before[0])


def test_a_line_of_several_scripts_is_as_long_as_its_parts(no_fonts):
    lettering = Lettering(20)
    text = "A собака, and γάτα"
    ink = np.flatnonzero(written(text).any(axis=0))
    assert ink[0] >= 5 and ink[-1] <= 5 + lettering.length(text) + 1
    assert lettering.length(text) == pytest.approx(
        lettering.length("A ") + lettering.length("собака, ") + lettering.length("and ") + lettering.length("γάτα"),
        abs=6,
    )


def test_blanks_stay_between_words_written_to_the_left_and_others(no_fonts):
    ink = np.flatnonzero(written("שלום    a").any(axis=0))
    assert np.diff(ink).max() > 12 and ink[0] < 12  # the widest gap is in the middle, not before the first letter


def test_english_looks_the_same_whatever_fonts_there_are(no_fonts):
    from PIL import ImageFont

    image = Image.new("L", (300, 40))
    ImageDraw.Draw(image).text((5, 5), "1  a dog’s hat  87 %", font=ImageFont.load_default(20), fill=255)
    make_font(no_fonts / "a.ttf", "adogs")
    np.testing.assert_array_equal(written("1  a dog’s hat  87 %"), np.asarray(image))


def test_signs_that_are_no_letters(no_fonts):
    np.testing.assert_array_equal(written("a\x00\x1fb"), written("ab"))
    assert Lettering(20).length("") == 0 and written("e\u0301").any()  # a mark stays with its letter
