"""Phrase localization on annotated photos: what is found, how well its boxes fit, and how reliable its numbers are.

A phrase is found when its box overlaps its merged box (the union of its boxes) by an intersection over union of 0.5 or
more. Phrases without a box are left out. A phrase with two types counts in both. Every phrase is read in its sentence,
as a user's would be; what the same phrase gives without it is measured beside. Of phrases with several boxes the boxes
of the single things are measured, too: F1 at an intersection over union of 0.5, the mean over phrases.

:mod:`sspe.evaluation.ranking` measures as the paper does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sspe.data.caches import FeatureStore
from sspe.data.records import AnnotatedPhoto
from sspe.errors import SspeError
from sspe.evaluation.absent import choose_absent
from sspe.evaluation.answers import PhraseResult, localize_annotated
from sspe.evaluation.cross_fitting import fit
from sspe.evaluation.measures import RANKS, measure_localization, row
from sspe.evaluation.probabilities import shares_below
from sspe.evaluation.progress import Progress, without_progress
from sspe.localizer import Localizer
from sspe.results import PRESENT_THRESHOLD


def evaluate_localization(
    localizer: Localizer,
    photos: Sequence[AnnotatedPhoto],
    *,
    absent: bool = True,
    cross_fit: bool = False,
    full_size: Collection[str] = (),
    seen_heads: Collection[str] = (),
    results: Callable[[Sequence[PhraseResult]], object] | None = None,
    progress: Progress = without_progress,
) -> dict:
    """Localize every annotated phrase of the photos and measure; `sspe evaluate localization` from Python.

    Args:
        localizer: what is measured. Its proposals of the photos are kept in the cache folder.
        photos: as :func:`sspe.data.open_dataset` gives them.
        absent: measure "present" as well, for which as many phrases that the photos do not show are asked for; without
            effect on a localizer that is not calibrated.
        cross_fit: judge "confidence" and "present" as fitted on the other four fifths of these photos: for the photos
            that the checkpoint's own were fitted on.
        full_size: ids of the photos to be measured apart from the others, under "by_resolution".
        seen_heads: head nouns of the training phrases, see :func:`sspe.evaluation.measures.heads_of`; phrases of other
            heads are measured apart, under "by_head".
        results: called once with the result of every phrase, to save or draw them.
        progress: wraps the photos, as tqdm does.

    Returns:
        Rates in 0..1, see :func:`sspe.evaluation.measures.measure_localization`.

    Raises:
        SspeError: the localizer is not calibrated, and ``cross_fit`` is asked for.
        DataError: no phrase has a box, or the photos are too few to cross-fit.
        PhotoError: a photo cannot be opened.
    """
    model = localizer.model
    calibrated = model.calibration is not None
    if cross_fit and not calibrated:
        raise SspeError("The checkpoint has no probabilities to cross-fit; leave cross-fitting out.")
    store = FeatureStore(model.settings.regions.side, model.settings.proposals, detector=model.detector)
    store.prepare([photo.path for photo in photos], progress)
    chosen = choose_absent(photos) if calibrated and (absent or cross_fit) else None
    found, missing = localize_annotated(model, photos, store, progress, chosen)
    measured = measure_localization(found, missing, full_size, seen_heads)
    if cross_fit:
        measured |= fit(found, missing, model.calibration.bank)[1]
    if results is not None:
        results(found)
    return measured


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    m = measured
    lines = [
        f"{m['phrases']} phrases of {m['photos']} photos; {m['protocol']}",
        f"{'':28}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'bound':>8}{'AP':>8}{'phrases':>9}",
        row("raw ranking", [m[f"recall_at_{k}"] for k in RANKS] + [m["upper_bound"]]),
        row("after NMS at 0.5", [m[f"recall_at_{k}_nms"] for k in RANKS]),
        row("any of the phrase's boxes", [m["recall_at_1_any_box"]]),
        row("without the sentence", [m["recall_at_1_without_sentence"]]),
    ]
    for groups in (m["by_type"], m["by_size"], m["by_resolution"], m["by_head"]):
        for name, group in sorted(
            groups.items(), key=lambda item: -item[1]["phrases"] if groups is m["by_type"] else 0
        ):
            ap = f"{100 * group['average_precision']:8.2f}" if "average_precision" in group else " " * 8
            rates = f"{100 * group['recall_at_1']:8.2f}{'':16}{100 * group['upper_bound']:8.2f}"
            apart = group.get("present_auroc")
            note = "" if apart is None else f"   present AUROC {apart:.3f}"
            lines.append(f"  {name:26}{rates}{ap}{group['phrases']:9}{note}")
    if several := m.get("several"):
        lines.append(
            f"{several['phrases']} phrases with several boxes: F1 of the boxes given {100 * several['boxes_f1']:.2f}, "
            f"R@1 of the merged box {100 * several['recall_at_1_merged']:.2f}, "
            f"of any of them {100 * several['recall_at_1_any_box']:.2f}"
        )
    lines.append(row("floor: whole photo", [m["floor_whole_photo"]]))
    lines.append(row("floor: centred 0.8 box", [m["floor_centred_box"]]))
    lines.append(row("mean IoU of the answers", [m["mean_iou"]]))
    for name in ("confidence", "present"):
        if name in m:
            p = m[name]
            separation = "undefined" if p["auroc"] is None else f"{p['auroc']:.3f}"
            quality = f"ECE {p['ece']:.3f}, Brier {p['brier']:.3f}, AUROC {separation}"
            lines.append(f"{name}: {quality} over {p['count']} answers, {100 * p['rate']:.1f} % of them true")
    if "present" in m:
        there, absent = (100 * share for share in shares_below(m["present"], PRESENT_THRESHOLD))
        lines.append(
            f"below the threshold of {PRESENT_THRESHOLD} for present, and so grey: {there:.1f} % of the phrases that "
            f"are there, {absent:.1f} % of those that are not"
        )
    return "\n".join(lines)
