"""From scores to two probabilities: is the phrase in the photo at all, and if it is, is the box right?

A cosine says which region fits a phrase best, not whether it fits: some phrases lie near every region, some near none.
So a phrase's best score is compared with its other scores in the photo, and with those of a bank of regions of photos
that it does not describe; a logistic regression weighs this evidence. Where the model has a detector, it is heard as
well, and of the bare name of one of its things, "a cup", it is heard first. Fitted on val photos by
:mod:`sspe.evaluation.cross_fitting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from sspe.vision.boxes import area

TOP_OF_BANK = 0.995  # of the bank's regions score lower
TEMPERATURE = 0.05  # of the softmax over candidates: a lead of a cosine of 0.05 makes one e times as likely
EVIDENCE = (
    "score",  # cosine of the answer
    "short_of_best",  # the best cosine in the photo less the answer's
    "lead",  # of the answer over the second candidate, after non-maximum suppression
    "share",  # of the answer among all candidates, softmax
    "above_photo",  # best score less the photo's mean score, in the photo's standard deviations
    "above_bank",  # best score less the bank's 99.5th percentile for this phrase
    "bank_deviations",  # best score less the bank's mean, in the bank's standard deviations
    "bank_top",  # the bank's 99.5th percentile: how easily the phrase fits anything
    "agreement",  # of the best scored regions on the answer's box
    "size",  # root of the answer's share of the photo's area
    "size_squared",
)
# More evidence on a phrase that names one of the detector's things among other words, "a red cup"; 0 for others.
NAMED_EVIDENCE = (
    "named",  # 1
    "seen",  # the best the detector sees of it anywhere in the photo, log odds
    "seen_here",  # and in the region that was chosen
)
# On the bare name of a thing, "a cup"; 0 for others. Of it the detector knows best whether it is there: of all other
# evidence `present` then hears only how its best score stands to the bank.
BARE_EVIDENCE = ("bare", "bare_seen", "bare_seen_here", "bare_above_bank", "bare_bank_deviations")
_OF_BARE = [EVIDENCE.index("above_bank"), EVIDENCE.index("bank_deviations")]
LEAST_ODDS = 0.002  # added to a score and to what it lacks of 1, so that its log odds are at most about 6 from 0


@dataclass(frozen=True)
class Seen:
    """What the detector sees of the things that P phrases name, in a photo of R regions.

    Attributes:
        named: (P,) bool, the phrase names one of the detector's things; where not, the rest means nothing.
        bare: (P,) bool, it is the bare name of one.
        anywhere: (P,) the best score of it in the photo, 0..1.
        regions: (P, R) how surely it is seen in each region, 0..1.
    """

    named: np.ndarray
    bare: np.ndarray
    anywhere: np.ndarray
    regions: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """What turns evidence into probabilities; travels in the checkpoint.

    Attributes:
        bank: (B, E) float32 unit embeddings of regions of training photos.
        confidence, present: (F + 1,) float32 weights of the evidence, the constant last; F is 11, or 19 of a model with
            a detector.
    """

    bank: torch.Tensor
    confidence: torch.Tensor
    present: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("confidence", "present"):
            count = len(getattr(self, name)) - 1
            if count not in (kinds := [_kinds(False), _kinds(True)]):
                raise ValueError(f"the calibration weighs {count} kinds of evidence, and there are {kinds}")

    def probabilities(self, evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``confidence`` and ``present`` (P,) in 0..1 of evidence (P, F) from :func:`evidence_of`."""
        sure, there = self.confidence.cpu().numpy(), self.present.cpu().numpy()
        return logistic(evidence, sure), logistic(of_presence(evidence), there)


def logistic(evidence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probabilities (P,) of evidence (P, F) under weights (F + 1,), the constant last."""
    return 1 / (1 + np.exp(-np.clip(evidence @ weights[:-1] + weights[-1], -30, 30)))


def bank_top(bank_scores: np.ndarray) -> np.ndarray:
    """The 99.5th percentile (P,) of each phrase's scores (P, B) with the bank: how easily it fits anything."""
    # A partition finds the percentile without sorting the whole bank.
    place = int(TOP_OF_BANK * (bank_scores.shape[1] - 1))
    return np.partition(bank_scores, place, axis=1)[:, place]


def evidence_of(
    bank_scores: np.ndarray,
    scores: np.ndarray,
    boxes: np.ndarray,
    kept: Sequence[np.ndarray],
    agreement: Sequence[float],
    photo_area: float,
    seen: Seen | None = None,
) -> np.ndarray:
    """The evidence (P, F), columns as in :data:`EVIDENCE`, and with ``seen`` in NAMED_EVIDENCE and BARE_EVIDENCE.

    Args:
        bank_scores: (P, B) cosines of the phrases with the bank.
        scores: (P, R) cosines with the photo's regions.
        boxes: (P, R, 4) where each region would place each phrase, pixels.
        kept: per phrase, the regions that survive non-maximum suppression, the answer first.
        agreement: per phrase, the agreement on the answer, 0..1, see :func:`sspe.vision.boxes.consensus`.
        photo_area: width x height, pixels.
        seen: what the detector sees of what the phrases name; None without a detector.
    """
    top_of_bank = bank_top(bank_scores)
    rows = []
    for i, (row, places, order) in enumerate(zip(scores, boxes, kept, strict=True)):
        best, score, answer = row.max(), row[order[0]], places[order[0]]
        second = row[order[1]] if len(order) > 1 else row.min()
        size = np.sqrt(float(area(answer)) / photo_area)
        rows.append(
            (
                score,
                best - score,
                score - second,
                1 / np.exp((row[order] - score) / TEMPERATURE).sum(),
                (best - row.mean()) / (row.std() + 1e-6),
                best - top_of_bank[i],
                (best - bank_scores[i].mean()) / (bank_scores[i].std() + 1e-6),
                top_of_bank[i],
                agreement[i],
                size,
                size**2,
            )
        )
    plain = np.array(rows, np.float32).reshape(len(scores), len(EVIDENCE))
    if seen is None:
        return plain
    here = np.array([row[order[0]] for row, order in zip(seen.regions, kept, strict=True)], np.float32)
    more = np.stack([np.ones(len(plain)), _log_odds(seen.anywhere), _log_odds(here)], axis=1)
    among, bare = (seen.named & ~seen.bare)[:, None], seen.bare[:, None]
    of_bare = np.concatenate([more, plain[:, _OF_BARE]], axis=1)
    return np.concatenate([plain, np.where(among, more, 0), np.where(bare, of_bare, 0)], axis=1).astype(np.float32)


def of_presence(evidence: np.ndarray) -> np.ndarray:
    """Of evidence (P, F) what ``present`` hears: of the bare name of a thing nothing but BARE_EVIDENCE."""
    if evidence.shape[1] == _kinds(False):
        return evidence
    place = len(EVIDENCE) + len(NAMED_EVIDENCE)
    heard = evidence.copy()
    heard[:, :place] *= evidence[:, place : place + 1] == 0
    return heard


def _kinds(detector: bool) -> int:
    """How many kinds of evidence there are, of a model with a detector or without one."""
    return len(EVIDENCE) + detector * (len(NAMED_EVIDENCE) + len(BARE_EVIDENCE))


def _log_odds(score: np.ndarray) -> np.ndarray:
    return np.log((score + LEAST_ODDS) / (1 + LEAST_ODDS - score))


def fit_weights(evidence: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Weights (F + 1,) of the logistic regression with the least log loss, for evidence as it comes."""
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-6
    x = torch.from_numpy((evidence - mean) / deviation).double()
    y = torch.from_numpy(true).double()
    w = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = functional.binary_cross_entropy_with_logits(x @ w[:-1] + w[-1], y) + RIDGE * w[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    scaled = w.detach().numpy()[:-1] / deviation
    return np.append(scaled, w.detach().numpy()[-1] - scaled @ mean)


def unfitted(bank: torch.Tensor, named: bool = False) -> Calibration:
    """A calibration whose probabilities are all 0.5, for gathering evidence before the fit.

    ``named``: of a model whose common space has a named part.
    """
    weights = torch.zeros(_kinds(named) + 1)
    return Calibration(bank, weights, weights.clone())


RIDGE = 1e-3  # on standardised evidence; a guard against runaway weights, far too small to matter otherwise
