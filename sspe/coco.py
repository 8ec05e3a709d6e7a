"""COCO annotation files: boxes with names and scores, as the format's readers expect them.

The format is the object detection part of https://cocodataset.org/#format-data. What its readers stumble over when it
is missing is always here: ``info``, ``licenses``, a ``supercategory`` per category and a ``segmentation`` per
annotation, empty, since nothing here has outlines. docs/formats.md says which readers were tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sspe


class CocoFile:
    """A COCO annotation dictionary in the making; ids count from 1, in the order of adding.

    It holds nothing of the time or the machine, so that the same results always give the same file.
    """

    def __init__(self, description: str) -> None:
        self._info = {"description": description, "version": sspe.__version__, "contributor": "sspe", "url": ""}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories: dict[str, dict[str, Any]] = {}

    def add_photo(self, file_name: str, width: int, height: int, **about: Any) -> int:
        """A photo of so many pixels; returns its id."""
        self._images.append(
            {"id": len(self._images) + 1, "file_name": file_name, "width": width, "height": height, **about}
        )
        return len(self._images)

    def add_box(
        self,
        photo: int,
        phrase: str,
        head: str,
        box: Sequence[float],
        probability: float | None,
        similarity: float,
        /,
        **about: Any,
    ) -> None:
        """A box of a phrase.

        Args:
            photo: id that :meth:`add_photo` returned.
            phrase: names the category, in small letters: "A dog" at the beginning of a sentence is "a dog" elsewhere.
            head: its head noun, the category's ``supercategory``, in small letters; "" where that is not known.
            box: x1, y1, x2, y2 in pixels of the upright photo.
            probability: 0 to 1, ``score`` of the annotation, which readers take for one; None leaves that out.
            similarity: how well box and phrase fit, see :mod:`sspe.results`; not a probability.
            about: further fields of the annotation.
        """
        name = " ".join(phrase.lower().split())
        category = self._categories.setdefault(
            name, {"id": len(self._categories) + 1, "name": name, "supercategory": head.lower()}
        )
        x1, y1, x2, y2 = (round(float(edge), 2) for edge in box)
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        self._annotations.append(
            {
                "id": len(self._annotations) + 1,
                "image_id": photo,
                "category_id": category["id"],
                "bbox": [x1, y1, width, height],
                "area": round(width * height, 2),
                "segmentation": [],
                "iscrowd": 0,
                **({} if probability is None else {"score": round(float(probability), 4)}),
                "similarity": round(float(similarity), 4),
                **about,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole, ready for JSON."""
        return {
            "info": self._info,
            "licenses": [],
            "images": self._images,
            "annotations": self._annotations,
            "categories": list(self._categories.values()),
        }
