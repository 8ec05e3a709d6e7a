"""After the branches: fit the second look of :mod:`sspe.models.second_look` on the training photos.

The branches know these photos by heart, and answer more of their phrases rightly than of others. So every score is
moved at random, that of a box and of those that lie on it alike, and what is learnt is not trusted fully.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.answers import THRESHOLD
from sspe.evaluation.progress import Progress, without_progress
from sspe.models.localization import LocalizationModel
from sspe.models.second_look import BEST, SHARPNESS, Pairs, SecondLook, overlaps
from sspe.text.context import Context
from sspe.training.localization_data import TrainingPhoto, training_photos
from sspe.vision.boxes import iou

log = logging.getLogger("sspe.train")

EPOCHS, BATCH, LR, WEIGHT_DECAY = 4, 24, 2e-3, 0.02  # a batch is of sentences
NOISE = 0.03  # standard deviation of what moves a score; R@1 on the training photos falls by a point, from 80


@dataclass(frozen=True)
class Looked:
    """N phrases with a box and their K best regions; coordinates are relative to the photos.

    Attributes:
        y: (N, E) float16 phrase embeddings of unit length.
        boxes, scores, overlap: (N, K, 4), (N, K) and (N, K) float32, best first; the overlap with the right box.
        answers: (N, 4) float32, where each was found at first.
        places: (N, 3) int64, sentence and characters, as of :func:`sspe.models.second_look.places_of`.
    """

    y: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    overlap: np.ndarray
    answers: np.ndarray
    places: np.ndarray


def fit_second_look(
    model: LocalizationModel,
    train: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    frozen: FrozenFeatures,
    progress: Progress = without_progress,
    seed: int = 0,
) -> None:
    """Set ``model.second_look``; a model that reads no context, or places no boxes, stays without.

    ``frozen`` has the features of the photos' annotated boxes and proposals, as training keeps them. Raises PhotoError.
    """
    model.second_look = None
    if not model.text_encoder.context or model.network.refiner is None:
        return
    looked = look(model, training_photos(train)[0], store, frozen, progress)
    if looked and len(np.unique(looked.places[:, 0])) < len(looked.places):
        model.second_look = fit(looked, progress, seed).to(model.device).eval()
    else:
        log.warning("No training photo has %d regions and a sentence of two phrases; none is looked at again.", BEST)


def look(
    model: LocalizationModel,
    photos: Sequence[TrainingPhoto],
    store: FeatureStore,
    frozen: FrozenFeatures,
    progress: Progress,
) -> Looked | None:
    """The best regions of every phrase that has a box, of photos with as many regions; None where there are none."""
    parts, sentences = [], 0
    for photo in progress(photos):
        record, annotated = photo.record, len(photo.annotated)
        relative = store.proposals(record.path)
        if len(relative.boxes) < BEST:
            continue
        features = frozen.get(record.path, np.concatenate([photo.annotated, relative.boxes]))[annotated:]
        proposals = relative.scaled(record.width, record.height)
        regions = model.embed_features(
            torch.from_numpy(features).to(model.device),
            *(proposals.boxes, proposals.detections, record.width, record.height),
        )
        phrases = [(s, p) for s in record.sentences for p in s.phrases if len(p.boxes)]
        read = model.read([p.text for _, p in phrases], [Context.of(s.text, p.start, p.end) for s, p in phrases])
        first = model.locate_read(regions, read)
        given = [kept[0] for kept in first.kept]
        y, _, boxes, scores, answers = model.best_regions(regions, read.embeddings, first.scores, first.boxes, given)
        frame = np.array([record.width, record.height] * 2, np.float32)
        overlap = [iou(p.box, best * frame)[0] for (_, p), best in zip(phrases, boxes, strict=True)]
        places = read.places + np.array([sentences, 0, 0])
        sentences += len(record.sentences)
        parts.append((y.half().cpu().numpy(), boxes, scores, np.stack(overlap), answers, places))
    return Looked(*(np.concatenate(values) for values in zip(*parts, strict=True))) if parts else None


def fit(looked: Looked, progress: Progress = without_progress, seed: int = 0) -> SecondLook:
    """The second look that ranks the right ones among the best regions first, by cross-entropy."""
    by_sentence = np.argsort(looked.places[:, 0], kind="stable")
    sentences = np.split(by_sentence, np.flatnonzero(np.diff(looked.places[by_sentence, 0])) + 1)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = SecondLook(looked.y.shape[1])
        optimiser = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        batches = [drawn for _ in range(EPOCHS) for drawn in torch.randperm(len(sentences)).split(BATCH)]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=len(batches), pct_start=0.1)
        for drawn in progress(batches):
            loss = _loss(net, looked, np.concatenate([sentences[i] for i in drawn.tolist()]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net


def _loss(net: SecondLook, looked: Looked, rows: np.ndarray) -> torch.Tensor:
    """Mean cross-entropy of the phrases of some sentences that have right and wrong ones among their best regions."""
    taken = (looked.y, looked.boxes, looked.scores, looked.answers, looked.overlap)
    y, boxes, scores, answers, overlap = (torch.from_numpy(values[rows]).float() for values in taken)
    scores = scores + NOISE * _alike(boxes)
    right = overlap >= THRESHOLD
    logits = SHARPNESS * scores + net(y, boxes, scores, answers, Pairs.among(looked.places[rows]))
    share = torch.log_softmax(logits, dim=1).masked_fill(~right, -torch.inf).logsumexp(dim=1)  # of the right ones
    told = right.any(dim=1) & ~right.all(dim=1)
    return -share[told].sum() / told.sum().clamp_min(1)


def _alike(boxes: torch.Tensor) -> torch.Tensor:
    """Random numbers (P, K), normally distributed, of which those of two boxes (P, K, 4) are as alike as the boxes."""
    shared, union, _ = overlaps(boxes[:, :, None], boxes[:, None])
    mixed = (shared / union) ** 2
    return ((mixed / mixed.norm(dim=2, keepdim=True)) @ torch.randn(*boxes.shape[:2], 1))[..., 0]
