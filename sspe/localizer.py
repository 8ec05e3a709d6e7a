"""Localizer, what users import: a photo and a sentence in, the sentence's phrases with their boxes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sspe.checkpoint import find_checkpoint, identity, load_checkpoint
from sspe.errors import PhotoError, SspeError
from sspe.models.answering import answer
from sspe.phrases.asked import Asked, ask
from sspe.phrases.chunker import Phrase, check_length, extract_phrases
from sspe.phrases.queries import description_in
from sspe.phrases.sought import sought_in
from sspe.results import Candidate, Localization, LocalizedPhrase
from sspe.vision.photo import PhotoSource, is_photo, open_photo

if TYPE_CHECKING:
    from sspe.models.localization import LocalizationModel, Regions
    from sspe.vision.proposals import Proposals

UNSAVED = "unsaved"  # identity of weights that are no file's
AHEAD = 2  # photos opened and searched for proposals while the network works on the one before


@dataclass(frozen=True)
class PhotoView:
    """A photo after the costly half; every phrase and sentence is then compared with it in milliseconds.

    Attributes:
        photo: (H, W, 3) uint8 RGB, upright.
        regions: its proposals, the whole photo first, with their embeddings.
        localizer: the one that saw it. Another takes the view if its checkpoint, precision and device are the same.
    """

    photo: np.ndarray
    regions: Regions
    localizer: Localizer

    @property
    def nbytes(self) -> int:
        """Memory it holds, in bytes."""
        return self.photo.nbytes + self.regions.nbytes

    def find(self, phrase: str, top_k: int = 1) -> LocalizedPhrase:
        """Where one thing, read alone, lies in the photo. Raises SspeError when the phrase is empty.

        A plain phrase is taken whole, exactly as given: "the man on the left". Around it one may ask as people do:
        "find the dog" and "a photo of the dog" look for "the dog", "where is my bag?" for "my bag", and "no hat" for
        "hat", ``negated``. Of a question or a list that names several things the first is looked for; take
        :meth:`Localizer.ground` for all. See :func:`sspe.phrases.sought.sought_in`.

        Returns:
            The phrase that was looked for; ``start`` and ``end`` are its place in ``phrase``.
        """
        if not phrase.strip():
            raise SspeError("The phrase is empty; name something to look for, such as “an orange hat”.")
        check_length(phrase)
        sought = sought_in(phrase)
        alone = replace(sought, start=0, end=len(sought.text))
        found = self.localizer.ground(self, sought.text, [alone], top_k).phrases[0]
        return replace(found, start=sought.start, end=sought.end)


class Localizer:
    """Photo and sentence -> boxes, with one loaded checkpoint.

    The costly half, :meth:`see`, runs once per photo; the cheap half, :meth:`ground`, once per sentence. Calling the
    localizer does both.

    Threads may share a localizer. A process forked after it was loaded cannot use it, and is told so with SspeError,
    but where torch and OpenCV run in one thread each (``OMP_NUM_THREADS=1``, ``cv2.setNumThreads(1)``).
    """

    def __init__(
        self, model: LocalizationModel, device: str = "auto", precision: str = "auto", identity: str = UNSAVED
    ):
        """See :meth:`from_pretrained`; ``identity`` names the weights, as :func:`sspe.checkpoint.identity` does."""
        self.model = model.for_inference(device, precision)
        self.identity = identity

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> Localizer:
        """Load a checkpoint.

        Args:
            name_or_path: a .safetensors file, the name of one in ``checkpoints/``, or a Hugging Face repository
                ("owner/name", downloaded once); None is the shipped checkpoint.
            device: "auto" (the GPU where there is one), "cpu" or "cuda".
            precision: "auto" (bfloat16 where the hardware has it), "float32" or "bfloat16".

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        path = find_checkpoint(name_or_path)
        with ThreadPoolExecutor(1) as pool:
            named = pool.submit(identity, path)
            model, _ = load_checkpoint(path)
            return cls(model, device, precision, named.result())

    def __call__(
        self, photo: PhotoSource, sentence: str, phrases: Sequence[Phrase] | None = None, top_k: int = 1
    ) -> Localization:
        """Box every noun phrase of ``sentence`` in ``photo``; see :meth:`ground`. Raises PhotoError, SspeError."""
        _checked_sentence(sentence)
        if phrases is not None:
            return self.ground(self.see(photo), sentence, phrases, top_k)
        with ThreadPoolExecutor(1) as pool:  # the first sentence of a process takes as long to read as a photo to see
            read = pool.submit(extract_phrases, sentence, pronouns=False)
            view = self.see(photo)
            return self.ground(view, sentence, read.result(), top_k)

    def see(self, photo: PhotoSource, report: Callable[[str], object] | None = None) -> PhotoView:
        """The costly half: open the photo, propose regions, embed them. Raises PhotoError.

        Args:
            report: called with the name of each stage as it begins, "Embedding 500 regions" among them.
        """
        report = report or (lambda stage: None)
        report("Opening the photo")
        pixels = open_photo(photo)
        report("Edge Boxes" if self.model.detector is None else "Detector and Edge Boxes")
        proposals = self.model.propose(pixels, side_by_side=True)
        report(f"Embedding {len(proposals.boxes)} regions")
        return self._embed(pixels, proposals)

    def ground(
        self, view: PhotoView, sentence: str, phrases: Sequence[Phrase] | None = None, top_k: int = 1
    ) -> Localization:
        """The cheap half: box the phrases of a sentence in a photo already seen.

        A phrase is read in its sentence, which helps a little: 0.4 points of R@1 over the phrase alone on val. One that
        speaks of several things ("two dogs", "people") gets a box for each beside the one around them all. Words of
        place, order and size ("the dog on the left", "the biggest dog") choose among things of a kind.

        Args:
            phrases: spans of the sentence; None takes its noun phrases, but for those no box can show ("it",
                "the left").
            top_k: candidates per phrase, the answer first, then the others by score; they overlap by at most 0.5.

        Returns:
            A localization; its ``phrases`` are empty where the sentence has no noun phrase. Every phrase gets a box,
            shown or not: its ``present`` says how likely the photo shows it. Of a word that the model does not know
            nothing can be said: ``known`` is False and ``present`` None.

        Raises:
            SspeError: the sentence is empty or of more than 5,000 characters, a phrase is not a span of it, ``top_k``
                is below 1, or the view is another localizer's.
        """
        self._check_view(view)
        _checked_sentence(sentence)
        _check_top_k(top_k)
        if phrases is None:
            phrases = extract_phrases(sentence, pronouns=False)
        _check_spans(sentence, phrases)
        height, width = view.photo.shape[:2]
        found = []
        if phrases:
            asked = _asked(sentence, phrases)
            located, things = answer(self.model, view.regions, asked)
            for i, phrase in enumerate(phrases):
                candidates = tuple(
                    Candidate(tuple(located.boxes[i, r].tolist()), float(located.scores[i, r]))
                    for r in located.kept[i][:top_k]
                )
                span = (phrase.text, phrase.start, phrase.end, phrase.head)
                known = bool(located.known[i])
                sure: tuple[float | None, float | None] = (None, None)
                if known and located.present is not None:
                    sure = (float(located.confidence[i]), float(located.present[i]))
                best = candidates[0]
                boxes = tuple(tuple(box.tolist()) for box in things[i])
                which = asked[i].which
                found.append(
                    LocalizedPhrase(
                        *span,
                        best.box,
                        best.score,
                        candidates,
                        *sure,
                        phrase.negated,
                        known,
                        boxes,
                        which.words if which else None,
                    )
                )
        return Localization(sentence, width, height, tuple(found), view.photo)

    def similarities(self, view: PhotoView, sentence: str, phrases: Sequence[Phrase]) -> np.ndarray:
        """How well each phrase, read in its sentence, and each region fit: (P, R) float32, the scores that rank.

        They are what :attr:`sspe.results.Candidate.score` is: cosines, -1 to 1, or with a similarity network 0 to 1.
        R are the proposals ``view.regions.boxes`` as they were proposed, before any is refined for a phrase.

        Raises:
            SspeError: a phrase is not a span of the sentence, or the view is another localizer's.
        """
        self._check_view(view)
        _check_spans(sentence, phrases)
        if not phrases:
            return np.zeros((0, len(view.regions.boxes)), np.float32)
        asked = _asked(sentence, phrases)
        y = self.model.embed_phrases([one.text for one in asked], [one.context for one in asked])  # (P, E)
        return self.model.scores(y, view.regions.embeddings).float().cpu().numpy()

    def edges(self, view: PhotoView) -> np.ndarray:
        """The edge map that Edge Boxes saw of the photo: (S, S) float32, 0 to 1, the photo squeezed into a square."""
        return self.model.edge_boxes.edges(view.photo)[0]

    def batch(
        self, photos: Iterable[PhotoSource], sentences: str | Iterable[str], top_k: int = 1
    ) -> Iterator[Localization | PhotoError]:
        """Localize many photos, in order; proposals of the next ones are made while the network works.

        Photos and sentences are taken one by one as they are needed, from lists as from generators without an end.

        Args:
            sentences: one for all photos, or one per photo.

        Yields:
            A localization per photo, or the PhotoError of a photo that could not be opened: the others go on.

        Raises:
            SspeError: at once, where ``photos`` is a single photo, ``top_k`` is below 1, or in a list a sentence is
                empty or there are not as many sentences as photos. Of generators the last two are found when it is
                their turn, after everything before has been yielded.
        """
        if is_photo(photos):
            raise SspeError("A batch takes a list of photos, and a single one was given; put it into a list.")
        _check_top_k(top_k)
        if isinstance(sentences, str):
            _checked_sentence(sentences)
            return self._batch(zip(photos, repeat(sentences)), top_k)
        if isinstance(sentences, Sized):
            if isinstance(photos, Sized) and len(sentences) != len(photos):
                raise SspeError(f"{len(photos)} photos need one sentence or as many, and {len(sentences)} were given.")
            for sentence in sentences:
                _checked_sentence(sentence)
        return self._batch(_paired(photos, sentences), top_k)

    def _batch(self, pairs: Iterable[tuple[PhotoSource, str]], top_k: int) -> Iterator[Localization | PhotoError]:
        waiting, broken = iter(pairs), None
        under_way: deque[tuple[Future, str]] = deque()
        with ThreadPoolExecutor(AHEAD) as pool:

            def begin() -> None:
                nonlocal broken
                try:
                    while broken is None and len(under_way) < AHEAD:
                        photo, sentence = next(waiting)
                        under_way.append((pool.submit(self._propose, photo), sentence))
                except Exception as error:  # of whatever gives the photos, or its end; what has begun is yielded first
                    broken = error

            begin()
            while under_way:
                proposed, sentence = under_way.popleft()
                begin()
                phrases = extract_phrases(sentence, pronouns=False)  # while the photo is searched for proposals
                try:
                    view = self._embed(*proposed.result())
                except PhotoError as error:
                    yield error
                else:
                    yield self.ground(view, sentence, phrases, top_k)
        if not isinstance(broken, StopIteration):
            raise broken

    def _propose(self, photo: PhotoSource) -> tuple[np.ndarray, Proposals]:
        pixels = open_photo(photo)
        return pixels, self.model.propose(pixels)

    def _check_view(self, view: PhotoView) -> None:
        """Raise SspeError where the regions of a view are in another space than this localizer's phrases."""
        other = view.localizer
        if other is self or other.model is self.model:
            return
        ours, theirs = (f"{made.identity}, {made.model.precision} on {made.model.device}" for made in (self, other))
        if ours != theirs or self.identity == UNSAVED:
            raise SspeError(
                f"The photo was seen by another localizer ({theirs}), whose regions cannot be compared with phrases of "
                f"this one ({ours}); use its own see()."
            )

    def _embed(self, pixels: np.ndarray, proposals: Proposals) -> PhotoView:
        return PhotoView(pixels, self.model.embed_regions(pixels, proposals.boxes, proposals.detections), self)


def _asked(sentence: str, phrases: Sequence[Phrase]) -> list[Asked]:
    """What each phrase asks for, without requests and the like around it: "find the dog" is read as "the dog"."""
    description = description_in(sentence)
    return [ask(description, phrase.start, phrase.end) for phrase in phrases]


def _paired(photos: Iterable[PhotoSource], sentences: Iterable[str]) -> Iterator[tuple[PhotoSource, str]]:
    """Each photo with its sentence. Raises SspeError where there are more of the ones than of the others."""
    nothing: Any = object()
    for count, (photo, sentence) in enumerate(zip_longest(photos, sentences, fillvalue=nothing)):
        if photo is nothing or sentence is nothing:
            lacking = "photo" if photo is nothing else "sentence"
            raise SspeError(f"A batch has no {lacking} for its number {count + 1}; give as many sentences as photos.")
        _checked_sentence(sentence)
        yield photo, sentence


def _checked_sentence(sentence: str) -> None:
    if not sentence.strip():
        raise SspeError("The sentence is empty; describe something in the photo, such as “a man in a red hat”.")
    check_length(sentence)


def _check_spans(sentence: str, phrases: Sequence[Phrase]) -> None:
    for phrase in phrases:
        if not phrase.text.strip() or sentence[phrase.start : phrase.end] != phrase.text:
            raise SspeError(
                f"The phrase {phrase.text!r} is not what stands at {phrase.start} to {phrase.end} of the sentence; "
                "give spans of this very sentence."
            )


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise SspeError(f"top_k is {top_k}, and a phrase has at least 1 candidate; give 1 or more.")
