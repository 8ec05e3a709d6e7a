"""Photos as phones and browsers make them: HEIC, AVIF, colour profiles; bytes and open files in place of a name."""

import io
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from sspe.errors import PhotoError
from sspe.vision.photo import PHOTO_SUFFIXES, open_photo, photo_size

ORIENTATION = 0x0112
RED_OF_P3 = (234, 51, 35)  # how Display P3 writes what is (255, 0, 0) in sRGB


@pytest.fixture(scope="module", autouse=True)
def heif():
    """PIL writes HEIC, too; what reads it is asked for anew, as in a process that has not met one."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    yield
    _forget_heif()


def _forget_heif() -> None:
    Image.OPEN.pop("HEIF", None)
    if "HEIF" in Image.ID:
        Image.ID.remove("HEIF")


def drawn() -> Image.Image:
    """96 x 64 pixels, black, with a red quarter at the top left."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = (255, 0, 0)
    return Image.fromarray(pixels)


def display_p3() -> bytes:
    """The profile of Pillow's own sRGB with the primaries of Display P3, which iPhones write."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    (count,) = struct.unpack_from(">I", profile, 128)
    for i in range(count):
        tag, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        if tag in primaries:
            struct.pack_into(">3i", profile, offset + 8, *(round(value * 65536) for value in primaries[tag]))
    return bytes(profile)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey pixels with this gamma, version 2."""

    def tag(kind: bytes, content: bytes) -> bytes:
        return kind + bytes(4) + content

    tags = {
        b"wtpt": tag(b"XYZ ", struct.pack(">3i", 63190, 65536, 54061)),
        b"kTRC": tag(b"curv", struct.pack(">IH2x", 1, round(gamma * 256))),
    }
    table, body = b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12x4s24x4x3i48x", 132 + len(table) + len(body), b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ",
        b"acsp", 63190, 65536, 54061,
    )  # fmt: skip
    return head[:128].ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def sentence_of(source) -> str:
    with pytest.raises(PhotoError) as caught:
        open_photo(source)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    return text


# HEIC and AVIF


@pytest.mark.parametrize("suffix", ["heic", "avif"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_photos_of_phones_are_turned_upright_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    drawn().save(tmp_path / f"a.{suffix}", exif=exif.tobytes())
    _forget_heif()
    photo = open_photo(tmp_path / f"a.{suffix}")
    width, height = (64, 96) if orientation >= 5 else (96, 64)
    assert photo.shape == (height, width, 3) and photo_size(tmp_path / f"a.{suffix}") == (width, height)
    red = [corner for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if photo[corner][0] > 128]
    assert red == {2: [(0, -1)], 3: [(-1, -1)], 4: [(-1, 0)], 6: [(0, -1)], 7: [(-1, -1)], 8: [(-1, 0)]}.get(
        orientation, [(0, 0)]
    )


def test_heic_is_known_by_what_is_in_the_file(tmp_path):
    drawn().save(tmp_path / "a.heic")
    shutil.copy(tmp_path / "a.heic", tmp_path / "renamed.jpg")
    for source in (tmp_path / "renamed.jpg", (tmp_path / "a.heic").read_bytes()):
        _forget_heif()
        assert open_photo(source).shape == (64, 96, 3)
    for share in (0.1, 0.5, 0.9):
        cut = (tmp_path / "a.heic").read_bytes()
        assert "the picture given" in sentence_of(cut[: int(share * len(cut))])


def test_without_the_package_the_sentence_names_heic_and_how_to_convert(tmp_path, monkeypatch):
    drawn().save(tmp_path / "a.heic")
    _forget_heif()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert sentence_of(tmp_path / "a.heic") == (
        f'{tmp_path / "a.heic"} is a HEIC photo, as iPhones take them; run `pip install -e ".[heic]"` to open such, or '
        "save it as JPEG."
    )


def test_an_older_pillow_names_avif(tmp_path, monkeypatch):
    drawn().save(tmp_path / "a.avif")
    open_photo(tmp_path / "a.avif")
    monkeypatch.setattr(Image, "registered_extensions", lambda: {})
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "AVIF"])
    assert "is an AVIF photo; update Pillow to 11.3 or newer" in sentence_of(tmp_path / "a.avif")


def test_what_folders_take_can_be_opened(tmp_path):
    for suffix in sorted(PHOTO_SUFFIXES):
        drawn().save(tmp_path / f"a{suffix}")
        assert open_photo(tmp_path / f"a{suffix}").shape == (64, 96, 3)


# Colour profiles


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif", "a.heic"])
def test_wide_colours_become_those_of_a_screen(tmp_path, name):
    whole = {"a.jpg": {"quality": 100, "subsampling": 0}, "a.webp": {"lossless": True}, "a.avif": {"quality": 100},
             "a.heic": {"quality": 100, "chroma": 444}}.get(name, {})  # fmt: skip
    Image.new("RGB", (16, 16), RED_OF_P3).save(tmp_path / name, icc_profile=display_p3(), **whole)
    np.testing.assert_allclose(open_photo(tmp_path / name)[8, 8].astype(int), (255, 0, 0), atol=3)


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGBa"])
def test_transparent_and_palette_pictures_with_a_profile(mode):
    image = Image.new("RGB", (2, 1), RED_OF_P3)
    if mode == "P":
        image = image.quantize(2)
    else:
        image.putalpha(Image.fromarray(np.array([[255, 0]], np.uint8)))
        image = image.convert(mode)
    image.info["icc_profile"] = display_p3()
    photo = open_photo(image)
    np.testing.assert_allclose(photo[0, 0].astype(int), (255, 0, 0), atol=2)
    np.testing.assert_array_equal(photo[0, 1], photo[0, 0] if mode == "P" else [255] * 3)


def test_grey_with_a_profile():
    grey = Image.new("L", (2, 2), 128)
    grey.info["icc_profile"] = grey_profile(1.0)
    np.testing.assert_allclose(open_photo(grey)[0, 0].astype(int), 188, atol=2)  # half the light, in sRGB


def test_a_profile_that_says_srgb_changes_no_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(open_photo(image), noise)


@pytest.mark.parametrize("profile", [b"no profile", display_p3()[:200], grey_profile(1.0), display_p3().hex()])
def test_a_damaged_profile_or_one_of_other_pixels_is_ignored(profile):
    image = Image.new("RGB", (2, 2), RED_OF_P3)
    image.info["icc_profile"] = profile
    np.testing.assert_array_equal(open_photo(image)[0, 0], RED_OF_P3)


# Bytes, open files, and what is no photo


def test_bytes_and_open_files(tmp_path):
    path = tmp_path / "a.png"
    drawn().save(path)
    content = path.read_bytes()
    for source in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        np.testing.assert_array_equal(open_photo(source), np.asarray(drawn()))
    with open(path, "rb") as file:
        for _ in range(2):  # once more from its beginning, and left open
            np.testing.assert_array_equal(open_photo(file), np.asarray(drawn()))
        assert not file.closed


class Unwilling(io.BytesIO):
    """A file over a connection that was lost."""

    def read(self, *_) -> bytes:
        raise ConnectionResetError("connection reset")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "No photo was given, but None"),
        ("", "No photo was given, but ''"),
        (b"", "the picture given is not a picture in a known format"),
        (b"words", "the picture given is not a picture in a known format"),
        (7, "this one is a int; convert it first"),
        ([Path("a.jpg")], "this one is a list; convert it first"),
        (io.StringIO("words"), "is open as text; open it in binary"),
        (Unwilling(), "could not be read (connection reset)"),
        ("https://example.org/a.jpg", "is an address, and nothing is downloaded"),
    ],
)
def test_what_is_no_photo_is_one_sentence(source, told):
    assert told in sentence_of(source)


def test_a_closed_file_is_named(tmp_path):
    drawn().save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        pass
    assert f"{tmp_path / 'a.png'} could not be read" in sentence_of(file)
