"""How synthetic scenes look: small things drawn from primitives over a textured ground and sky.

A glyph is a list of parts in unit coordinates (0..1 across and down its box). The role of a part says its colour:
"main" takes the thing's own colour and texture, "hole" cuts through, the others are fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 320, 240  # the frame scenes are drawn in, pixels
OVERSAMPLING = 3  # glyphs are drawn this many times larger, then shrunk, for smooth edges

COLOURS = {
    "red": (214, 36, 40),
    "blue": (32, 70, 205),
    "green": (24, 150, 52),
    "yellow": (248, 214, 26),
    "orange": (246, 130, 20),
    "purple": (132, 40, 160),
    "pink": (248, 130, 180),
    "white": (246, 246, 246),
    "black": (28, 28, 32),
}
TEXTURES = ("plain", "striped", "spotted")
GROUNDS = {"grass": (104, 142, 84), "snow": (222, 228, 236), "sand": (206, 182, 138), "road": (122, 122, 126)}
SKIES = {"blue": (156, 196, 236), "grey": (184, 188, 194), "pink": (236, 190, 188)}

_FIXED = {
    "dark": (30, 28, 30),
    "light": (226, 240, 248),
    "skin": (226, 172, 134),
    "hair": (74, 44, 24),
    "trousers": (52, 60, 86),
    "wood": (142, 92, 46),
}
_MAIN = "main"
_HOLE = "hole"


@dataclass(frozen=True)
class Glyph:
    """One kind of thing. aspect: width / height; parts: (shape, numbers, role), drawn in this order."""

    aspect: float
    parts: tuple[tuple[str, tuple[float, ...], str], ...]


def _star() -> tuple[float, ...]:
    """Ten corners of a five-pointed star, stretched to fill the unit square."""
    angles = [math.pi * (i / 5 - 0.5) for i in range(10)]
    corners = np.array([(r * math.cos(a), r * math.sin(a)) for i, a in enumerate(angles) for r in [1 - 0.56 * (i % 2)]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return tuple(float(v) for v in ((corners - low) / (high - low)).ravel())


GLYPHS = {
    "ball": Glyph(1.0, (("ellipse", (0, 0, 1, 1), _MAIN),)),
    "box": Glyph(1.1, (("rectangle", (0, 0, 1, 1), _MAIN),)),
    "triangle": Glyph(1.1, (("polygon", (0.5, 0, 1, 1, 0, 1), _MAIN),)),
    "star": Glyph(1.05, (("polygon", _star(), _MAIN),)),
    "ring": Glyph(1.0, (("ellipse", (0, 0, 1, 1), _MAIN), ("ellipse", (0.28, 0.28, 0.72, 0.72), _HOLE))),
    "dog": Glyph(
        1.35,
        (
            ("polygon", (0, 0.16, 0.07, 0.12, 0.26, 0.42, 0.16, 0.5), _MAIN),
            ("rectangle", (0.17, 0.6, 0.29, 1), _MAIN),
            ("rectangle", (0.58, 0.6, 0.7, 1), _MAIN),
            ("ellipse", (0.12, 0.34, 0.76, 0.78), _MAIN),
            ("ellipse", (0.6, 0, 0.93, 0.52), _MAIN),
            ("ellipse", (0.82, 0.26, 1, 0.47), _MAIN),
            ("polygon", (0.62, 0.1, 0.74, 0.06, 0.7, 0.4, 0.6, 0.42), "dark"),
            ("ellipse", (0.8, 0.16, 0.86, 0.25), "dark"),
            ("ellipse", (0.94, 0.28, 1, 0.37), "dark"),
        ),
    ),
    "bird": Glyph(
        1.25,
        (
            ("rectangle", (0.36, 0.78, 0.4, 1), "dark"),
            ("rectangle", (0.5, 0.78, 0.54, 1), "dark"),
            ("polygon", (0, 0.3, 0.3, 0.46, 0.2, 0.7, 0.02, 0.56), _MAIN),
            ("ellipse", (0.12, 0.3, 0.76, 0.86), _MAIN),
            ("ellipse", (0.56, 0, 0.9, 0.46), _MAIN),
            ("polygon", (0.87, 0.14, 1, 0.24, 0.87, 0.33), "wood"),
            ("polygon", (0.24, 0.44, 0.58, 0.46, 0.36, 0.72), "dark"),
            ("ellipse", (0.74, 0.1, 0.8, 0.19), "dark"),
        ),
    ),
    "fish": Glyph(
        1.6,
        (
            ("polygon", (0.64, 0.5, 1, 0.06, 0.94, 0.5, 1, 0.94), _MAIN),
            ("polygon", (0.28, 0.2, 0.5, 0, 0.6, 0.24), _MAIN),
            ("ellipse", (0, 0.1, 0.78, 1), _MAIN),
            ("ellipse", (0.1, 0.34, 0.19, 0.5), "light"),
            ("ellipse", (0.12, 0.38, 0.17, 0.47), "dark"),
        ),
    ),
    "car": Glyph(
        1.95,
        (
            ("polygon", (0.16, 0.46, 0.3, 0, 0.7, 0, 0.84, 0.46), _MAIN),
            ("polygon", (0.24, 0.42, 0.33, 0.09, 0.48, 0.09, 0.48, 0.42), "light"),
            ("polygon", (0.53, 0.42, 0.53, 0.09, 0.67, 0.09, 0.76, 0.42), "light"),
            ("rectangle", (0, 0.42, 1, 0.82), _MAIN),
            ("ellipse", (0.12, 0.6, 0.33, 1), "dark"),
            ("ellipse", (0.67, 0.6, 0.88, 1), "dark"),
            ("ellipse", (0.19, 0.73, 0.26, 0.87), "light"),
            ("ellipse", (0.74, 0.73, 0.81, 0.87), "light"),
        ),
    ),
    "bus": Glyph(
        1.8,
        (
            ("rectangle", (0, 0, 1, 0.86), _MAIN),
            *(("rectangle", (x, 0.12, x + 0.17, 0.42), "light") for x in (0.05, 0.29, 0.53, 0.77)),
            ("ellipse", (0.12, 0.68, 0.3, 1), "dark"),
            ("ellipse", (0.7, 0.68, 0.88, 1), "dark"),
        ),
    ),
    "boat": Glyph(
        1.15,
        (
            ("rectangle", (0.46, 0, 0.5, 0.7), "dark"),
            ("polygon", (0.52, 0.03, 0.94, 0.62, 0.52, 0.62), _MAIN),
            ("polygon", (0.44, 0.12, 0.44, 0.62, 0.12, 0.62), "light"),
            ("polygon", (0, 0.68, 1, 0.68, 0.82, 1, 0.18, 1), _MAIN),
        ),
    ),
    "drum": Glyph(
        1.1,
        (
            ("ellipse", (0, 0.66, 1, 1), _MAIN),
            ("rectangle", (0, 0.17, 1, 0.83), _MAIN),
            ("ellipse", (0, 0, 1, 0.34), "dark"),
            ("ellipse", (0.05, 0.03, 0.95, 0.31), "light"),
        ),
    ),
    "guitar": Glyph(
        0.5,
        (
            ("rectangle", (0.36, 0, 0.64, 0.12), "dark"),
            ("rectangle", (0.43, 0.08, 0.57, 0.5), "wood"),
            ("ellipse", (0.1, 0.4, 0.9, 0.74), _MAIN),
            ("ellipse", (0, 0.58, 1, 1), _MAIN),
            ("ellipse", (0.34, 0.56, 0.66, 0.72), "dark"),
        ),
    ),
    "man": Glyph(
        0.46,
        (
            ("rectangle", (0.24, 0.58, 0.48, 0.96), "trousers"),
            ("rectangle", (0.52, 0.58, 0.76, 0.96), "trousers"),
            ("rectangle", (0.18, 0.95, 0.48, 1), "dark"),
            ("rectangle", (0.52, 0.95, 0.82, 1), "dark"),
            ("rectangle", (0.03, 0.4, 0.16, 0.58), "skin"),
            ("rectangle", (0.84, 0.4, 0.97, 0.58), "skin"),
            ("rectangle", (0.42, 0.18, 0.58, 0.28), "skin"),
            ("polygon", (0.24, 0.25, 0.76, 0.25, 1, 0.42, 0.8, 0.46, 0.8, 0.62, 0.2, 0.62, 0.2, 0.46, 0, 0.42), _MAIN),
            ("ellipse", (0.24, 0, 0.76, 0.23), "hair"),
            ("ellipse", (0.27, 0.05, 0.73, 0.23), "skin"),
            ("ellipse", (0.38, 0.11, 0.44, 0.14), "dark"),
            ("ellipse", (0.56, 0.11, 0.62, 0.14), "dark"),
        ),
    ),
    "woman": Glyph(
        0.5,
        (
            ("ellipse", (0.16, 0, 0.84, 0.34), "hair"),
            ("rectangle", (0.36, 0.7, 0.46, 0.96), "skin"),
            ("rectangle", (0.54, 0.7, 0.64, 0.96), "skin"),
            ("rectangle", (0.3, 0.95, 0.46, 1), "dark"),
            ("rectangle", (0.54, 0.95, 0.7, 1), "dark"),
            ("polygon", (0.28, 0.28, 0.06, 0.52, 0.15, 0.55, 0.38, 0.36), "skin"),
            ("polygon", (0.72, 0.28, 0.94, 0.52, 0.85, 0.55, 0.62, 0.36), "skin"),
            ("polygon", (0.28, 0.27, 0.72, 0.27, 1, 0.76, 0, 0.76), _MAIN),
            ("ellipse", (0.27, 0.04, 0.73, 0.25), "skin"),
            ("ellipse", (0.38, 0.12, 0.44, 0.15), "dark"),
            ("ellipse", (0.56, 0.12, 0.62, 0.15), "dark"),
        ),
    ),
}


def draw_glyph(noun: str, colour: str, texture: str, width: int, height: int) -> np.ndarray:
    """A thing that fills its box of width x height pixels: (height, width, 4) uint8 RGBA, lit from the upper left."""
    w, h = width * OVERSAMPLING, height * OVERSAMPLING
    canvas = Image.new("RGBA", (w, h))
    surface = _surface(COLOURS[colour], texture, w, h)
    outline = tuple(round(0.45 * c) for c in COLOURS[colour])
    for shape, numbers, role in GLYPHS[noun].parts:
        corners = [n * (w - 1 if i % 2 == 0 else h - 1) for i, n in enumerate(numbers)]
        if role == _MAIN:
            mask = Image.new("L", (w, h))
            _draw(ImageDraw.Draw(mask), shape, corners, 255)
            canvas.paste(surface, mask=mask)
            _draw(ImageDraw.Draw(canvas), shape, corners, None, outline)
        else:
            _draw(ImageDraw.Draw(canvas), shape, corners, (0, 0, 0, 0) if role == _HOLE else (*_FIXED[role], 255))
    glyph = np.asarray(canvas.resize((width, height), Image.Resampling.BOX)).copy()  # (h, w, 4)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    light = 1.1 - 0.28 * (0.6 * down + 0.4 * across)
    glyph[..., :3] = np.clip(glyph[..., :3] * light[..., None], 0, 255)
    return glyph


def _draw(draw: ImageDraw.ImageDraw, shape: str, corners: list[float], fill, outline=None) -> None:
    width = OVERSAMPLING if outline else 0
    getattr(draw, shape)(corners, fill=fill, outline=outline, width=width)


def _surface(colour: tuple[int, int, int], texture: str, width: int, height: int) -> Image.Image:
    """The main colour as a picture; stripes and spots are dark on light colours and light on dark ones."""
    surface = Image.new("RGBA", (width, height), (*colour, 255))
    mark = (52, 46, 60, 255) if sum(colour) > 330 else (250, 246, 236, 255)
    step = max(width, height) / 5.5
    draw = ImageDraw.Draw(surface)
    if texture == "striped":
        for i in range(-6, 12):
            x, broad, lean = i * step, 0.4 * step, 0.6 * height
            draw.polygon([x, height, x + broad, height, x + broad + lean, 0, x + lean, 0], mark)
    elif texture == "spotted":
        for row in range(12):
            for column in range(12):
                x, y = (column + 0.5 * (row % 2)) * step, row * 0.8 * step
                draw.ellipse([x - 0.2 * step, y - 0.2 * step, x + 0.2 * step, y + 0.2 * step], mark)
    return surface


def draw_background(ground: str, sky: str, horizon: int, rng: np.random.Generator) -> np.ndarray:
    """Sky above row `horizon`, ground below, both uneven as in a photo: (HEIGHT, WIDTH, 3) float32, 0..255."""
    down = np.arange(HEIGHT, dtype=np.float32)[:, None, None]
    above, below = np.array(SKIES[sky], np.float32), np.array(GROUNDS[ground], np.float32)
    brighter = above + (250 - above) * 0.35 * np.clip(down / horizon, 0, 1)  # towards the horizon
    nearer = below * (0.9 + 0.14 * np.clip((down - horizon) / (HEIGHT - horizon), 0, 1))
    background = np.where(down < horizon, brighter, nearer) * np.ones((1, WIDTH, 1), np.float32)
    rough = np.where(down < horizon, 3.0, 7.0)  # clouds are softer than the ground
    return background + rough * (_patches(rng, 8) + 0.7 * _patches(rng, 40))


def _patches(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth random brightness, about -1..1, with so many patches across: (HEIGHT, WIDTH, 1) float32."""
    coarse = rng.normal(0, 0.6, (max(2, cells * HEIGHT // WIDTH), cells)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(smooth)[..., None]


def paste(background: np.ndarray, glyph: np.ndarray, x: int, y: int) -> None:
    """Lay a glyph (h, w, 4) over the background in place, upper left corner at pixel x, y, a soft shadow below."""
    h, w = glyph.shape[:2]
    top, bottom = y + h - max(3, h // 12), min(HEIGHT, y + h + max(2, h // 14))
    down, across = np.mgrid[-1 : 1 : (bottom - top) * 1j, -1 : 1 : w * 1j]
    shadow = 0.22 * np.clip(1 - down**2 - across**2, 0, 1)
    background[top:bottom, x : x + w] *= (1 - shadow[..., None]).astype(np.float32)
    opaque = glyph[..., 3:].astype(np.float32) / 255
    under = background[y : y + h, x : x + w]
    under[:] = under * (1 - opaque) + glyph[..., :3] * opaque


def develop(picture: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """What a camera does to a scene (H, W, 3): a little blur, exposure and noise."""
    exposed = picture * rng.uniform(0.92, 1.06)
    image = Image.fromarray(np.clip(exposed, 0, 255).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8))), np.float32)
    noise = rng.standard_normal((*blurred.shape[:2], 1), np.float32) * rng.uniform(2, 5)
    return Image.fromarray(np.clip(blurred + noise, 0, 255).astype(np.uint8))
