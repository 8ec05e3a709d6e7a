"""Every knob of the model and its training, in one place, with the reason beside it. Light to import."""

from dataclasses import asdict, dataclass, field

REGION_MODES = ("roi", "crops")
NETWORK_KINDS = ("embedding", "similarity", "cca")
OPTIMISERS = ("adamw", "sgd")
VIEWS = ("one", "mirror", "crops")
INCOMPLETE = ("refuse", "skip")  # what to do about photos whose captions are incomplete


@dataclass(frozen=True)
class EdgeBoxesSettings:
    """How proposals are made. The names in the second half are OpenCV's; ``beta`` and ``eta`` are the NMS of the paper.

    ``size`` is the side, in pixels, of the square the photo is squeezed into: small sizes are both faster and, on
    Flickr30K Entities, better, because the thin contours of textures vanish. ``count`` includes the whole photo.
    """

    count: int = 500
    size: int = 192
    forest: str | None = None
    alpha: float = 0.55
    beta: float = 0.60
    eta: float = 1.0
    min_score: float = 0.005
    edge_min_mag: float = 0.1
    edge_merge_threshold: float = 0.5
    cluster_min_mag: float = 0.5
    max_aspect_ratio: float = 4.0
    min_box_area: float = 200.0
    gamma: float = 2.0
    kappa: float = 1.5

    def as_dict(self) -> dict:
        """All settings as JSON-like values, for cache keys and checkpoints."""
        return asdict(self)


@dataclass(frozen=True)
class RegionSettings:
    """How regions become vectors.

    Attributes:
        backbone: a name of :data:`sspe.vision.backbones.BACKBONES`.
        weights: what training starts from: None is the published ImageNet weights; "timm", timm's own of
            EfficientNet-Lite, downloaded; a path, a file of weights for the backbone; "random", for trying the
            machinery out.
        mode: "roi" runs the backbone's map once a photo and RoIAlign per box (fast); "crops" cuts every box from the
            photo and runs the whole backbone on it (slow, the R-CNN way).
        side: pixels; the photo is squeezed to side x side before the map.
        window: RoIAlign output, window x window cells of the map.
        crop: pixels; side of a crop in mode "crops".
        surroundings: append so many numbers that describe the box together with what lies around it: whether a box is
            tight shows at its edges and beyond them. 0 leaves them out; only mode "roi" has them.
        margin: how far the surroundings reach, as a share of the box's width and height on every side.
        geometry: append x1/W, y1/H, x2/W, y2/H and area share to every vector.
    """

    backbone: str = "efficientnet_lite0"
    weights: str | None = None
    mode: str = "roi"
    side: int = 320
    window: int = 7
    crop: int = 112
    surroundings: int = 256
    margin: float = 0.25
    geometry: bool = True


@dataclass(frozen=True)
class PhotoSettings:
    """How a whole photo becomes a vector, where photos and sentences are matched.

    Attributes:
        backbone, weights: as in :class:`RegionSettings`.
        side: pixels; the photo is squeezed to side x side.
        views: what the vector is the mean of: "one", the photo; "mirror", the photo and its mirror image; "crops", the
            paper's ten crops of side x side, without squeezing: 224 pixels in the paper.
    """

    backbone: str = "efficientnet_lite2"
    weights: str | None = None
    side: int = 256
    views: str = "mirror"


@dataclass(frozen=True)
class TextSettings:
    """The text side.

    Attributes:
        encoder: a name of :func:`sspe.text.encoders.text_encoders`, or several joined by "+", side by side.
        vectors: tables of word vectors: "glove" is the packaged GloVe 6B 50-d, anything else a file in the GloVe or
            the word2vec format. "mean" reads all of them side by side, "hglmm" takes one.
        head: of "mean", the head word's vector beside the mean.
        context: words of the sentence read on either side of the phrase; 0 reads the phrase alone.
        vocabulary: of "tfidf", vocabulary size: the most frequent training words.
        centres: of "hglmm", K, the mixture's components; 30 in the paper.
        pca: of "hglmm", numbers that the PCA leaves; 6,000 in the paper, where the map from 18,000 to them alone takes
            216 MB in a checkpoint.
    """

    encoder: str = "mean"
    vectors: tuple[str, ...] = ("glove",)
    head: bool = True
    context: int = 5
    vocabulary: int = 3000
    centres: int = 30
    pca: int = 1000


@dataclass(frozen=True)
class NetworkSettings:
    """The network that compares regions and phrases; its sizes 2048 and 512 are the paper's.

    Attributes:
        kind: "embedding" is the two-branch network; "similarity" adds the similarity network of the journal version on
            top; "cca" is canonical correlation analysis, which is fitted and not trained.
        hidden: size of a branch's hidden layer; 0 leaves it out, which makes the branch linear.
        embedding: E, size of the common space; at most so many canonical directions.
        dropout: after the hidden layer.
        refiner: hidden size of the box refinement; 0 leaves it out, and the proposals are the answers.
        judge: of "similarity", hidden size of what judges a pair.
    """

    kind: str = "embedding"
    hidden: int = 2048
    embedding: int = 512
    dropout: float = 0.5
    refiner: int = 512
    judge: int = 512


@dataclass(frozen=True)
class LossSettings:
    """Margin, weights and mining.

    Attributes:
        margin: m of the equations, in units of distance between unit vectors (0..2).
        region_anchor: weight of (1), region anchor and phrases; 1 in the paper.
        phrase_anchor: lambda 1, weight of (2), phrase anchor and regions.
        region_structure: lambda 2, weight of (3), regions that share a phrase stay near each other.
        phrase_structure: lambda 3, weight of (4), phrases that share a region stay near each other.
        same_photo: weight of the part of (2) whose negatives come from the phrase's own photo: the very choice
            that localization makes later.
        top_k: triplets kept per positive pair, the most violating ones; K of the paper.
        same_photo_top_k: the same for the own photo's negatives.
        refinement: weight of the box refinement's loss, beside the embedding's.
    """

    margin: float = 0.1
    region_anchor: float = 1.0
    phrase_anchor: float = 1.0
    region_structure: float = 0.0
    phrase_structure: float = 0.1
    same_photo: float = 1.0
    top_k: int = 20
    same_photo_top_k: int = 5
    refinement: float = 2.0


@dataclass(frozen=True)
class RetrievalLossSettings:
    """Margin, weights and mining where photos and sentences are matched: the same loss with photos for regions.

    Attributes:
        margin: m of the equations, in units of distance between unit vectors (0..2).
        photo_anchor: weight of (1), photo anchor and sentences.
        sentence_anchor: lambda 1, weight of (2), sentence anchor and photos. With either of the two 0 the loss is
            one-directional.
        photo_structure: lambda 2, weight of (3), photos that share a sentence stay near each other: only photos that
            were described in the same words do.
        sentence_structure: lambda 3, weight of (4), sentences of one photo stay near each other.
        top_k: triplets kept per positive pair, the most violating ones; K of the paper.
    """

    margin: float = 0.1
    photo_anchor: float = 1.5
    sentence_anchor: float = 1.0
    photo_structure: float = 0.0
    sentence_structure: float = 0.1
    top_k: int = 50

    @property
    def terms(self) -> LossSettings:
        """The same as :mod:`sspe.models.losses` names it: its regions are photos, its phrases sentences."""
        return LossSettings(
            margin=self.margin,
            region_anchor=self.photo_anchor,
            phrase_anchor=self.sentence_anchor,
            region_structure=self.photo_structure,
            phrase_structure=self.sentence_structure,
            same_photo=0.0,
            top_k=self.top_k,
        )


@dataclass(frozen=True)
class LocalizationModelSettings:
    """What a model is built of; travels in the checkpoint."""

    regions: RegionSettings = field(default_factory=RegionSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    proposals: EdgeBoxesSettings = field(default_factory=EdgeBoxesSettings)

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "LocalizationModelSettings":
        """The settings that :meth:`as_dict` described. Raises TypeError or KeyError for anything else."""
        return cls(
            RegionSettings(**values["regions"]),
            NetworkSettings(**values["network"]),
            EdgeBoxesSettings(**values["proposals"]),
        )


@dataclass(frozen=True)
class RetrievalModelSettings:
    """What a model is built of; travels in the checkpoint. The network has no box to refine."""

    photos: PhotoSettings = field(default_factory=PhotoSettings)
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(refiner=0))

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "RetrievalModelSettings":
        """The settings that :meth:`as_dict` described. Raises TypeError or KeyError for anything else."""
        return cls(PhotoSettings(**values["photos"]), NetworkSettings(**values["network"]))
