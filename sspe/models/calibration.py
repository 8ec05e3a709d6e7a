"""From scores to two probabilities: is the phrase in the photo at all, and if it is, is the box right?

A cosine says which region fits a phrase best, not whether it fits: some phrases lie near every region, some near none.
So a phrase's best score is compared with its other scores in the photo, and with those of a bank of regions of photos
that it does not describe; a logistic regression weighs this evidence. Where the model has a detector, it is heard as
well, and a phrase that names one of its things is weighed by weights of its own. Fitted on val photos by
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
# More evidence on a phrase that names one of the detector's things; all of it, with EVIDENCE again, is 0 for others.
NAMED_EVIDENCE = (
    "named",  # 1
    "seen",  # the best the detector sees of it anywhere in the photo, 0..1
    "seen_here",  # and in the region that was chosen
)


@dataclass(frozen=True)
class Calibration:
    """What turns evidence into probabilities; travels in the checkpoint.

    Attributes:
        bank: (B, E) float32 unit embeddings of regions of training photos.
        confidence, present: (F + 1,) float32 weights of the evidence, the constant last; F is 11, or 25 of a model with
            a detector.
    """

    bank: torch.Tensor
    confidence: torch.Tensor
    present: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("confidence", "present"):
            count, plain = len(getattr(self, name)) - 1, len(EVIDENCE)
            if count not in (plain, 2 * plain + len(NAMED_EVIDENCE)):
                raise ValueError(f"the calibration weighs {count} kinds of evidence, and there are {plain}")

    def probabilities(self, evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``confidence`` and ``present`` (P,) in 0..1 of evidence (P, F) from :func:`evidence_of`."""
        return tuple(logistic(evidence, weights.cpu().numpy()) for weights in (self.confidence, self.present))


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
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """The evidence (P, F), columns as in :data:`EVIDENCE`, and with ``seen`` in NAMED_EVIDENCE and EVIDENCE again.

    Args:
        bank_scores: (P, B) cosines of the phrases with the bank.
        scores: (P, R) cosines with the photo's regions.
        boxes: (P, R, 4) where each region would place each phrase, pixels.
        kept: per phrase, the regions that survive non-maximum suppression, the answer first.
        agreement: per phrase, the agreement on the answer, 0..1, see :func:`sspe.vision.boxes.consensus`.
        photo_area: width x height, pixels.
        seen: (P, R) how surely the detector sees in each region what the phrase names, 0..1; NaN where it names none.
            None without a detector.
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
    named = ~np.isnan(seen[:, :1])  # (P, 1)
    answers = [order[0] for order in kept]
    here = seen[np.arange(len(seen)), answers].reshape(-1, 1)
    more = np.concatenate([named, seen.max(axis=1, keepdims=True), here, plain], axis=1)
    return np.concatenate([plain, np.where(named, more, 0)], axis=1).astype(np.float32)


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
    weights = torch.zeros(len(EVIDENCE) * (2 if named else 1) + (len(NAMED_EVIDENCE) if named else 0) + 1)
    return Calibration(bank, weights, weights.clone())


RIDGE = 1e-3  # on standardised evidence; a guard against runaway weights, far too small to matter otherwise
