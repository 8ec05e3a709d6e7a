"""Colours as a screen shows them: pixels with a colour profile of their own (ICC) become sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_SAME = 3  # of 255: profiles this near to sRGB are sRGB in another spelling, as nearly every camera has it
_OPAQUE = {"RGBA": "RGB", "LA": "L"}
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # mode of the pixels -> colour space of a profile that fits


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of any mode in sRGB, where its profile says that it is in another colour space.

    A profile that is damaged, or of another kind than the pixels, is ignored, as browsers do.
    """
    if not profile:
        return image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    elif image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    mode = _OPAQUE.get(image.mode, image.mode)
    transform = _transform(profile, mode) if mode in _SPACES else None
    if transform is None:
        return image
    if mode == image.mode:
        return ImageCms.applyTransform(image, transform)
    converted = ImageCms.applyTransform(image.convert(mode), transform)
    converted.putalpha(image.getchannel("A"))
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile's colours to sRGB; None where that changes nothing or the profile cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,  # no cache: threads share the transform
        )
        if mode == "CMYK":
            return transform
        steps = np.linspace(0, 255, 256 if mode == "L" else 7).astype(np.uint8)
        axes = np.meshgrid(*[steps] * len(mode), indexing="ij")
        colours = np.stack(axes, axis=-1).reshape(1, -1, len(mode))
        shown = np.asarray(
            ImageCms.applyTransform(Image.fromarray(colours.squeeze(2) if mode == "L" else colours), transform)
        )
    except Exception:  # a damaged profile; Pillow raises nearly anything
        return None
    return None if np.abs(shown.astype(int) - colours).max() <= _SAME else transform
