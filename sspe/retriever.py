"""Retriever: photos and sentences in, ranked lists out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sspe.checkpoint import find_checkpoint, identity, load_checkpoint
from sspe.errors import CheckpointError, PhotoError, SspeError
from sspe.localizer import UNSAVED, Localizer
from sspe.models.calibration import bank_top
from sspe.models.retrieval import PHOTOS, RetrievalModel
from sspe.phrases.chunker import extract_phrases
from sspe.results import RankedPhoto, RankedPhotos, RankedSentence, RankedSentences
from sspe.text.context import Context
from sspe.vision.photo import PhotoSource, is_photo, open_photo

if TYPE_CHECKING:
    from sspe.vision.proposals import Proposals

REGIONS = 100  # the best proposals per photo; five times as many cost five times the memory
REGION_WEIGHT = 0.4  # of the scores of regions beside those of the whole photo; chosen on val
_PHRASES = 4096  # encoded at once


@dataclass(frozen=True)
class EmbeddedPhotos:
    """N photos after the costly half; every sentence is then compared with them in milliseconds.

    Attributes:
        files: the file of each photo as given; None for a picture given otherwise.
        places: of each among the photos that were given, from 0.
        errors: of the photos given that could not be opened, by their places; they are not among the N.
        embeddings: (N, E) float32 of unit length.
        hubness: (N,) float32, how near each is to sentences of other photos, see :class:`sspe.models.retrieval.Bank`.
        regions: N tensors (R, E') float16 of unit length, the localizer's; None with regions off.
    """

    files: tuple[str | None, ...]
    places: tuple[int, ...]
    errors: dict[int, PhotoError]
    embeddings: torch.Tensor
    hubness: torch.Tensor
    regions: tuple[torch.Tensor, ...] | None

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class EmbeddedSentences:
    """M sentences, ready to be compared with photos.

    Attributes:
        embeddings: (M, E) float32 of unit length.
        hubness: (M,) float32, how near each is to photos that it does not describe.
        phrases: (P, E') float32 of unit length, the noun phrases of all sentences; None with regions off.
        usual: (P,) float32, the cosine with each phrase that one in 200 regions of other photos reaches.
        owners: (P,) int64, the sentence of each phrase, rising.
    """

    sentences: tuple[str, ...]
    embeddings: torch.Tensor
    hubness: torch.Tensor
    phrases: torch.Tensor | None
    usual: torch.Tensor | None
    owners: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.sentences)


class Retriever:
    """Photos and sentences in one space, with one loaded checkpoint.

    The costly half, :meth:`embed_photos`, runs once per photo; :meth:`search_photos` and :meth:`describe` then take
    what it returned as well as photo files.
    """

    def __init__(
        self,
        model: RetrievalModel,
        device: str = "auto",
        precision: str = "auto",
        identity: str = UNSAVED,
        localizer: Localizer | None = None,
        region_weight: float = REGION_WEIGHT,
    ):
        """See :meth:`from_pretrained`; ``identity`` names the weights, for caches."""
        if localizer is not None and localizer.model.calibration is None:
            raise CheckpointError(
                "The checkpoint for localization has no bank of regions, by which a phrase's cosines are judged here; "
                "take one that `sspe train` finished, or leave regions out."
            )
        self.model = model.for_inference(device, precision)
        self.identity = identity
        self.localizer = localizer
        self.region_weight = region_weight

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        regions: bool | str | Path = False,
        region_weight: float = REGION_WEIGHT,
    ) -> Retriever:
        """Load a checkpoint.

        Args:
            name_or_path: a .safetensors file, the name of one in ``checkpoints/``, or a Hugging Face repository
                ("owner/name", downloaded once); None is the one named "sspe-retrieval".
            device: "auto" (the GPU where there is one), "cpu" or "cuda".
            precision: "auto" (bfloat16 where the hardware has it), "float32" or "bfloat16".
            regions: look for each noun phrase of a sentence among 100 regions of a photo as well, with the shipped
                checkpoint for localization (True) or another. It helps, and takes several times as long.
            region_weight: weight of the scores of regions beside the score of the whole photo and whole sentence.

        Raises:
            CheckpointError: there is none, it cannot be read, it is for the other task, or the one for localization
                is not calibrated.
        """
        path = find_checkpoint(name_or_path, RetrievalModel.task)
        model, _ = load_checkpoint(path, RetrievalModel.task)
        localizer = None
        if regions:
            localizer = Localizer.from_pretrained(None if regions is True else regions, device, precision)
        return cls(model, device, precision, identity(path), localizer, region_weight)

    def embed_photos(self, photos: Iterable[PhotoSource]) -> EmbeddedPhotos:
        """The costly half: open and embed photos, a few at a time.

        A photo that cannot be opened is left out and its error kept, see :class:`EmbeddedPhotos`; the others go on.

        Raises SspeError where a single photo is given instead of a list.
        """
        if is_photo(photos):
            raise SspeError("A list of photos is searched, and a single one was given; put it into a list.")
        files: list[str | None] = []
        places: list[int] = []
        errors: dict[int, PhotoError] = {}
        regions: list[torch.Tensor] = []

        def opened() -> Iterator[np.ndarray]:
            for place, (source, opening) in enumerate(self._opened(photos)):
                try:
                    pixels, proposals = opening.result()
                except PhotoError as error:
                    errors[place] = error
                    continue
                places.append(place)
                files.append(os.fspath(source) if isinstance(source, str | os.PathLike) else None)
                if proposals is not None:
                    found = self.localizer.model.embed_regions(pixels, proposals.boxes, proposals.detections)
                    regions.append(found.embeddings.half())
                yield pixels

        embeddings = self.model.embed_photos(opened())
        hubness = self.model.photo_hubness(embeddings)
        kept = tuple(regions) if self.localizer else None
        return EmbeddedPhotos(tuple(files), tuple(places), errors, embeddings, hubness, kept)

    def embed_sentences(self, sentences: Sequence[str]) -> EmbeddedSentences:
        """The cheap half. Raises SspeError where a sentence is empty, or a single one is given instead of a list."""
        _check_sentences(sentences)
        embeddings = self.model.embed_sentences(sentences)
        whole = (tuple(sentences), embeddings, self.model.sentence_hubness(embeddings))
        if self.localizer is None:
            return EmbeddedSentences(*whole, phrases=None, usual=None, owners=None)
        phrases, contexts, owners = [], [], []
        for i, sentence in enumerate(sentences):
            for phrase in extract_phrases(sentence, pronouns=False):
                phrases.append(phrase.text)
                contexts.append(Context.of(sentence, phrase.start, phrase.end))
                owners.append(i)
        model = self.localizer.model
        parts, usual = [], []
        for i in range(0, max(len(phrases), 1), _PHRASES):  # no phrase: one empty part, so that cat has its width
            parts.append(model.embed_phrases(phrases[i : i + _PHRASES], contexts[i : i + _PHRASES]))
            usual.append(bank_top(model.scores(parts[-1], model.calibration.bank).cpu().numpy()))
        return EmbeddedSentences(
            *whole,
            phrases=torch.cat(parts),
            usual=torch.from_numpy(np.concatenate(usual)),
            owners=torch.tensor(owners, dtype=torch.long),
        )

    def scores(self, photos: EmbeddedPhotos, sentences: EmbeddedSentences) -> np.ndarray:
        """Scores (N, M) float32 of every photo with every sentence, the higher the better.

        Those of :meth:`whole_scores`; with regions on, ``region_weight`` times :meth:`region_scores` more.
        """
        scores = self.whole_scores(photos, sentences)
        if photos.regions is not None and sentences.phrases is not None:
            scores += self.region_weight * self.region_scores(photos, sentences)
        return scores

    def cosines(self, photos: EmbeddedPhotos, sentences: EmbeddedSentences) -> np.ndarray:
        """Cosines (N, M) float32, -1 to 1, of every whole photo with every whole sentence: the paper's measure."""
        return self.model.cosines(photos.embeddings, sentences.embeddings).cpu().numpy()

    def whole_scores(self, photos: EmbeddedPhotos, sentences: EmbeddedSentences) -> np.ndarray:
        """The cosines less the mean of both sides' hubness, (N, M) float32: local scaling.

        Above 0 photo and sentence are nearer to each other than the two are, on average, to their nearest strangers.
        The cosines themselves where the checkpoint has no bank.
        """
        scores = self.cosines(photos, sentences)
        scores -= photos.hubness[:, None].cpu().numpy() / 2
        scores -= sentences.hubness.cpu().numpy() / 2
        return scores

    @torch.inference_mode()
    def region_scores(self, photos: EmbeddedPhotos, sentences: EmbeddedSentences) -> np.ndarray:
        """Scores (N, M) float32 of a photo's regions; about 0 where it shows a sentence's phrases as little as others.

        The sum over a sentence's noun phrases of how far the largest cosine of a region exceeds what is usual for the
        phrase, over the root of their number: a plain sum would favour long sentences and their mean short ones, whose
        few phrases often fit by chance. 0 for a sentence without a noun phrase.
        """
        y, owners = sentences.phrases, sentences.owners.to(sentences.phrases.device)  # (P, E'), (P,)
        usual = sentences.usual.to(y.device)
        roots = torch.bincount(owners, minlength=len(sentences)).clamp(min=1).sqrt()  # (M,)
        model = self.localizer.model
        scores = torch.zeros(len(photos), len(sentences), device=y.device)
        for row, regions in zip(scores, photos.regions, strict=True):
            if len(y):
                best = model.scores(y, regions.float()).max(dim=1).values  # (P,)
                row.index_add_(0, owners, best - usual)
        return (scores / roots).cpu().numpy()

    def search_photos(
        self, sentence: str, photos: EmbeddedPhotos | Iterable[PhotoSource], top_k: int = 10
    ) -> RankedPhotos:
        """The ``top_k`` photos that fit a sentence best.

        ``photos`` are files, PIL images or arrays, or what :meth:`embed_photos` made of them. Those that cannot be
        opened are in ``errors`` of what is returned. Raises PhotoError where that is all of them, and SspeError where
        the sentence is empty, there is no photo or ``top_k`` is below 1.
        """
        _check_top_k(top_k)
        query = self.embed_sentences([sentence])
        if not isinstance(photos, EmbeddedPhotos):
            photos = self.embed_photos(photos)
        if not len(photos):
            raise next(iter(photos.errors.values()), SspeError("There is no photo to search; give at least one."))
        scores = self.scores(photos, query)[:, 0]
        found = (RankedPhoto(photos.files[i], photos.places[i], float(scores[i])) for i in _best(scores, top_k))
        return RankedPhotos(sentence, tuple(found), photos.errors)

    def describe(
        self, photo: PhotoSource, sentences: EmbeddedSentences | Sequence[str], top_k: int = 10
    ) -> RankedSentences:
        """The ``top_k`` sentences, of those given, that fit a photo best.

        ``sentences`` are texts, or what :meth:`embed_sentences` made of them. Raises PhotoError, and SspeError where a
        sentence is empty, there is none or ``top_k`` is below 1.
        """
        _check_top_k(top_k)
        if not isinstance(sentences, EmbeddedSentences):
            sentences = self.embed_sentences(sentences)
        if not len(sentences):
            raise SspeError("There is no sentence to choose from; give at least one.")
        query = self.embed_photos([photo])
        for error in query.errors.values():
            raise error
        scores = self.scores(query, sentences)[0]
        found = (RankedSentence(sentences.sentences[i], int(i), float(scores[i])) for i in _best(scores, top_k))
        return RankedSentences(query.files[0], tuple(found))

    def _opened(self, photos: Iterable[PhotoSource]) -> Iterator[tuple[PhotoSource, Future]]:
        """Each photo and the work that opens it, see :meth:`_open`; the next ones are opened ahead."""
        waiting = iter(photos)
        with ThreadPoolExecutor(1) as pool:
            under_way = deque((photo, pool.submit(self._open, photo)) for photo in islice(waiting, PHOTOS))
            while under_way:
                yield under_way.popleft()
                under_way += ((photo, pool.submit(self._open, photo)) for photo in islice(waiting, 1))

    def _open(self, photo: PhotoSource) -> tuple[np.ndarray, Proposals | None]:
        """The pixels and, with regions on, the proposals."""
        pixels = open_photo(photo)
        return pixels, self.localizer.model.propose(pixels).first(REGIONS) if self.localizer else None


def _best(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Places of the highest scores, best first; of equal ones the first given."""
    return np.argsort(-scores, kind="stable")[:top_k]


def _check_sentences(sentences: Sequence[str]) -> None:
    if isinstance(sentences, str):
        raise SspeError("A list of sentences is taken, and a single one was given; put it into a list.")
    for i, sentence in enumerate(sentences):
        if not sentence.strip():
            raise SspeError(f"Sentence {i + 1} of {len(sentences)} is empty; leave it out or write it.")


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise SspeError(f"top_k is {top_k}, and a ranking has at least 1 place; give 1 or more.")
