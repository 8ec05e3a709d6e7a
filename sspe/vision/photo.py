"""Open a photo: any common format in, upright sRGB pixels out, or one sentence that says why not."""

import io
import os
import warnings
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from sspe.errors import MissingPackageError, PhotoError
from sspe.extras import import_extra, install_command
from sspe.vision.colour import to_srgb

PhotoSource = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray

MAX_PIXELS = 64_000_000  # a 64-megapixel photo takes 0.2 GB decoded; larger ones are refused before decoding
# What is taken for a photo in a folder; those of the last row need the extra "heic".
PHOTO_SUFFIXES = frozenset(
    """
    .jpg .jpeg .jfif .png .webp .avif .gif .bmp .tif .tiff .jp2
    .heic .heif
""".split()
)
# No others: to read an EPS, PIL runs a program on whatever the file says, and a page reads files of strangers.
FORMATS = frozenset("AVIF BMP DIB GIF HEIF JPEG JPEG2000 MPO PNG PPM TIFF WEBP".split())
MAX_SCANS = 200  # of a JPEG; a progressive one has about ten, and each goes over all pixels
# The brand that stands at 8 to 12 of a file in the container of ISO/IEC 23008-12, for photos that PIL does not open.
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_ORIENTATION = 0x0112  # the EXIF tag
_TAKEN = (0x9003, 0x0132)  # EXIF tags of the date: when the photo was taken, in the block below; when it was changed
_EXIF_BLOCK = 0x8769
_TURNS = {  # what each of its values asks for; 5 to 8 turn the photo by a quarter
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_SIZE = (0x0100, 0x0101)  # the tags of width and height
_WIDE_MODES = {"I", "F", "I;16", "I;16B", "I;16L"}


def open_photo(source: PhotoSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the photo as (H, W, 3) uint8 sRGB, turned upright by its EXIF orientation.

    Args:
        source: a file by its name, a file's bytes, a file opened for reading in binary, a PIL image, or an array:
            (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
        max_pixels: larger photos are refused from their header, before any pixel is decoded.

    Colours with an ICC profile are converted to sRGB. Transparency is laid over white; palette, CMYK, grey and 16-bit
    pictures are converted; the first frame of an animation is taken. An orientation that stands behind a PNG's pixels,
    or in a damaged EXIF block, is ignored.

    Raises:
        PhotoError: the file is missing, not a picture, truncated or too large, or of a format that needs a package not
            installed; the array has another shape or type; no photo was given, but None or something else.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        return _from_image(source, "the picture given", max_pixels)
    if source is None or source == "":
        raise PhotoError(
            f"No photo was given, but {source!r}; give a picture file, its bytes, a PIL image or an array."
        )
    if isinstance(source, str | os.PathLike):
        with _opened(Path(source), str(source)) as image:
            return _from_image(image, str(source), max_pixels)
    name = _name_of_stream(source)
    with _opened(io.BytesIO(_content(source, name)), name) as image:
        return _from_image(image, name, max_pixels)


def is_photo(value: object) -> bool:
    """Whether a value is a single photo, as :func:`open_photo` takes it, and not a list of such."""
    single = str | os.PathLike | bytes | bytearray | memoryview | Image.Image | np.ndarray
    return isinstance(value, single) or callable(getattr(value, "read", None))


def photo_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels that :func:`open_photo` would give, read from the header alone. Raises PhotoError."""
    with _opened(Path(path), str(path)) as image:
        width, height = image.size
        if image.format == "TIFF":  # newer PIL gives a TIFF's size already turned, older does not; the tags never are
            width, height = (image.tag_v2[tag] for tag in _TIFF_SIZE)
        turned = _orientation(image) >= 5
    return (height, width) if turned else (width, height)


def photo_date(path: str | Path) -> str | None:
    """When a photo was taken, by its EXIF data: "2016-05-01T12:30:00"; None where that is silent. Raises PhotoError."""
    with _opened(Path(path), str(path)) as image:
        try:
            exif = Image.Image.getexif(image)  # as in _orientation, from what stands before the pixels
            found = exif.get_ifd(_EXIF_BLOCK).get(_TAKEN[0]) or exif.get(_TAKEN[1])
            return datetime.strptime(str(found).strip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()
        except Exception:  # nothing there, or damaged
            return None


def photo_orientation(path: str | Path) -> int:
    """The EXIF orientation of a photo file, 1 (upright) to 8. Raises PhotoError."""
    with _opened(Path(path), str(path)) as image:
        return _orientation(image)


def squeeze(photo: np.ndarray, side: int) -> np.ndarray:
    """Photo (H, W, 3) uint8 -> (side, side, 3) uint8. Width and height shrink apart: a box keeps its relative place."""
    shrinks = photo.shape[0] > side and photo.shape[1] > side
    return cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _name_of_stream(source: object) -> str:
    """What to call bytes or an open file in a message."""
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the picture given"


def _content(source: object, name: str) -> bytes:
    """The bytes of a file that is given as such, or open. Raises PhotoError."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not callable(getattr(source, "read", None)):
        raise PhotoError(
            "A photo is a picture file, its bytes, a PIL image or an array, and this one is a "
            f"{type(source).__name__}; convert it first."
        )
    try:
        if source.seekable():  # so that a file that was read before is read whole
            source.seek(0)
        content = source.read()
    except Exception as error:  # whatever the object is, it may raise anything
        raise PhotoError(f"{name} could not be read ({_in_a_line(error)}); open the file again.") from None
    if not isinstance(content, bytes):
        raise PhotoError(f'{name} is open as text; open it in binary, as with open(..., "rb").')
    return content


def _opened(file: Path | io.BytesIO, name: str) -> Image.Image:
    """The picture, not yet decoded; ``name`` for messages. Raises PhotoError."""
    if isinstance(file, Path) and os.path.isdir(file):  # Path.is_dir raises for a name longer than file names may be
        raise PhotoError(f"{name} is a folder, not a photo; give one picture file.")
    if isinstance(file, Path) and os.path.exists(file) and not os.path.isfile(file):  # a pipe waits for its writer
        raise PhotoError(f"{name} is a pipe or a device, not a photo; give a picture file, or its bytes.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is stricter and comes next
            try:
                image = _identified(file)
            except UnidentifiedImageError:
                _prepare_for(file, name)
                image = _identified(file)
    except PhotoError:
        raise
    except FileNotFoundError:
        if "://" in name:
            raise PhotoError(
                f"{name} is an address, and nothing is downloaded; save the photo, give its file."
            ) from None
        raise PhotoError(f"There is no file {name}; check the path.") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{name} has too many pixels to be opened safely; shrink it below 64 megapixels.") from None
    except UnidentifiedImageError:
        raise PhotoError(
            f"{name} is not a picture in a known format; give a JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or HEIC file."
        ) from None
    except Exception as error:  # PIL's readers raise nearly anything where a header is damaged
        raise PhotoError(f"{name} could not be read ({_in_a_line(error)}); check the file.") from None
    if image.format in ("JPEG", "MPO"):
        scans = (file.read_bytes() if isinstance(file, Path) else file.getvalue()).count(b"\xff\xda")
        if scans > MAX_SCANS:
            image.close()
            raise PhotoError(f"{name} goes over its pixels {scans} times, which no photo does; save it anew.")
    return image


def _identified(file: Path | io.BytesIO) -> Image.Image:
    """The picture in one of FORMATS; those that PIL loads late are tried second."""
    Image.preinit()
    for _ in range(2):
        try:
            return Image.open(file, formats=[kind for kind in Image.ID if kind in FORMATS])
        except UnidentifiedImageError:
            Image.init()
    raise UnidentifiedImageError


def _in_a_line(error: Exception) -> str:
    """What a library says of a picture, which may be several lines."""
    return " ".join(str(error).split())


def _prepare_for(file: Path | io.BytesIO, name: str) -> None:
    """Teach PIL a format that it did not know by itself. Raises PhotoError where what that takes is not installed."""
    if isinstance(file, Path):
        with open(file, "rb") as stream:
            start = stream.read(12)
    else:
        start = file.getvalue()[:12]
    if start[4:8] != b"ftyp":
        return
    if start[8:12] in _HEIC_BRANDS:
        try:
            import_extra("pillow_heif", "heic", name).register_heif_opener()
        except MissingPackageError:
            raise PhotoError(
                f"{name} is a HEIC photo, as iPhones take them; run `{install_command('heic')}` to open such, or save "
                "it as JPEG."
            ) from None
    elif start[8:12] in _AVIF_BRANDS and ".avif" not in Image.registered_extensions():
        raise PhotoError(f"{name} is an AVIF photo; update Pillow to 11.3 or newer to open such, or save it as JPEG.")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from what stands before the pixels; 1 where there is none or it is damaged."""
    try:
        # Not image.getexif(): for a PNG that decodes the whole picture, to look for EXIF data behind the pixels.
        found = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # PIL's readers raise nearly anything where a block is damaged; the pixels may well be whole
        return 1
    return found if found in _TURNS else 1


def _from_image(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"{name} has {width * height / 1e6:.0f} megapixels ({width} x {height}) and the limit is "
            f"{max_pixels / 1e6:.0f}; shrink it first."
        )
    if width * height == 0:
        raise PhotoError(f"{name} has no pixels ({width} x {height}); give another picture.")
    try:
        image.seek(0)
        profile = image.info.get("icc_profile")
        _orientation(image)  # asked before the pixels are read, so that the answer is the one photo_size gives
        image.load()  # a TIFF is turned here, and its tag removed
        if (turn := _TURNS.get(_orientation(image))) is not None:
            image = image.transpose(turn)
        if image.mode in _WIDE_MODES:
            image = _to_eight_bits(image)
        image = to_srgb(image, profile)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        # A copy: PIL may hand out a read-only view of its own buffer.
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # PIL's decoders raise nearly anything where a picture is damaged
        raise PhotoError(
            f"{name} is a damaged or truncated picture ({_in_a_line(error)}); save or download it again."
        ) from None


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16- and 32-bit grey carried to 0..255; PIL's own conversion would cut everything above 255 to white.

    White is the first of 255, 65535 and the brightest pixel that no pixel exceeds; of fractions, 1 is tried before.
    """
    grey = np.nan_to_num(np.asarray(image, np.float64))
    brightest = grey.max(initial=0)
    scales = [1.0] * (image.mode == "F") + [255.0, 65535.0, brightest]
    top = next(scale for scale in scales if brightest <= scale)
    return Image.fromarray(np.clip(grey * (255.0 / top), 0, 255).round().astype(np.uint8))


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PhotoError(
            f"A photo array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), and this one is {array.dtype} of "
            f"shape {array.shape}; convert it first."
        )
    return _from_image(Image.fromarray(array), "the array given", max_pixels)
