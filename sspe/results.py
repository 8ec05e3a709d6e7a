"""What users get: phrases with their boxes from a Localizer, ranked photos and sentences from a Retriever.

A box is x1, y1, x2, y2 in pixels of the original photo, upright: continuous and half-open, see `sspe.vision.boxes`.

The score of a box says how well phrase and region fit, the higher the better: with the two-branch network (the shipped
checkpoint) and CCA it is the cosine of their embeddings, -1 to 1, to which a model with a detector adds what that sees
of a thing named; with a similarity network that network's answer, 0 to 1, trained as the probability that the two
match. It compares regions of one photo. How likely an answer is right, and whether the photo shows the phrase at all,
say ``confidence`` and ``present``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sspe.coco import CocoFile
from sspe.drawing import UNKNOWN_WORD, DrawnPhrase, draw_phrases, format_probability
from sspe.vision.boxes import Box

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from sspe.errors import PhotoError

PRESENT_THRESHOLD = 0.3  # a phrase less likely than this to be in the photo at all is shown in grey


@dataclass(frozen=True)
class Candidate:
    """One box that a phrase may mean, and its score: a cosine, -1 to 1, or 0 to 1 with a similarity network."""

    box: Box
    score: float


@dataclass(frozen=True)
class LocalizedPhrase:
    """A phrase and where it is: ``sentence[start:end] == text``; ``head`` is its head noun, verbatim.

    ``negated``: the sentence denies it. Of "no hat" the text is "hat", and box, ``confidence`` and ``present`` are
    those of a hat: the sentence is right where ``present`` is low.

    ``box`` and ``score`` are those of ``candidates[0]``; the others follow, best score first.

    ``boxes`` are those of the single things, best first, where the phrase speaks of several ("two dogs", "people"):
    as many as it says, or as are found; ``box`` frames them all. Of one thing they are ``(box,)``.

    ``chosen_by``: the words that told the thing from others of its kind, such as "on the left" or "biggest"; None
    where no such words stand there.

    ``present`` is the probability that the photo shows the phrase at all, and ``confidence`` the probability that
    ``box`` is right if it does (intersection over union with what a person would draw of at least 0.5). Both are None
    where the checkpoint was not calibrated, and where ``known`` is False.

    ``known``: the model knows the word that names the thing, the last of ``head``. Of one that it has never read, such
    as "a zorblax", it can tell nothing, and its box is a guess.
    """

    text: str
    start: int
    end: int
    head: str
    box: Box
    score: float
    candidates: tuple[Candidate, ...]
    confidence: float | None = None
    present: float | None = None
    negated: bool = False
    known: bool = True
    boxes: tuple[Box, ...] = ()
    chosen_by: str | None = None

    def __post_init__(self) -> None:
        if not self.boxes:
            object.__setattr__(self, "boxes", (self.box,))

    @property
    def label(self) -> str:
        """The text as it is shown beside a box: "not: hat" where the sentence denies the hat."""
        return f"not: {self.text}" if self.negated else self.text

    @property
    def probability(self) -> float | None:
        """That the photo shows the phrase and ``box`` is right, 0 to 1; None where ``present`` is."""
        if self.present is None or self.confidence is None:
            return None
        return self.present * self.confidence

    @property
    def doubtful(self) -> bool:
        """Not to be relied on: probably not in the photo, or not known.

        That is, ``present`` is below :data:`PRESENT_THRESHOLD` or ``known`` is False.
        """
        return self.is_doubtful(PRESENT_THRESHOLD)

    def is_doubtful(self, threshold: float) -> bool:
        """:attr:`doubtful` with a threshold of your own, 0 to 1; what is not known is doubtful at every one."""
        return not self.known or (self.present is not None and self.present < threshold)


@dataclass(frozen=True)
class Localization:
    """The phrases of one sentence in one photo, in the order of the sentence; none where it has no noun phrase.

    Attributes:
        sentence: verbatim as given.
        width, height: of the photo in pixels, upright.
        phrases: may be empty.
        photo: (height, width, 3) uint8 RGB; left out when two localizations are compared or printed.
    """

    sentence: str
    width: int
    height: int
    phrases: tuple[LocalizedPhrase, ...]
    photo: np.ndarray = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON. Boxes to 0.01 pixel, the rest to 0.0001.

        ``score`` is a cosine, -1 to 1, or 0 to 1 with a similarity network; ``confidence`` the probability, 0 to 1,
        that the box is right if the photo shows the phrase; ``present`` that it does. The last two are None (null in
        JSON) without calibration and where ``known`` is false: the model does not know the word. ``negated`` is true
        where the sentence denies the phrase ("no hat"). ``boxes`` are those of the single things where it speaks of
        several, else ``box`` alone; ``chosen_by`` the words that chose one of several, or None.
        """
        return {
            "width": self.width,
            "height": self.height,
            "sentence": self.sentence,
            "phrases": [
                {
                    "text": phrase.text,
                    "start": phrase.start,
                    "end": phrase.end,
                    "head": phrase.head,
                    "negated": phrase.negated,
                    "known": phrase.known,
                    "box": _plain_box(phrase.box),
                    "boxes": [_plain_box(box) for box in phrase.boxes],
                    "chosen_by": phrase.chosen_by,
                    "score": _plain_score(phrase.score),
                    "confidence": _plain_probability(phrase.confidence),
                    "present": _plain_probability(phrase.present),
                    "candidates": [
                        {"box": _plain_box(c.box), "score": _plain_score(c.score)} for c in phrase.candidates
                    ],
                }
                for phrase in self.phrases
            ],
        }

    def without_doubtful(self, threshold: float = PRESENT_THRESHOLD) -> Localization:
        """The same without doubtful phrases; see :meth:`LocalizedPhrase.is_doubtful` for the threshold, 0 to 1.

        What is left goes on to :meth:`to_dict`, :meth:`to_coco` and :meth:`draw`; it may be nothing. Without
        calibration everything stays but phrases whose word is not known.
        """
        return replace(self, phrases=tuple(phrase for phrase in self.phrases if not phrase.is_doubtful(threshold)))

    def to_coco(self, file_name: str = "") -> dict[str, Any]:
        """This localization alone as a COCO annotation dictionary; see :func:`to_coco`."""
        return to_coco([self], [file_name])

    def draw(self, threshold: float = PRESENT_THRESHOLD) -> Image.Image:
        """The photo with its boxes and labels as a new PIL image of the same size, RGB.

        Lines and letters grow with the photo. Colours and numbers are those of the page. Labels keep off each other
        where the photo has room for that. A label ends in the probability that the photo shows the phrase, or in the
        score without calibration; that of a phrase which the sentence denies begins with "not: ". A doubtful phrase,
        one whose ``present`` is below ``threshold``, is grey and dashed, and its number has a question mark; so is one
        whose word the model does not know, and its label says that.
        """
        drawn = []
        for phrase in self.phrases:
            if not phrase.known:
                figure = UNKNOWN_WORD
            elif phrase.present is None:
                figure = f"{phrase.score:.2f}"
            else:
                figure = format_probability(phrase.present)
            drawn.append(DrawnPhrase(phrase.boxes, phrase.label, figure, phrase.is_doubtful(threshold)))
        return draw_phrases(self.photo, drawn)


def to_coco(localizations: Sequence[Localization], file_names: Sequence[str]) -> dict[str, Any]:
    """Several localizations as one COCO annotation dictionary; docs/formats.md says which programs read it.

    An annotation is one of a phrase's ``boxes``: of three dogs there are three, which share all figures and ``phrase``,
    the phrase's number in its sentence, from 0. A category is a phrase text in small letters, which phrases of the same
    text share; its ``supercategory`` is the head noun.

    ``bbox`` is x, y, width, height in pixels of the original photo. ``score`` is the probability, 0 to 1, that the
    photo shows the phrase and the box is right: ``present`` times ``confidence``. It is left out where they are not
    known. ``similarity`` is what a :class:`LocalizedPhrase` calls its score. ``start`` and ``end`` cut the phrase out
    of its image's ``sentence``. ``negated`` is true where the sentence denies the phrase, ``known`` false where the
    model does not know its word. ``present`` and ``box_confidence`` (a phrase's ``confidence``, a name that FiftyOne
    wants for itself) are there where they are known, and ``chosen_by`` where words chose.

    Every phrase has a box, shown or not; :meth:`Localization.without_doubtful` leaves the doubtful ones out.

    Args:
        localizations: one per photo (or one per photo and sentence).
        file_names: of the photos, in the same order.
    """
    if len(localizations) != len(file_names):
        raise ValueError(
            f"{len(localizations)} localizations need as many file names, and {len(file_names)} were given."
        )
    coco = CocoFile("Noun phrases of sentences, each with its boxes in a photo")
    for localization, file_name in zip(localizations, file_names, strict=True):
        photo = coco.add_photo(file_name, localization.width, localization.height, sentence=localization.sentence)
        for number, phrase in enumerate(localization.phrases):
            sure = {"present": phrase.present, "box_confidence": phrase.confidence}
            about = {
                **{name: _plain_probability(value) for name, value in sure.items() if value is not None},
                "phrase": number,
                "start": phrase.start,
                "end": phrase.end,
                "negated": phrase.negated,
                "known": phrase.known,
                **({} if phrase.chosen_by is None else {"chosen_by": phrase.chosen_by}),
            }
            for box in phrase.boxes:
                coco.add_box(photo, phrase.text, phrase.head, box, phrase.probability, phrase.score, **about)
    return coco.to_dict()


def _plain_box(box: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in box]


def _plain_score(score: float) -> float:
    return round(float(score), 4)


def _plain_probability(probability: float | None) -> float | None:
    return None if probability is None else round(float(probability), 4)


@dataclass(frozen=True)
class RankedPhoto:
    """One photo of a ranking.

    Attributes:
        photo: its file as it was given; None for a picture given otherwise.
        index: its place among the photos that were given, from 0.
        score: the higher the better, see :meth:`sspe.retriever.Retriever.scores`.
    """

    photo: str | None
    index: int
    score: float


@dataclass(frozen=True)
class RankedPhotos:
    """The photos that fit a sentence best, best first; ``errors`` of those that could not be opened, by index."""

    sentence: str
    photos: tuple[RankedPhoto, ...]
    errors: dict[int, PhotoError] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON; scores to 0.0001."""
        photos = [{"photo": p.photo, "index": p.index, "score": round(p.score, 4)} for p in self.photos]
        errors = [{"index": index, "error": str(error)} for index, error in self.errors.items()]
        return {"sentence": self.sentence, "photos": photos, "errors": errors}


@dataclass(frozen=True)
class RankedSentence:
    """One sentence of a ranking: verbatim, its place among those given, from 0, and its score as a photo's."""

    sentence: str
    index: int
    score: float


@dataclass(frozen=True)
class RankedSentences:
    """The sentences that fit a photo best, best first; ``photo`` as in :class:`RankedPhoto`."""

    photo: str | None
    sentences: tuple[RankedSentence, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON; scores to 0.0001."""
        sentences = [{"sentence": s.sentence, "index": s.index, "score": round(s.score, 4)} for s in self.sentences]
        return {"photo": self.photo, "sentences": sentences}
