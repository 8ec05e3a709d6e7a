"""Pictures named by what a FakeCollection finds in them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

NAMES = (
    "dog 2019.png",
    "dog and ball 2021.png",
    "dog and leash and tree.png",
    "red ball 2020.png",
    "cat on sofa.png",
    "two cats and ball.png",
)


def make_album(folder: Path) -> Path:
    """Write the pictures, 160 x 120 and 120 x 160 in turn, each in a colour of its own."""
    folder.mkdir()
    for i, name in enumerate(NAMES):
        size = (160, 120) if i % 2 else (120, 160)
        image = Image.new("RGB", size, (40 * i, 120, 200 - 30 * i))
        ImageDraw.Draw(image).rectangle([0, 0, size[0] // 2, size[1] // 2], fill=(200, 40 * i, 90))
        image.save(folder / name)
    return folder
