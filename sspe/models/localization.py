"""From a photo and a phrase to their unit vectors: proposals, encoders and branches in one object."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sspe.models.calibration import Calibration, Seen, evidence_of
from sspe.models.device import Home, autocast, fix_for_inference
from sspe.models.networks import create_network
from sspe.models.search_fit import SearchFit
from sspe.models.second_look import BEST, SHARPNESS, TRUST, Pairs, SecondLook, places_of
from sspe.phrases.naming import bare_names, things_named
from sspe.settings import LocalizationModelSettings
from sspe.text.context import ALONE, Context
from sspe.text.encoders import TextEncoder
from sspe.vision.boxes import clip, consensus, nms
from sspe.vision.detections import THINGS, Detections, things_in
from sspe.vision.detector import Detector, published_detector
from sspe.vision.edge_boxes import EdgeBoxes
from sspe.vision.proposals import Proposals, propose
from sspe.vision.region_encoder import RegionEncoder


@dataclass(frozen=True)
class Regions:
    """The regions of one photo after the costly half: nothing in them depends on a phrase.

    Attributes:
        width, height: of the photo, pixels.
        boxes: (R, 4) float32 proposals in pixels of the photo.
        embeddings: (R, E) float32 of unit length, on the model's device; (R, E + T) where the common space has a named
            part, whose T numbers say what the detector sees.
        described: (R, H) float32, from :meth:`BoxRefiner.describe`; None where the model has no refinement.
        seen: (T,) float32, the best score of each of the detector's things anywhere in the photo; None without one.
    """

    width: int
    height: int
    boxes: np.ndarray
    embeddings: torch.Tensor
    described: torch.Tensor | None
    seen: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Memory they hold, in bytes."""
        described = 0 if self.described is None else self.described.nbytes
        return self.boxes.nbytes + self.embeddings.nbytes + described


@dataclass(frozen=True)
class Located:
    """P phrases in one photo of R regions.

    Attributes:
        scores: (P, R) float32 cosines.
        boxes: (P, R, 4) float32, the region's box as it would be for the phrase, pixels, inside the photo.
        kept: per phrase the regions that survive non-maximum suppression: the answer, then the others by score.
        known: (P,) bool, whether the text encoder knows the phrase's head noun; else the rest means little.
        evidence: (P, F) float32, see :mod:`sspe.models.calibration`; None, as the next two, without calibration.
        confidence: (P,) probability that the first box is right, if the photo shows the phrase.
        present: (P,) probability that the photo shows the phrase.
        seen: what the detector sees of the things that the phrases name; None without a detector.
    """

    scores: np.ndarray
    boxes: np.ndarray
    kept: tuple[np.ndarray, ...]
    known: np.ndarray
    evidence: np.ndarray | None = None
    confidence: np.ndarray | None = None
    present: np.ndarray | None = None
    seen: Seen | None = None


@dataclass(frozen=True)
class ReadPhrases:
    """P phrases before any photo is looked at.

    Attributes:
        embeddings: (P, E), see :meth:`LocalizationModel.embed_phrases`.
        known: (P,) bool, as in :class:`Located`.
        bank_scores: (P, B) with the calibration's bank; None without calibration.
        places: (P, 3) int64, where each stands, see :func:`sspe.models.second_look.places_of`; None without contexts.
        named: (P, T) the detector's things that each may name, 0 or 1; None, as the next, without a named part.
        bare: (P,) bool, whether each is the bare name of one.
    """

    embeddings: torch.Tensor
    known: np.ndarray
    bank_scores: np.ndarray | None
    places: np.ndarray | None = None
    named: np.ndarray | None = None
    bare: np.ndarray | None = None

    def rows(self, rows: slice) -> "ReadPhrases":
        """Some of the phrases."""
        return ReadPhrases(*(value if value is None else value[rows] for value in vars(self).values()))


class LocalizationModel(nn.Module):
    """Photo -> boxes -> region embeddings; phrases -> phrase embeddings; both (·, E) float32 of unit length.

    A region's embedding depends on its photo alone and a phrase's on its sentence alone, so each is computed once, and
    a score is one dot product (cosine, -1..1). Only the refinement of a box needs the two together.
    """

    task = "localization"

    def __init__(self, settings: LocalizationModelSettings, text_encoder: TextEncoder, pretrained: bool = False):
        """``pretrained`` starts the backbone from ImageNet, and the detector, if there is one, as it was published.

        Otherwise weights are random until they are loaded. Raises CheckpointError where published ones are not at hand.
        """
        super().__init__()
        self.settings = settings
        self.text_encoder = text_encoder
        self.edge_boxes = EdgeBoxes(settings.proposals)
        self.regions = RegionEncoder(settings.regions, pretrained)
        self.detector: Detector | None = None  # frozen always
        features = self.regions.feature_size
        if settings.detector.boxes:
            self.detector = (published_detector if pretrained else Detector)(settings.detector)
            features += len(THINGS)
        self.network = create_network(
            features, text_encoder.feature_size, settings.network, named=bool(settings.detector.boxes)
        )
        self.second_look: SecondLook | None = None  # fitted after the branches
        self.precision = "float32"
        self.home = Home()
        self.calibration: Calibration | None = None  # fitted after training
        self.search: SearchFit | None = None  # fitted with it

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.regions.mean.device

    def for_inference(self, device: str | torch.device = "auto", precision: str = "auto") -> "LocalizationModel":
        """Move to the device, choose the precision, and fix the weights; return self."""
        self.precision = fix_for_inference(self, device, precision)
        if self.calibration is not None:
            self.calibration = replace(self.calibration, bank=self.calibration.bank.to(self.device))
        return self

    def propose(self, photo: np.ndarray, side_by_side: bool = False) -> Proposals:
        """The proposals of a photo (H, W, 3) uint8 RGB, in its pixels; see :func:`sspe.vision.proposals.propose`."""
        self.home.check(self.device)
        return propose(photo, self.edge_boxes, self.detector, side_by_side)

    @torch.inference_mode()
    def embed_regions(self, photo: np.ndarray, boxes: np.ndarray, detections: Detections | None = None) -> Regions:
        """The regions of the boxes (R, 4), pixels, of a photo (H, W, 3) uint8 RGB.

        ``detections``, in pixels as well, are what the model's detector found in the photo; None: it is asked now.
        A model without a detector takes none.
        """
        self.home.check(self.device)
        with autocast(self.device, self.precision):
            features = self.regions.encode(photo, boxes)
        if self.detector is not None and detections is None:
            detections = self.detector.detect(photo)
        return self.embed_features(features, boxes, detections, photo.shape[1], photo.shape[0])

    @torch.inference_mode()
    def embed_features(
        self, features: torch.Tensor, boxes: np.ndarray, detections: Detections | None, width: int, height: int
    ) -> Regions:
        """As :meth:`embed_regions`, of regions whose features (R, D) are known, in a photo of width x height pixels."""
        refiner, named = self.network.refiner, self.network.named
        with autocast(self.device, self.precision):
            if self.detector is not None:
                things = torch.from_numpy(things_in(boxes, detections)).to(self.device)
                features = torch.cat([features, things], dim=1)
            described = refiner.describe(features) if refiner else None
            x = self.network.image(features)
            if named is None:
                return Regions(width, height, boxes, x, described)
            return Regions(width, height, boxes, named.regions(x, things), described, detections.anywhere)

    @torch.inference_mode()
    def embed_phrases(self, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> torch.Tensor:
        """Embeddings (P, E) of P phrases, each in its context, or alone where ``contexts`` is None.

        (P, E + T) where the common space has a named part.

        In its context a phrase is read twice, with it and without, and its embedding is the mean of the two: on val
        the context by itself misleads as often as it helps, and the mean does better than either. A phrase without
        a known word has an embedding, too: it matches nothing in particular.
        """
        self.home.check(self.device)
        twice = contexts is not None and self.text_encoder.context
        texts = [*phrases, *phrases] if twice else phrases
        features = self.text_encoder.encode(texts, [ALONE] * len(phrases) + list(contexts) if twice else None)
        with autocast(self.device, self.precision):
            y = self.network.text(features)  # both readings in one pass, which mostly waits for the weights
            if twice:
                y = functional.normalize(y[: len(phrases)] + y[len(phrases) :], dim=1)
            if self.network.named:
                named, bare = (torch.from_numpy(of(phrases)).to(self.device) for of in (things_named, bare_names))
                y = self.network.named.phrases(y, named, bare)
            return y

    @torch.inference_mode()
    def scores(self, phrases: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """Scores (P, R) float32 of phrase embeddings (P, E) with region embeddings (R, E): cosines, -1..1.

        With a named part they are dot products up to about 1.4; those of a similarity network are probabilities, 0..1.
        """
        with autocast(self.device, self.precision):
            return self.network.scores(phrases, regions)

    @torch.inference_mode()
    def read(self, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> "ReadPhrases":
        """What is known of P phrases before any photo is looked at; ``contexts`` as above."""
        y = self.embed_phrases(phrases, contexts)  # (P, E)
        known = np.array(self.text_encoder.knows(phrases), bool)
        bank = None if self.calibration is None else self.scores(y, self.calibration.bank).cpu().numpy()
        places = None if contexts is None else places_of(phrases, contexts)
        names = (things_named(phrases), bare_names(phrases)) if self.network.named else ()
        return ReadPhrases(y, known, bank, places, *names)

    def locate(self, regions: Regions, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> Located:
        """Where each of P phrases is among the regions of a photo, and how surely; ``contexts`` as above.

        Boxes are refined for the phrase where the model has a refinement. The answer is the region on whose box the
        best scored ones agree most, and takes their mean box; see
        :func:`sspe.vision.boxes.consensus`. Phrases of one sentence are then looked at again, see
        :mod:`sspe.models.second_look`. Probabilities are given where the model is calibrated.
        """
        return self.locate_read(regions, self.read(phrases, contexts))

    @torch.inference_mode()
    def locate_read(self, regions: Regions, phrases: "ReadPhrases") -> Located:
        """As :meth:`locate`, of phrases that were read once for many photos."""
        known = phrases.known
        scores, boxes, kept, agreement = self._answers(regions, phrases.embeddings, places=phrases.places)
        seen = None if phrases.named is None else self._seen(regions, phrases)
        if self.calibration is None:
            return Located(scores, boxes, tuple(kept), known, seen=seen)
        area = regions.width * regions.height
        evidence = evidence_of(phrases.bank_scores, scores, boxes, kept, agreement, area, seen)
        return Located(
            scores, boxes, tuple(kept), known, evidence, *self.calibration.probabilities(evidence), seen=seen
        )

    @torch.inference_mode()
    def glance(self, regions: Regions, phrases: "ReadPhrases", best: int) -> Located:
        """As :meth:`locate_read` by a part of the regions, ``best`` per phrase by score, and without probabilities.

        The others are not kept, and their boxes are as they were proposed.
        """
        scores, boxes, kept, _ = self._answers(regions, phrases.embeddings, best)
        seen = None if phrases.named is None else self._seen(regions, phrases)
        return Located(scores, boxes, tuple(kept), phrases.known, seen=seen)

    def _answers(
        self, regions: Regions, y: torch.Tensor, best: int | None = None, places: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[float]]:
        """Scores (P, R), boxes (P, R, 4), those kept and how far they agree of each phrase embedding y (P, E).

        ``best`` regions per phrase are placed, None: all; phrases at ``places`` are looked at again beside each other.
        """
        scores = self.scores(y, regions.embeddings).cpu().numpy()
        among = None if best is None else np.argsort(-scores, axis=1, kind="stable")[:, :best]  # (P, K)
        boxes = self._placed(regions, y, among)
        placed = boxes if among is None else np.take_along_axis(boxes, among[..., None], axis=1)
        fits = scores if among is None else np.take_along_axis(scores, among, axis=1)
        answers = [_answer(*row) for row in zip(placed, fits, strict=True)]
        if places is not None and self.second_look is not None:
            for row, better in self._looked_again(regions, y, fits, placed, [row for row, _ in answers], places):
                answers[row] = _answer(placed[row], better)
        # The answer first, then the others by score.
        kept = [
            nms(row, np.where(np.arange(len(fit)) == answer, np.inf, fit))
            for row, fit, (answer, _) in zip(placed, fits, answers, strict=True)
        ]
        if among is not None:
            np.put_along_axis(boxes, among[..., None], placed, axis=1)
            kept = [rows[stay] for rows, stay in zip(among, kept, strict=True)]
        return scores, boxes, kept, [agreed for _, agreed in answers]

    def _looked_again(
        self,
        regions: Regions,
        y: torch.Tensor,
        scores: np.ndarray,
        boxes: np.ndarray,
        answers: Sequence[int],
        places: np.ndarray,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Row and scores (R,) of each phrase that stands in a sentence with others, with what a second look adds."""
        pairs = Pairs.among(places)
        if not len(pairs.of):
            return
        y, best, *seen = self.best_regions(regions, y, scores, boxes, answers)
        seen = (torch.from_numpy(values).to(self.device) for values in seen)
        added = self.second_look(y, *seen, pairs.to(self.device)).cpu().numpy() * (TRUST / SHARPNESS)
        for row in np.unique(pairs.of.numpy()):
            better = scores[row].copy()
            better[best[row]] += added[row] - added[row].min()  # those that are not looked at stay behind
            yield row, better

    def best_regions(
        self, regions: Regions, y: torch.Tensor, scores: np.ndarray, boxes: np.ndarray, answers: Sequence[int]
    ) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the second look reads of P phrases in a photo of R regions.

        Args:
            y: (P, E) phrase embeddings; ``scores`` (P, R) and ``boxes`` (P, R, 4), pixels, are theirs.
            answers: of each phrase the region that was the answer at first.

        Returns:
            The learned part of the phrases' embeddings (P, E), of unit length; per phrase the rows (P, K) of its best
            regions, best first; their boxes (P, K, 4), relative: 0..1 of width and height; their scores (P, K); and the
            boxes (P, 4) of the answers, relative.
        """
        frame = np.array([regions.width, regions.height] * 2, np.float32)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :BEST]
        looked = np.take_along_axis(boxes, best[..., None], axis=1) / frame
        first = boxes[np.arange(len(boxes)), answers] / frame
        return self._learned(y), best, looked, np.take_along_axis(scores, best, axis=1), first

    def _seen(self, regions: Regions, phrases: "ReadPhrases") -> Seen:
        """What the detector sees of the things that each phrase names."""
        named = phrases.named  # (P, T)
        things = regions.embeddings[:, self.settings.network.embedding :].float().cpu().numpy()  # (R, T)
        here = np.array([(things * row).max(axis=1) for row in named], np.float32).reshape(-1, len(things))
        return Seen(named.any(axis=1), phrases.bare, (named * regions.seen).max(axis=1, initial=0), here)

    def _placed(self, regions: Regions, y: torch.Tensor, among: np.ndarray | None = None) -> np.ndarray:
        """Each region's box as it would be for each phrase embedding y (P, E): (P, R, 4) pixels, inside the photo.

        ``among`` (P, K) are the regions to be refined for each phrase; None are all.
        """
        proposed = np.repeat(regions.boxes[None], len(y), axis=0)
        if regions.described is None:
            return proposed
        described, boxes = regions.described, torch.from_numpy(regions.boxes).to(y.device)
        y = self._learned(y)
        parts = []
        with autocast(self.device, self.precision):
            for start in range(0, len(y), 16):  # the hidden layer holds a megabyte for each phrase
                rows = slice(start, start + 16)
                here = slice(None) if among is None else torch.from_numpy(among[rows]).to(y.device)
                parts.append(self.network.refiner(described[here], y[rows, None], boxes[here]))
        refined = clip(torch.cat(parts).cpu().numpy(), regions.width, regions.height) if parts else proposed
        if among is None:
            return refined
        np.put_along_axis(proposed, among[..., None], refined, axis=1)
        return proposed

    def _learned(self, y: torch.Tensor) -> torch.Tensor:
        """Phrase embeddings without their named part, which the branches did not learn: (P, E) of unit length."""
        return functional.normalize(y[:, : self.settings.network.embedding], dim=1) if self.network.named else y


def _answer(boxes: np.ndarray, scores: np.ndarray) -> tuple[int, float]:
    """The answer among boxes (R, 4), which takes the mean box of those that agree, in place, and how far they do."""
    answer, mean, agreed = consensus(boxes, scores)
    boxes[answer] = mean
    return answer, agreed
