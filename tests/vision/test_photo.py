"""Every kind of picture a user may bring: the right pixels, or one sentence."""

import io
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from sspe.errors import PhotoError
from sspe.vision.photo import open_photo, photo_size, squeeze

ORIENTATION = 0x0112
# Each value of the tag, and where the corner that was drawn at the top left ends up: (row, column) of the corner.
CORNERS = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}


def drawn(mode: str = "RGB") -> Image.Image:
    """30 x 20 pixels, black, with a red quarter at the top left."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :15] = (255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


def sentence_of(source, **options) -> str:
    """The message of the PhotoError that opening raises; checked to be one sentence in one line."""
    with pytest.raises(PhotoError) as caught:
        open_photo(source, **options)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int) -> bytes:
    """A PNG of one colour, one bit a pixel, written without ever holding its pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


# What cannot be opened


def test_not_a_picture(tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("notes.jpg", "empty.jpg"):
        assert "not a picture in a known format" in sentence_of(tmp_path / name)
        with pytest.raises(PhotoError, match="known format"):
            photo_size(tmp_path / name)


def test_missing_files_folders_and_impossible_names(tmp_path):
    assert "There is no file" in sentence_of(tmp_path / "missing.jpg")
    assert "is a folder" in sentence_of(str(tmp_path))
    assert "could not be read" in sentence_of("a" * 3000)
    assert "could not be read" in sentence_of("a\0b")
    with pytest.raises(PhotoError, match="There is no file"):
        photo_size(tmp_path / "missing.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "bmp", "webp"])
def test_truncated(tmp_path, suffix):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    whole = io.BytesIO()
    noise.save(whole, Image.registered_extensions()[f".{suffix}"])
    for share in (0.3, 0.6, 0.9):
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        assert str(path) in sentence_of(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "ICO", "TGA", "PPM", "PCX", "DDS"])
def test_damaged_bytes_give_a_photo_or_a_sentence(tmp_path, format):
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = io.BytesIO()
    drawn().save(whole, format, **({"exif": exif} if format in ("JPEG", "PNG", "WEBP") else {}))
    path = tmp_path / "damaged"
    opened = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's own, about the damage
        for _ in range(40):
            damaged = bytearray(whole.getvalue())
            for _ in range(rng.integers(1, 12)):
                damaged[rng.integers(min(len(damaged), 200))] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                photo = open_photo(path)
            except PhotoError:
                continue
            opened += 1
            assert photo.dtype == np.uint8 and photo_size(path) == photo.shape[1::-1]
    assert opened < 40


def test_200_megapixels_of_one_colour_are_refused_before_decoding(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png(20_000, 10_000))
    assert path.stat().st_size < 100_000
    begun = time.perf_counter()
    assert "too many pixels" in sentence_of(path)
    with pytest.raises(PhotoError, match="too many pixels"):
        photo_size(path)
    assert time.perf_counter() - begun < 0.5


def test_above_our_limit_the_size_is_named(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png(10_000, 7_000))
    begun = time.perf_counter()
    assert "70 megapixels (10000 x 7000) and the limit is 64" in sentence_of(path)
    assert photo_size(path) == (10_000, 7_000)  # read from the header, whatever the limit
    assert time.perf_counter() - begun < 0.5
    assert "limit is 0" in sentence_of(drawn(), max_pixels=599) and open_photo(drawn(), max_pixels=600).size == 1800
    assert "the array given" in sentence_of(np.zeros((20, 30, 3), np.uint8), max_pixels=599)


def test_an_icon_is_no_photo(tmp_path):
    """It may hide a picture of any size."""
    inner = png(20_000, 10_000)
    header = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(inner), 22)
    (tmp_path / "x.ico").write_bytes(header + inner)
    assert "is not a picture in a known format" in sentence_of(tmp_path / "x.ico")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.uint16),
        np.zeros((4, 5, 3), bool),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((4, 5, 1), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_arrays_of_another_shape_or_type(array):
    text = sentence_of(array)
    assert str(array.dtype) in text and str(array.shape) in text and "(H, W, 3)" in text


def test_arrays_without_pixels():
    for shape in ((0, 5, 3), (5, 0, 3), (0, 0)):
        assert "no pixels" in sentence_of(np.zeros(shape, np.uint8))


# What gives the right pixels


def test_a_plain_photo_is_given_as_it_is(tmp_path):
    drawn().save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), drawn(), np.asarray(drawn())):
        photo = open_photo(source)
        np.testing.assert_array_equal(photo, np.asarray(drawn()))
        assert photo.dtype == np.uint8 and photo.flags.writeable and photo.flags.c_contiguous
    assert photo_size(tmp_path / "a.png") == (30, 20)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), [[[1, 2, 3]]])
    assert photo_size(tmp_path / "a.png") == (1, 1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_every_exif_orientation(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    drawn().save(tmp_path / "a", format, exif=exif)
    photo = open_photo(tmp_path / "a")
    width, height = (20, 30) if orientation >= 5 else (30, 20)
    assert photo.shape == (height, width, 3) and photo_size(tmp_path / "a") == (width, height)
    red = [corner for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if photo[corner][0] > 128]
    assert red == [CORNERS[orientation]]


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    drawn().save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), np.asarray(drawn()))
    assert photo_size(tmp_path / "a.png") == (30, 20)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_refuse_the_photo(tmp_path):
    drawn().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40)
    assert open_photo(tmp_path / "a.jpg").shape == (20, 30, 3) and photo_size(tmp_path / "a.jpg") == (30, 20)


def test_an_orientation_behind_the_pixels_of_a_png_is_passed_over_by_both(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    drawn().save(tmp_path / "a.png")
    before, end = (tmp_path / "a.png").read_bytes()[:-12], chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(before + chunk(b"eXIf", exif.tobytes()[6:]) + end)
    with Image.open(tmp_path / "a.png") as image:
        assert image.getexif()[ORIENTATION] == 6  # PIL finds it, once it has decoded the picture
    assert open_photo(tmp_path / "a.png").shape == (20, 30, 3) and photo_size(tmp_path / "a.png") == (30, 20)


def test_the_size_of_a_png_is_read_without_its_pixels(tmp_path):
    (tmp_path / "a.png").write_bytes(png(640, 480)[:60])
    assert photo_size(tmp_path / "a.png") == (640, 480)
    assert "damaged or truncated" in sentence_of(tmp_path / "a.png")


def test_transparency_lies_over_white(tmp_path):
    glass = np.zeros((2, 3, 4), np.uint8)
    glass[..., 0] = 200
    glass[0, 0, 3], glass[1, 2, 3] = 255, 128
    expected = np.full((2, 3, 3), 255, np.uint8)
    expected[0, 0] = (200, 0, 0)
    expected[1, 2] = (227, 127, 127)
    Image.fromarray(glass).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", Image.fromarray(glass), glass):
        np.testing.assert_allclose(open_photo(source), expected, atol=1)


def test_grey_with_transparency(tmp_path):
    grey = np.array([[[10, 255], [10, 0]]], np.uint8)
    Image.fromarray(grey, "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_photo(tmp_path / "a.png"), [[[10] * 3, [255] * 3]])


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "solid.png")
    np.testing.assert_array_equal(open_photo(tmp_path / "solid.png"), [[[255, 0, 0], [0, 0, 255]]])
    palette.save(tmp_path / "one.png", transparency=1)
    palette.save(tmp_path / "one.gif", transparency=1)
    palette.save(tmp_path / "shares.png", transparency=bytes([255, 0]))
    for name in ("one.png", "one.gif", "shares.png"):
        np.testing.assert_array_equal(open_photo(tmp_path / name), [[[255, 0, 0], [255, 255, 255]]])


def test_one_colour_of_an_rgb_picture_is_transparent(tmp_path):
    drawn().save(tmp_path / "a.png", transparency=(0, 0, 0))
    photo = open_photo(tmp_path / "a.png")
    assert (photo[0, 0] == (255, 0, 0)).all() and (photo[-1, -1] == 255).all()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_spaces(mode):
    photo = open_photo(drawn(mode))
    np.testing.assert_allclose(photo[0, 0].astype(int), (255, 0, 0), atol=3)
    np.testing.assert_allclose(photo[-1, -1].astype(int), (0, 0, 0), atol=3)


def test_a_cmyk_jpeg(tmp_path):
    drawn("CMYK").save(tmp_path / "a.jpg", quality=95)
    photo = open_photo(tmp_path / "a.jpg")
    np.testing.assert_allclose(photo[2, 2].astype(int), (255, 0, 0), atol=12)
    np.testing.assert_allclose(photo[-3, -3].astype(int), (0, 0, 0), atol=12)


def test_grey_and_black_and_white():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50
    for source in (grey, Image.fromarray(grey)):
        np.testing.assert_array_equal(open_photo(source), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(open_photo(Image.new("1", (1, 1), 1)), [[[255, 255, 255]]])


def test_arrays_in_any_order_of_memory():
    photo = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for array in (photo[::-1, ::-1], photo.transpose(1, 0, 2), photo[:, ::2], np.asfortranarray(photo)):
        np.testing.assert_array_equal(open_photo(array), array)
    photo.flags.writeable = False
    opened = open_photo(photo)
    opened[:] = 0  # a copy that may be drawn on
    assert photo.any()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path, suffix):
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / f"a.{suffix}")
    assert open_photo(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[-5, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[np.nan, 0, 1]], np.float32), [0, 0, 255]),
        (np.array([[0, 0, 0]], np.float32), [0, 0, 0]),
    ],
)
def test_wide_grey_is_scaled_by_what_it_holds(values, expected):
    assert open_photo(Image.fromarray(values))[0, :, 2].tolist() == expected


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    for name, options in (("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {}), ("a.tif", {})):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 3
            image.seek(2)
            for source in (tmp_path / name, image):
                np.testing.assert_array_equal(open_photo(source), np.asarray(frames[0]))


def test_a_jpeg_that_is_wrongly_named(tmp_path):
    drawn().save(tmp_path / "a.png", "JPEG")
    assert open_photo(tmp_path / "a.png").shape == (20, 30, 3)


# Squeezing


def test_squeeze_keeps_relative_places():
    photo = np.zeros((100, 400, 3), np.uint8)
    photo[50:, :200] = 255
    small = squeeze(photo, 40)
    assert small.shape == (40, 40, 3) and small.dtype == np.uint8
    assert (small[20:, :20] == 255).all() and not small[:20].any() and not small[:, 20:].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (40_000, 2), (500, 30), (64, 64)])
def test_squeeze_of_any_shape(shape):
    photo = np.full((*shape, 3), 77, np.uint8)
    assert (squeeze(photo, 64) == 77).all() and squeeze(photo, 64).shape == (64, 64, 3)
