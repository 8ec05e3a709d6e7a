"""Named training settings of both tasks: ``--recipe NAME`` takes one, ``--set loss.margin=0.2`` changes a value."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from sspe.errors import SspeError
from sspe.settings import (
    OPTIMISERS,
    DetectorSettings,
    EdgeBoxesSettings,
    LossSettings,
    NetworkSettings,
    PhotoSettings,
    RegionSettings,
    RetrievalLossSettings,
    TextSettings,
    changed,
    check,
    setting,
)


@dataclass(frozen=True)
class _Recipe:
    """What the recipes of both tasks are beside their settings: ``name`` and ``summary`` are for people to read."""

    name: str = field(default="own", compare=False)
    summary: str = field(default="", compare=False)

    def as_dict(self) -> dict:
        """The settings as nested JSON-like values."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in ("name", "summary")}


@dataclass(frozen=True)
class LocalizationRecipe(_Recipe):
    """Everything that decides what training for phrase localization gives, but for the data and the seed."""

    epochs: int = setting(7, "passes over the training photos", at_least=1)
    # With about 23 regions each, 370 regions against 150 phrases.
    batch: int = setting(16, "photos per step", at_least=1)
    # All 500 proposals of a photo would cost twenty times more.
    sampled_proposals: int = setting(16, "proposals per photo and step, beside its annotated boxes", at_least=0)
    sampled_near: float = setting(
        0.5, "share of them that overlap a phrase's box by refined_iou or more", at_least=0, at_most=1
    )
    positive_iou: float = setting(
        0.6, "a proposal this near a phrase's box shows the phrase; 1: ground-truth pairs alone", at_least=0, at_most=1
    )
    negative_iou: float = setting(
        0.35, "one farther than this shows something else; between the two it is neither", at_least=0, at_most=1
    )
    refined_iou: float = setting(
        0.4, "a proposal this near a phrase's box learns to be refined onto it", at_least=0, at_most=1
    )
    fine_tune: bool = setting(True, "false: the backbone keeps its ImageNet weights, its features are computed once")
    # The first stages see only edges and colours.
    frozen_through: str | None = setting("stage2", "last stage of the backbone that keeps its weights; none: all learn")
    regions_per_phrase: int = setting(0, "most regions per distinct phrase, drawn at random; 0: all", at_least=0)
    mining_epoch: int = setting(0, "epochs before hard negatives are looked for; 0: never", at_least=0)
    mined: int = setting(8, "hard negatives per photo, among its sampled proposals", at_least=1)
    optimiser: str = setting("adamw", "sgd is the paper's", choices=OPTIMISERS)
    momentum: float = setting(0.9, 'of "sgd"', at_least=0, at_most=1)
    backbone_lr: float = setting(1e-4, "learning rate of the backbone", at_least=0)
    branch_lr: float = setting(3e-4, "learning rate of everything else", at_least=0)
    weight_decay: float = setting(0.01, "of the optimiser", at_least=0)
    decay_every: int = setting(0, "epochs after which learning rates fall to a tenth; 0: see warm_up", at_least=0)
    warm_up: float = setting(
        0.1, "share of the steps in which learning rates rise; then they fall as a cosine", at_least=0, at_most=1
    )
    nouns: int = setting(
        0,
        "learn so many head nouns of the phrases, as a detector's head does, and no embedding; 0: the embedding",
        at_least=0,
    )
    calibrated: bool = setting(True, "fit the probabilities on val; false: measure by score alone, as the paper does")
    alone: float = setting(
        0.4, "share of the phrases shown without their sentence, as a search asks for them", at_least=0, at_most=1
    )
    bare: float = setting(
        0.0, "share of the phrases shown as their head noun alone, which may be any such thing", at_least=0, at_most=1
    )
    unread: float = setting(
        0.0,
        "share of the phrases shown without the last of several word vectors: words it lacks",
        at_least=0,
        at_most=1,
    )
    unseen: float = setting(
        0.0,
        "share of the numbers of frozen features set to 0 at random: photos are less known by heart",
        at_least=0,
        at_most=0.9,
    )
    things: int = setting(0, "detected things per photo and step, shown by their names", at_least=0)
    sure_thing: float = setting(0.5, "least score of a detected thing that is shown", at_least=0, at_most=1)
    flip: bool = setting(True, "mirror half the photos whose sentences say neither left nor right")
    zoom: float = setting(0.6, "least share of width and height in a window cut from the photo", at_least=0, at_most=1)
    colour: float = setting(0.2, "brightness and contrast change by up to this share", at_least=0, at_most=1)
    regions: RegionSettings = field(default_factory=RegionSettings)
    proposals: EdgeBoxesSettings = field(default_factory=EdgeBoxesSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    text: TextSettings = field(default_factory=TextSettings)

    @property
    def reads(self) -> tuple:
        """The settings that :class:`sspe.training.localization_data.LocalizationData` depends on."""
        shown = (self.regions_per_phrase, self.bare > 0, self.things > 0)
        return self.text, self.proposals, self.detector, self.regions.side, self.fine_tune, *shown

    def check(self) -> None:
        """Raise SspeError for the first value, or two together, that no training run could use."""
        check(self)
        if self.negative_iou > self.positive_iou:
            raise SspeError(
                f"The setting negative_iou is {self.negative_iou} and positive_iou is {self.positive_iou}; a proposal "
                "cannot be both far and near, so make negative_iou the smaller one."
            )
        if self.fine_tune and self.mining_epoch:
            raise SspeError(
                "Hard negatives are looked for among frozen features; set fine_tune=false or mining_epoch=0."
            )
        if self.network.kind == "cca" and (self.fine_tune or self.network.refiner):
            raise SspeError(
                "Canonical correlation analysis is fitted on frozen features and refines no box; with network.kind=cca "
                "set fine_tune=false and network.refiner=0."
            )
        if self.nouns and not self.fine_tune:
            raise SspeError("Head nouns are learnt by the backbone: set fine_tune=true, or nouns=0.")
        if self.regions.surroundings and self.regions.mode != "roi":
            raise SspeError("Crops have no surroundings: with regions.mode=crops set regions.surroundings=0.")
        if self.things and not self.detector.boxes:
            raise SspeError("Things are shown by name where a detector finds them: set detector.boxes, or things=0.")
        if self.fine_tune and self.unseen:
            raise SspeError("Numbers of frozen features are left out: set fine_tune=false, or unseen=0.")
        if self.fine_tune and self.regions.mode == "crops":
            raise SspeError("Crops are not fine-tuned: set fine_tune=false, or regions.mode=roi.")


@dataclass(frozen=True)
class RetrievalRecipe(_Recipe):
    """Everything that decides what training for image-sentence retrieval gives, but for the data and the seed.

    First the branches learn alone, on features of the ImageNet backbone that are computed once: seconds per epoch. Then
    everything is trained together, on photos that look different every time.
    """

    frozen_epochs: int = setting(8, "epochs of the branches alone", at_least=0)
    # Features are cheap, and a larger batch holds harder negatives.
    frozen_batch: int = setting(128, "photos per step of those epochs", at_least=2)
    frozen_lr: float = setting(1e-3, "learning rate of the branches in those epochs", at_least=0)
    epochs: int = setting(8, "epochs of everything; 0: the backbone stays as it is", at_least=0)
    batch: int = setting(64, "photos per step", at_least=2)
    backbone_lr: float = setting(1e-4, "learning rate of the backbone", at_least=0)
    branch_lr: float = setting(3e-4, "learning rate of the branches, trained with the backbone", at_least=0)
    # The first stages see only edges and colours.
    frozen_through: str | None = setting("stage2", "last stage of the backbone that keeps its weights; none: all learn")
    sentences: int = setting(2, "sentences per photo and step, drawn from its five; (4) needs two", at_least=1)
    optimiser: str = setting("adamw", "sgd is the paper's", choices=OPTIMISERS)
    momentum: float = setting(0.9, 'of "sgd"', at_least=0, at_most=1)
    weight_decay: float = setting(0.01, "of the optimiser", at_least=0)
    decay_every: int = setting(0, "epochs after which learning rates fall to a tenth; 0: see warm_up", at_least=0)
    warm_up: float = setting(
        0.1, "share of the steps in which learning rates rise; then they fall as a cosine", at_least=0, at_most=1
    )
    flip: bool = setting(True, "mirror half the photos whose sentences say neither left nor right")
    zoom: float = setting(0.65, "least share of width and height in a window cut from the photo", at_least=0, at_most=1)
    colour: float = setting(0.2, "brightness and contrast change by up to this share", at_least=0, at_most=1)
    photos: PhotoSettings = field(default_factory=PhotoSettings)
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(refiner=0))
    loss: RetrievalLossSettings = field(default_factory=RetrievalLossSettings)
    # MiniLM's own training included Flickr30K and COCO captions, see sspe.text.minilm; with text.encoder=mean+tfidf
    # nothing has seen the captions of val and test.
    text: TextSettings = field(default_factory=lambda: TextSettings("minilm+mean+tfidf", context=0, head=False))

    @property
    def reads(self) -> tuple:
        """The settings that :class:`sspe.training.retrieval_data.RetrievalData` depends on."""
        return (self.text,)

    def check(self) -> None:
        """Raise SspeError for the first value, or two together, that no training run could use."""
        if self.network.kind not in ("embedding", "cca"):  # "similarity" would have to judge every pair of a test set
            raise SspeError(f"The setting network.kind is {self.network.kind!r}; choose one of embedding, cca.")
        check(self)
        if not self.frozen_epochs + self.epochs:
            raise SspeError("The settings frozen_epochs and epochs are both 0; nothing would be trained.")
        if self.network.refiner or self.text.context:
            raise SspeError(
                "A whole photo has no box and a whole sentence no context: set network.refiner=0, text.context=0."
            )
        if self.network.kind == "cca" and (self.epochs or not self.frozen_epochs):
            raise SspeError(
                "Canonical correlation analysis is fitted on frozen features; with network.kind=cca set epochs=0 and "
                "frozen_epochs=1."
            )
        if self.loss.sentence_structure and self.sentences < 2:
            raise SspeError(
                "The structure of sentences needs two of each photo: set sentences=2 or loss.sentence_structure=0."
            )
        if self.epochs and self.photos.views == "crops":
            raise SspeError("Ten crops are not fine-tuned: set epochs=0, or photos.views=mirror.")


Recipe = LocalizationRecipe | RetrievalRecipe

# With 20 or 50 hardest negatives and nothing fine-tuned, all regions first fall into one point, and all phrases into
# another; some runs never leave it.
_MANY_NEGATIVES = LossSettings(top_k=100)

_PAPERS_PHOTOS = PhotoSettings(backbone="vgg19", side=224, views="crops")
# What the paper's two tasks share.
_PAPERS_DESCENT = {"optimiser": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "decay_every": 10}
_PAPERS_TEXT = TextSettings(encoder="hglmm", context=0, head=False, pca=6000)

_LOCALIZATION = (
    LocalizationRecipe("default", "fine-tune the backbone through RoIAlign: the shipped checkpoint"),
    LocalizationRecipe("short", "the same in four epochs", epochs=4),
    LocalizationRecipe(
        "names",
        "after `default`, with --start from its checkpoint: a detector beside Edge Boxes, bare nouns, rare words",
        epochs=8,
        batch=32,
        sampled_proposals=56,
        fine_tune=False,
        unseen=0.1,
        bare=0.15,
        unread=0.15,
        things=3,
        sure_thing=0.4,
        flip=False,
        zoom=1.0,
        colour=0.0,
        proposals=EdgeBoxesSettings(count=200),
        detector=DetectorSettings(boxes=30),
        loss=LossSettings(same_photo=3.0, same_photo_top_k=10),
        text=TextSettings(articles=False, common=400_000),  # all of GloVe
    ),
    LocalizationRecipe(
        "frozen",
        "ImageNet features computed once: minutes instead of an hour, for trying out the embedding",
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
    LocalizationRecipe(
        "region-features",
        "what stands in for the paper's detector: a backbone that names regions, for --start and the ablation",
        nouns=1000,
        epochs=1,
        sampled_proposals=12,
        negative_iou=0.5,
        frozen_through="stage5",  # the head learns, the map keeps its ImageNet weights: a third of the time
        branch_lr=1e-3,
        backbone_lr=3e-4,
        warm_up=0.1,
        alone=1.0,
        zoom=1.0,
        colour=0.0,
        calibrated=False,
        regions=RegionSettings(surroundings=0, geometry=False),
        proposals=EdgeBoxesSettings(count=200),
        detector=DetectorSettings(boxes=30),
        network=NetworkSettings(refiner=0),
        text=TextSettings(encoder="tfidf", context=0, head=False),
    ),
    # The paper's objective and nothing beyond it: phrases read alone, no geometry, no refinement, no term of the own
    # photo's negatives.
    LocalizationRecipe(
        "ablation",
        "the short schedule of every row of benchmarks/ablation.py, on the region features",
        epochs=4,
        batch=64,
        sampled_proposals=8,
        regions_per_phrase=10,
        fine_tune=False,
        branch_lr=1e-3,
        alone=1.0,
        flip=False,
        zoom=1.0,
        colour=0.0,
        calibrated=False,
        regions=RegionSettings(surroundings=0, geometry=False),
        proposals=EdgeBoxesSettings(count=200),
        network=NetworkSettings(hidden=512, embedding=128, refiner=0),
        loss=LossSettings(phrase_anchor=2.0, same_photo=0.0, phrase_structure=0.0, top_k=50),
        text=TextSettings(context=0, head=False, pca=300),
    ),
    LocalizationRecipe(
        "paper",
        "the paper as it is written, as far as it is known (docs/paper_to_code.md)",
        epochs=30,
        batch=150,  # photos; with ten pairs each the 1,500 pairs of the paper
        regions_per_phrase=10,
        positive_iou=0.7,
        negative_iou=0.3,
        fine_tune=False,
        branch_lr=0.1,
        **_PAPERS_DESCENT,
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
        text=_PAPERS_TEXT,
    ),
    LocalizationRecipe(
        "synthetic",
        "small pictures and four epochs: drawn scenes hold few kinds of things, drawn large",
        epochs=4,
        batch=8,
        backbone_lr=3e-4,
        branch_lr=1e-3,
        zoom=1.0,
        colour=0.0,
        regions=RegionSettings(side=224),
        proposals=EdgeBoxesSettings(count=100),
    ),
)
_RETRIEVAL = (
    RetrievalRecipe("retrieval", "the branches first, then everything, the backbone fine-tuned end to end"),
    RetrievalRecipe(
        "retrieval-frozen",
        "the branches alone on ImageNet features: a minute, once the features are computed",
        frozen_epochs=24,
        epochs=0,
    ),
    RetrievalRecipe(
        "paper",
        "the paper as it is written, as far as it is known (docs/paper_to_code.md)",
        frozen_epochs=30,
        frozen_batch=300,  # photos; with five sentences each the 1,500 pairs of the paper
        frozen_lr=0.1,
        epochs=0,
        sentences=5,
        **_PAPERS_DESCENT,
        photos=_PAPERS_PHOTOS,
        loss=RetrievalLossSettings(
            margin=0.1, photo_anchor=1.0, sentence_anchor=2.0, photo_structure=0.1, sentence_structure=0.2, top_k=50
        ),
        text=_PAPERS_TEXT,
    ),
    RetrievalRecipe(
        "released",
        "the code that the authors released, which is that of the journal version",
        frozen_epochs=20,
        frozen_batch=500,
        frozen_lr=1e-4,
        epochs=0,
        sentences=2,
        weight_decay=0.0,  # so it is Adam
        decay_every=20,  # never: its decay of the learning rate is built and not used
        photos=_PAPERS_PHOTOS,
        loss=RetrievalLossSettings(
            margin=0.05,
            photo_anchor=1.0,
            sentence_anchor=1.5,
            photo_structure=0.0,
            sentence_structure=0.05,
            top_k=10,
            farthest=True,
        ),
        text=_PAPERS_TEXT,
    ),
)
RECIPES: dict[str, dict[str, Recipe]] = {
    task: {made.name: made for made in recipes}
    for task, recipes in (("localization", _LOCALIZATION), ("retrieval", _RETRIEVAL))
}  # by task and name; the first of a task is its default


def recipe(name: str, changes: Sequence[str] = (), task: str = "localization") -> Recipe:
    """The recipe of a task with ``changes`` like "epochs=3" or "loss.margin=0.2" made.

    Raises SspeError naming what exists when the recipe, a key or a value is not understood.
    """
    if name not in RECIPES[task]:
        raise SspeError(f"There is no recipe {name!r} for {task}; choose one of {', '.join(RECIPES[task])}.")
    made = changed(RECIPES[task][name], changes)
    made.check()
    return made
