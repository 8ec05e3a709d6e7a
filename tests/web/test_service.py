"""One request: what is checked, what is remembered, what a visitor is told."""

import base64
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from sspe.errors import PhotoError, SspeError
from sspe.web.service import MAX_CHARACTERS, MAX_PHRASES, LocalizeService, no_phrase_message, preview_uri

SENTENCE = "A man in a red hat."


def test_result_and_stages(localizer, picture):
    stages = []
    found, seen = LocalizeService(localizer)(picture, SENTENCE, lambda share, stage: stages.append((share, stage)))
    assert [phrase.text for phrase in found.phrases] == ["A man", "a red hat"]
    assert (found.width, found.height) == (64, 48)
    assert seen.preview.startswith("data:image/jpeg;base64,")
    assert stages == [
        (0.0, "Opening the photo"),
        (0.1, "Edge Boxes"),
        (0.25, "Embedding 9 regions"),
        (0.9, "Matching phrases with regions"),
    ]


def test_another_sentence_on_the_same_photo_is_nearly_free(localizer, picture, tmp_path):
    service = LocalizeService(localizer)
    service(picture, SENTENCE)
    stages = []
    service(picture, "The dog.", lambda share, stage: stages.append(stage))
    copy = tmp_path / "another name.png"
    shutil.copy(picture, copy)
    service(copy, SENTENCE)
    assert localizer.seen == 1
    assert stages == ["Matching phrases with regions"]
    picture.write_bytes(_png(np.zeros((48, 64, 3), np.uint8)))  # another photo under the same name
    service(picture, SENTENCE)
    assert localizer.seen == 2


def test_memory_is_bounded_and_drops_the_photo_used_longest_ago(localizer, tmp_path):
    paths = []
    for shade in (10, 20, 30):
        paths.append(tmp_path / f"{shade}.png")
        paths[-1].write_bytes(_png(np.full((100, 100, 3), shade, np.uint8)))
    service = LocalizeService(localizer, max_memory=70_000)  # two photos of 30,000 bytes and their embeddings
    for path in (paths[0], paths[1], paths[0], paths[2], paths[0]):  # the third photo drives out the second
        service(path, SENTENCE)
    assert localizer.seen == 3
    service(paths[1], SENTENCE)
    assert localizer.seen == 4


def test_a_photo_larger_than_the_memory_is_still_localized(localizer, picture):
    assert LocalizeService(localizer, max_memory=1)(picture, SENTENCE)[0].phrases


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (None, "The sentence is empty"),
        ("", "The sentence is empty"),
        (" \n\t", "The sentence is empty"),
        ("a" * (MAX_CHARACTERS + 1), "has 1,001 characters and the limit is 1,000"),
        ("the cat on " * (MAX_PHRASES + 1), f"has {MAX_PHRASES + 1} noun phrases and the limit is {MAX_PHRASES}"),
    ],
)
def test_bad_sentences(localizer, picture, sentence, message):
    with pytest.raises(SspeError, match=message) as caught:
        LocalizeService(localizer)(picture, sentence)
    _assert_one_sentence(caught.value)


def test_phrases_that_the_visitor_marked(localizer, picture):
    found, _ = LocalizeService(localizer)(picture, SENTENCE, spans=[[0, 5], (8, 14)], top_k=3)
    assert [(phrase.text, phrase.start, phrase.end) for phrase in found.phrases] == [("A man", 0, 5), ("a red", 9, 14)]
    assert [len(phrase.candidates) for phrase in found.phrases] == [3, 3]
    assert LocalizeService(localizer)(picture, SENTENCE, spans=[])[0].phrases == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"spans": 7}, "The phrases were given as 7"),
        ({"spans": {"start": 0}}, "The phrases were given as"),
        ({"spans": [[0, 1]] * (MAX_PHRASES + 1)}, f"has {MAX_PHRASES + 1} noun phrases"),
        ({"spans": [[3, 99]]}, "No word stands at 3 to 99"),
        ({"top_k": 0}, "top_k is 0; give a whole number from 1 to 20"),
        ({"top_k": 21}, "top_k is 21"),
        ({"top_k": None}, "top_k is None"),
        ({"top_k": True}, "top_k is True"),
    ],
)
def test_bad_phrases_and_counts(localizer, picture, asked, message):
    with pytest.raises(SspeError, match=message) as caught:
        LocalizeService(localizer)(picture, SENTENCE, **asked)
    assert localizer.seen == 0
    _assert_one_sentence(caught.value)


def test_no_photo(localizer):
    with pytest.raises(SspeError, match="There is no photo yet") as caught:
        LocalizeService(localizer)(None, SENTENCE)
    _assert_one_sentence(caught.value)


def _png(pixels, **settings) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **settings)
    return buffer.getvalue()


def _huge() -> bytes:
    """A 200-megapixel PNG of one colour: some 25 KB."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "bad.png is not a picture"),
        (lambda: b"%PDF-1.4 not a picture at all", "bad.png is not a picture"),
        (
            lambda: _png(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8))[:9000],
            "bad.png is a damaged or",
        ),
        (_huge, "megapixel"),
    ],
    ids=["empty", "not a picture", "truncated", "200 megapixels"],
)
def test_bad_photos_are_named_without_the_folder_they_lie_in(localizer, tmp_path, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content())
    with pytest.raises(PhotoError, match=message) as caught:
        LocalizeService(localizer)(path, SENTENCE)
    assert str(tmp_path) not in str(caught.value)
    assert localizer.seen == 0
    _assert_one_sentence(caught.value)


def test_a_file_that_is_gone(localizer, tmp_path):
    with pytest.raises(
        PhotoError, match=r"^gone\.png could not be read \(No such file or directory\); upload it again"
    ):
        LocalizeService(localizer)(tmp_path / "gone.png", SENTENCE)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def _halves(width=64, height=48) -> Image.Image:
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def _rotated() -> tuple[Image.Image, dict]:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the red half on top
    return _halves(), {"exif": exif, "quality": 95}


@pytest.mark.parametrize(
    ("make", "suffix", "size", "corner"),
    [
        (lambda: (Image.new("RGB", (1, 1), RED), {}), "png", (1, 1), RED),
        (lambda: (_halves().convert("CMYK"), {"quality": 95}), "jpg", (64, 48), RED),
        (lambda: (_halves().quantize(4), {}), "png", (64, 48), RED),
        (lambda: (Image.fromarray(np.full((48, 64), 32768, np.uint16)), {}), "png", (64, 48), (128, 128, 128)),
        (lambda: (_halves(), {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}), "gif", (64, 48), RED),
        (_rotated, "jpg", (48, 64), RED),
    ],
    ids=["1x1", "CMYK", "palette", "16-bit", "animated", "EXIF-rotated"],
)
def test_odd_photos_give_the_right_result(localizer, tmp_path, make, suffix, size, corner):
    image, settings = make()
    path = tmp_path / f"odd.{suffix}"
    image.save(path, **settings)
    found, seen = LocalizeService(localizer)(path, SENTENCE)
    assert (found.width, found.height) == size
    shown = Image.open(io.BytesIO(base64.b64decode(seen.preview.partition(",")[2])))
    assert shown.size == size
    for pixels in (found.photo, np.asarray(shown)):
        assert np.abs(pixels[0, -1 if suffix == "jpg" and size == (48, 64) else 0].astype(int) - corner).max() < 12


def test_preview_is_shrunk_to_its_long_side():
    photo = np.zeros((100, 300, 3), np.uint8)
    content = base64.b64decode(preview_uri(photo, 150).partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (150, 50)
    assert Image.open(io.BytesIO(base64.b64decode(preview_uri(photo).partition(",")[2]))).size == (300, 100)


def test_no_phrase_message_quotes_a_long_sentence_in_short():
    message = no_phrase_message("Wow!\n" * 40)
    assert message.startswith("No noun phrase was found in “Wow! Wow!")
    assert len(message) < 160
    assert "\n" not in message


def _assert_one_sentence(error: Exception) -> None:
    text = str(error)
    assert text.endswith((".", "”."))
    assert "\n" not in text
    assert text.count(". ") == 0
