"""Small pictures of every format that the library opens, to be damaged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, features


def _written(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@lru_cache(maxsize=1)
def pictures() -> dict[str, bytes]:
    """File name -> bytes: some two dozen, each with something of its own that may be damaged."""
    return dict(_pictures())


def _pictures() -> Iterator[tuple[str, bytes]]:
    pixels = np.kron(np.random.default_rng(0).integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    second = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[0x0112], exif[0x9003] = 6, "2016:05:01 12:30:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more = {"save_all": True, "append_images": [second]}
    yield "profile.jpg", _written(rgb, "JPEG", exif=exif, icc_profile=profile)
    yield "progressive.jpg", _written(rgb, "JPEG", progressive=True)
    yield "inks.jpg", _written(rgb.convert("CMYK"), "JPEG")
    yield "grey.jpg", _written(rgb.convert("L"), "JPEG")
    yield "several.jpg", _written(rgb, "MPO", **more)
    yield "profile.png", _written(rgb, "PNG", exif=exif, icc_profile=profile)
    yield "transparent.png", _written(rgb.convert("RGBA"), "PNG")
    yield "palette.png", _written(rgb.convert("P"), "PNG", transparency=3)
    yield "deep.png", _written(Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257), "PNG")
    yield "bits.png", _written(rgb.convert("1"), "PNG")
    yield "moving.png", _written(rgb, "PNG", **more)
    yield "moving.gif", _written(rgb.convert("P"), "GIF", **more)
    yield "lossy.webp", _written(rgb, "WEBP", exif=exif)
    yield "lossless.webp", _written(rgb.convert("RGBA"), "WEBP", lossless=True)
    yield "moving.webp", _written(rgb, "WEBP", **more)
    yield "plain.bmp", _written(rgb, "BMP")
    yield "palette.bmp", _written(rgb.convert("P"), "BMP")
    yield "plain.tif", _written(rgb, "TIFF")
    for packing in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        yield f"{packing}.tif", _written(rgb, "TIFF", compression=packing)
    yield "fax.tif", _written(rgb.convert("1"), "TIFF", compression="group4")
    yield "fractions.tif", _written(Image.fromarray(pixels[:, :, 0].astype(np.float32) / 255), "TIFF")
    if features.check("jpg_2000"):
        yield "plain.jp2", _written(rgb, "JPEG2000")
    if features.check("avif"):
        yield "plain.avif", _written(rgb, "AVIF")
    try:
        from pillow_heif import from_pillow
    except ImportError:
        return
    out = io.BytesIO()
    from_pillow(rgb).save(out)
    yield "plain.heic", out.getvalue()
