"""Answers drawn beside what is right, for a person to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.answers import PhraseResult
from sspe.files import make_folder, written
from sspe.vision.photo import open_photo

RIGHT, ANSWER = "#00C853", "#FF1744"


def worst(results: Sequence[PhraseResult], count: int) -> list[PhraseResult]:
    """The answers farthest from right, the surest first among equals; one per photo, lest one fill the list."""
    sure = [r.scores[0] if r.judged.confidence is None else r.judged.confidence for r in results]
    order = sorted(range(len(results)), key=lambda i: (round(float(results[i].ious[results[i].kept[0]]), 1), -sure[i]))
    return _one_per_photo([results[i] for i in order], count)


def typical(results: Sequence[PhraseResult], count: int, seed: int = 0) -> list[PhraseResult]:
    """Results drawn at random, one per photo."""
    return _one_per_photo([results[i] for i in np.random.default_rng(seed).permutation(len(results))], count)


def draw_results(results: Sequence[PhraseResult], photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write one PNG per result into ``folder``, named by its number, photo and phrase: right box green, answer red.

    Photos are those of a data set with terms of its own; the pictures are to be looked at, not passed on.
    """
    make_folder(folder)
    of_id: dict[str, AnnotatedPhoto] = {photo.id: photo for photo in photos}
    for number, result in enumerate(results, 1):
        photo = of_id[result.photo]
        sentence = next(s for s in photo.sentences if s.index == result.sentence)
        photo_name, words = (re.sub(r"\W+", "-", name).strip("-")[-40:] for name in (result.photo, result.text))
        with written(folder / f"{number:02}_{photo_name}_{words}.png") as temporary:
            _drawn(open_photo(photo.path), result, sentence.text).save(temporary, format="PNG")


def _drawn(pixels: np.ndarray, result: PhraseResult, sentence: str) -> Image.Image:
    font = ImageFont.load_default(13)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for box, color in ((result.right, RIGHT), (result.answer, ANSWER)):
        draw.rectangle([float(v) for v in box], outline=color, width=3)
    judged = result.judged
    sure = "" if judged.present is None else f", confidence {judged.confidence:.2f}, present {judged.present:.2f}"
    lines = [
        f"“{result.text}” ({', '.join(result.types)})",
        f"IoU {result.ious[result.kept[0]]:.2f}, score {result.scores[0]:.2f}{sure}",
        *_wrapped(sentence, lambda text: draw.textlength(text, font=font), max(image.width, 380) - 8),
    ]
    page = Image.new("RGB", (max(image.width, 380), image.height + 18 * len(lines) + 6), "white")
    page.paste(image)
    ImageDraw.Draw(page).text((4, image.height + 3), "\n".join(lines), fill="black", font=font, spacing=4)
    return page


def _wrapped(text: str, length: Callable[[str], float], width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _one_per_photo(results: Sequence[PhraseResult], count: int) -> list[PhraseResult]:
    first: dict[str, PhraseResult] = {}
    for result in results:
        first.setdefault(result.photo, result)
    return list(first.values())[:count]
