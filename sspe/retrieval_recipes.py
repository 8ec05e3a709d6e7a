"""Named training settings of ``--task retrieval``, as :mod:`sspe.recipes` has them for localization."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from sspe.errors import SspeError
from sspe.recipes import changed, check_choices, check_ranges
from sspe.settings import VIEWS, MatchingLossSettings, NetworkSettings, PhotoSettings, TextSettings

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
    frozen_stages: int = 4  # of the map: stem, its activation and the first two stages see only edges and colours
    sentences: int = 2  # of each photo and step, drawn from its five; (4) needs at least two
    weight_decay: float = 0.01
    warm_up: float = 0.1  # share of the steps in which the learning rate rises; then it falls as a cosine
    flip: bool = True  # mirror half the photos whose sentences speak of neither left nor right
    zoom: float = 0.65  # cut a window of at least this share of width and height from the photo; 1 takes the whole
    colour: float = 0.2  # brightness and contrast change by up to this share
    photos: PhotoSettings = field(default_factory=PhotoSettings)
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(refiner=0))
    loss: MatchingLossSettings = field(default_factory=MatchingLossSettings)
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
    _check(chosen)
    return chosen


def _check(r: RetrievalRecipe) -> None:
    """Raise SspeError for the first value that no training run could use."""
    check_ranges(
        r,
        counts="""
            sentences photos.side network.embedding loss.top_k text.vocabulary text.centres text.pca
        """,
        not_negative="""
            frozen_epochs epochs frozen_lr backbone_lr branch_lr frozen_stages weight_decay network.hidden loss.margin
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
