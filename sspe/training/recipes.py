"""Named training settings. ``--recipe NAME`` takes one, ``--set loss.margin=0.2`` changes one value of it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sspe.errors import SspeError
from sspe.settings import (
    NETWORK_KINDS,
    OPTIMISERS,
    REGION_MODES,
    VIEWS,
    EdgeBoxesSettings,
    LossSettings,
    NetworkSettings,
    PhotoSettings,
    RegionSettings,
    RetrievalLossSettings,
    TextSettings,
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run gives, but for the data and the seed."""

    epochs: int = 7
    batch: int = 16  # photos a step; with about 23 regions each, 370 regions against 150 phrases
    sampled_proposals: int = 16  # a photo and step, beside its annotated boxes: all 500 would cost twenty times more
    sampled_near: float = 0.5  # share of them that overlap a phrase's box by refined_iou; the rest are any others
    positive_iou: float = 0.6  # a proposal this near a phrase's box shows the phrase; 1: ground-truth pairs alone
    negative_iou: float = 0.35  # one farther than this shows something else; between the two it counts as neither
    refined_iou: float = 0.4  # a proposal this near a phrase's box learns to be refined onto it
    fine_tune: bool = True  # False: the backbone keeps its ImageNet weights and its features are computed once
    frozen_through: str = "stage2"  # stages up to this one see only edges and colours; "" trains all
    regions_per_phrase: int = 0  # at most so many regions of each distinct phrase, drawn at random; 0 takes all
    mining_epoch: int = 0  # after so many epochs look for hard negatives and train on with them; 0 never does
    mined: int = 8  # hard negatives kept a photo, among its sampled proposals
    optimiser: str = "adamw"  # or "sgd", the paper's
    momentum: float = 0.9  # of "sgd"
    backbone_lr: float = 1e-4
    branch_lr: float = 3e-4
    weight_decay: float = 0.01
    decay_every: int = 0  # epochs after which the learning rate falls to a tenth, again and again; 0: see warm_up
    warm_up: float = 0.1  # share of the steps in which the learning rate rises; then it falls as a cosine
    calibrated: bool = True  # fit the probabilities on val; False ranks by score alone and measures that, as the paper
    alone: float = 0.4  # share of the phrases that are shown without their sentence, as a search would ask for them
    flip: bool = True  # mirror half the photos whose phrases speak of neither left nor right
    zoom: float = 0.6  # cut a window of at least this share of width and height from the photo; 1 takes the whole
    colour: float = 0.2  # brightness and contrast change by up to this share
    regions: RegionSettings = field(default_factory=RegionSettings)
    proposals: EdgeBoxesSettings = field(default_factory=EdgeBoxesSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    text: TextSettings = field(default_factory=TextSettings)

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return dataclasses.asdict(self)


# With 20 or 50 hardest negatives and nothing fine-tuned, all regions first fall into one point, and all phrases into
# another; some runs never leave it.
_MANY_NEGATIVES = LossSettings(top_k=100)

RECIPES: dict[str, Recipe] = {
    # The shipped checkpoint, in a good hour on two cores: the backbone is fine-tuned through RoIAlign.
    "default": Recipe(),
    # The same in some forty minutes on two idle cores.
    "short": Recipe(epochs=4),
    # Frozen ImageNet features, computed once: minutes instead of an hour, for trying out the embedding.
    "frozen": Recipe(
        epochs=12,
        batch=64,
        fine_tune=False,
        branch_lr=1e-3,
        flip=False,
        zoom=1.0,
        colour=0.0,
        regions=RegionSettings(surroundings=0),
        proposals=EdgeBoxesSettings(count=200),
        loss=_MANY_NEGATIVES,
    ),
    # One short schedule for every row of benchmarks/ablation.py: frozen features, the paper's objective and nothing
    # beyond it (phrases read alone, no geometry, no refinement, no term of the own photo's negatives).
    "ablation": Recipe(
        epochs=4,
        batch=32,
        fine_tune=False,
        branch_lr=1e-3,
        alone=1.0,
        flip=False,
        zoom=1.0,
        colour=0.0,
        calibrated=False,
        regions=RegionSettings(surroundings=0, geometry=False),
        proposals=EdgeBoxesSettings(count=200),
        network=NetworkSettings(refiner=0),
        loss=dataclasses.replace(_MANY_NEGATIVES, phrase_anchor=2.0, same_photo=0.0, phrase_structure=0.0),
        text=TextSettings(encoder="hglmm", context=0, head=False),
    ),
    # The paper as it is written, as far as it is known (docs/paper_to_code.md says what is remembered only).
    "paper": Recipe(
        epochs=30,
        batch=150,  # photos; with ten pairs each the 1,500 pairs of the paper
        regions_per_phrase=10,
        positive_iou=0.7,
        negative_iou=0.3,
        fine_tune=False,
        optimiser="sgd",
        branch_lr=0.1,
        weight_decay=5e-4,
        decay_every=10,
        alone=1.0,
        flip=False,
        zoom=1.0,
        colour=0.0,
        calibrated=False,
        regions=RegionSettings(backbone="vgg16", side=448, surroundings=0, geometry=False),
        proposals=EdgeBoxesSettings(count=200, size=256, alpha=0.65, beta=0.65, min_score=0.01),
        network=NetworkSettings(refiner=0),
        loss=LossSettings(
            phrase_anchor=2.0, region_structure=0.1, phrase_structure=0.2, same_photo=0.0, top_k=50, refinement=0.0
        ),
        text=TextSettings(encoder="hglmm", context=0, head=False, pca=6000),
    ),
    # Drawn scenes hold few kinds of things, drawn large: small pictures and four epochs are enough.
    "synthetic": Recipe(
        epochs=4,
        batch=8,
        backbone_lr=3e-4,
        branch_lr=1e-3,
        zoom=1.0,
        colour=0.0,
        regions=RegionSettings(side=224),
        proposals=EdgeBoxesSettings(count=100),
    ),
}


def recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe ``name`` with ``changes`` like "epochs=3" or "loss.margin=0.2" made.

    Raises SspeError naming what exists when the recipe, a key or a value is not understood.
    """
    if name not in RECIPES:
        raise SspeError(f"There is no recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    chosen = changed(RECIPES[name], changes)
    _check(chosen)
    return chosen


def changed(settings: Any, changes: Sequence[str]) -> Any:
    """Settings with changes like "epochs=3" or "loss.margin=0.2" made. Raises SspeError for what is not understood."""
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign:
            raise SspeError(f"--set takes key=value, for example loss.margin=0.2, and got {change!r}.")
        settings = _changed(settings, key.strip().split("."), value.strip(), key.strip())
    return settings


def _changed(settings: Any, path: list[str], value: str, key: str) -> Any:
    names = {f.name for f in dataclasses.fields(settings)}
    if path[0] not in names:
        raise SspeError(f"There is no setting {key!r}; {path[0]!r} must be one of {', '.join(sorted(names))}.")
    old = getattr(settings, path[0])
    if dataclasses.is_dataclass(old):
        if len(path) == 1:
            inner = ", ".join(f"{key}.{f.name}" for f in dataclasses.fields(old))
            raise SspeError(f"{key!r} is a group of settings; set one of {inner}.")
        return dataclasses.replace(settings, **{path[0]: _changed(old, path[1:], value, key)})
    if len(path) > 1:
        raise SspeError(f"There is no setting {key!r}; {path[0]!r} holds a single value.")
    return dataclasses.replace(settings, **{path[0]: _parsed(value, old, key)})


def _parsed(value: str, old: Any, key: str) -> Any:
    """``value`` as the type the setting has now."""
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if isinstance(old, int):
            return int(value)
        if isinstance(old, float):
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(value)
            return number
        if isinstance(old, tuple):
            return tuple(part for part in value.split(",") if part)
        return None if value.lower() == "none" else value
    except (KeyError, ValueError):
        kind = {bool: "neither true nor false", int: "no whole number"}.get(type(old), "no number")
        raise SspeError(f"The setting {key} is {json.dumps(old)} so far, and {value!r} is {kind}.") from None


def _check(r: Recipe) -> None:
    """Raise SspeError for the first value that no training run could use."""
    counts = """
        epochs batch mined regions.side regions.window regions.crop proposals.count proposals.size
        network.embedding network.judge loss.top_k loss.same_photo_top_k text.vocabulary text.centres text.pca
    """
    not_negative = """
        sampled_proposals backbone_lr branch_lr weight_decay loss.margin loss.refinement network.refiner
        regions.surroundings regions.margin text.context network.hidden regions_per_phrase mining_epoch decay_every
        loss.region_anchor loss.phrase_anchor loss.region_structure loss.phrase_structure loss.same_photo
    """
    shares = "alone sampled_near positive_iou negative_iou refined_iou warm_up zoom colour momentum network.dropout"
    check_ranges(r, counts, not_negative, shares)
    if r.negative_iou > r.positive_iou:
        raise SspeError(
            f"The setting negative_iou is {r.negative_iou} and positive_iou is {r.positive_iou}; a proposal cannot be "
            "both far and near, so make negative_iou the smaller one."
        )
    check_choices(r, {"regions.mode": REGION_MODES, "network.kind": NETWORK_KINDS, "optimiser": OPTIMISERS})
    if r.fine_tune and r.mining_epoch:
        raise SspeError("Hard negatives are looked for among frozen features; set fine_tune=false or mining_epoch=0.")
    if r.network.kind == "cca" and (r.fine_tune or r.network.refiner):
        raise SspeError(
            "Canonical correlation analysis is fitted on frozen features and refines no box; with network.kind=cca "
            "set fine_tune=false and network.refiner=0."
        )
    if r.regions.surroundings and not (r.fine_tune and r.regions.mode == "roi"):
        raise SspeError(
            "The surroundings of a region are learnt with the backbone's map: with fine_tune=false or "
            "regions.mode=crops set regions.surroundings=0."
        )


def check_ranges(settings: Any, counts: str, not_negative: str, shares: str) -> None:
    """Raise SspeError where one of the keys, listed as words, is out of range: from 1, from 0, from 0 to 1."""
    for keys, least, most in ((counts, 1, math.inf), (not_negative, 0, math.inf), (shares, 0, 1)):
        for key in keys.split():
            value = _value(settings, key)
            if not least <= value <= most:
                limit = f"from {least} to {most}" if most < math.inf else f"at least {least}"
                raise SspeError(f"The setting {key} is {value}; it must be {limit}.")


def check_choices(settings: Any, known: dict[str, Sequence[str]]) -> None:
    """Raise SspeError where the value of a key is none of those known."""
    for key, names in known.items():
        if _value(settings, key) not in names:
            raise SspeError(f"The setting {key} is {_value(settings, key)!r}; choose one of {', '.join(names)}.")


def _value(settings: Any, key: str) -> Any:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


_KINDS = ("embedding", "cca")  # a similarity network would have to judge every photo with every sentence


@dataclass(frozen=True)
class RetrievalRecipe:
    """Everything that decides what a training run gives, but for the data and the seed.

    First the branches learn alone, on features of the ImageNet backbone that are computed once: seconds an epoch. Then
    everything is trained together, on photos that look different every time.
    """

    frozen_epochs: int = 8  # of the branches alone
    frozen_batch: int = 128  # photos a step: features are cheap, and a larger batch holds harder negatives
    frozen_lr: float = 1e-3
    epochs: int = 8  # of everything; 0 leaves the backbone as it is
    batch: int = 64  # photos a step
    backbone_lr: float = 1e-4
    branch_lr: float = 3e-4
    frozen_through: str = "stage2"  # stages up to this one see only edges and colours; "" trains all
    sentences: int = 2  # of each photo and step, drawn from its five; (4) needs at least two
    weight_decay: float = 0.01
    warm_up: float = 0.1  # share of the steps in which the learning rate rises; then it falls as a cosine
    flip: bool = True  # mirror half the photos whose sentences speak of neither left nor right
    zoom: float = 0.65  # cut a window of at least this share of width and height from the photo; 1 takes the whole
    colour: float = 0.2  # brightness and contrast change by up to this share
    photos: PhotoSettings = field(default_factory=PhotoSettings)
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(refiner=0))
    loss: RetrievalLossSettings = field(default_factory=RetrievalLossSettings)
    # MiniLM's own training included Flickr30K and COCO captions, see sspe.text.minilm; with text.encoder=mean+tfidf
    # nothing has seen the captions of val and test.
    text: TextSettings = field(default_factory=lambda: TextSettings("minilm+mean+tfidf", context=0, head=False))

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return dataclasses.asdict(self)


RETRIEVAL_RECIPES: dict[str, RetrievalRecipe] = {
    # The backbone is fine-tuned end to end.
    "retrieval": RetrievalRecipe(),
    # The branches alone on frozen ImageNet features: a minute, once the features are there.
    "retrieval-frozen": RetrievalRecipe(frozen_epochs=24, epochs=0),
}


def retrieval_recipe(name: str, changes: Sequence[str] = ()) -> RetrievalRecipe:
    """The recipe ``name`` with ``changes`` like "epochs=3" or "loss.margin=0.2" made.

    Raises SspeError naming what exists when the recipe, a key or a value is not understood.
    """
    if name not in RETRIEVAL_RECIPES:
        raise SspeError(f"There is no recipe {name!r} of retrieval; choose one of {', '.join(RETRIEVAL_RECIPES)}.")
    chosen = changed(RETRIEVAL_RECIPES[name], changes)
    _check_retrieval(chosen)
    return chosen


def _check_retrieval(r: RetrievalRecipe) -> None:
    """Raise SspeError for the first value that no training run could use."""
    check_ranges(
        r,
        counts="""
            sentences photos.side network.embedding loss.top_k text.vocabulary text.centres text.pca
        """,
        not_negative="""
            frozen_epochs epochs frozen_lr backbone_lr branch_lr weight_decay network.hidden loss.margin
            loss.photo_anchor loss.sentence_anchor loss.photo_structure loss.sentence_structure
        """,
        shares="warm_up zoom colour network.dropout",
    )
    for key in ("frozen_batch", "batch"):
        if getattr(r, key) < 2:
            raise SspeError(
                f"The setting {key} is {getattr(r, key)}; a step compares photos, so it must be at least 2."
            )
    check_choices(r, {"network.kind": _KINDS, "photos.views": VIEWS})
    if not r.frozen_epochs + r.epochs:
        raise SspeError("The settings frozen_epochs and epochs are both 0; nothing would be trained.")
    if r.network.refiner or r.text.context:
        raise SspeError(
            "A whole photo has no box and a whole sentence no context: set network.refiner=0, text.context=0."
        )
    if r.network.kind == "cca" and r.epochs:
        raise SspeError(
            "Canonical correlation analysis is fitted on frozen features; with network.kind=cca set epochs=0."
        )
    if r.loss.sentence_structure and r.sentences < 2:
        raise SspeError(
            "The structure of sentences needs two of each photo: set sentences=2 or loss.sentence_structure=0."
        )
    if r.epochs and r.photos.views == "crops":
        raise SspeError("Ten crops are not fine-tuned: set epochs=0, or photos.views=mirror.")
