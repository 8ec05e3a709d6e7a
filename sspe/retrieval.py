"""What a Retriever returns: photos ranked for a sentence, or sentences ranked for a photo."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RankedPhoto:
    """One photo of a ranking.

    Attributes:
        photo: its file as it was given; None for a picture given as pixels.
        index: its place among the photos that were searched, from 0.
        score: the higher the better, see :meth:`sspe.retriever.Retriever.scores`.
    """

    photo: str | None
    index: int
    score: float


@dataclass(frozen=True)
class RankedPhotos:
    """The photos that fit a sentence best, best first."""

    sentence: str
    photos: tuple[RankedPhoto, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON; scores to 0.0001."""
        photos = [{"photo": p.photo, "index": p.index, "score": round(p.score, 4)} for p in self.photos]
        return {"sentence": self.sentence, "photos": photos}


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
