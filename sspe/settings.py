"""Every setting of the models and their text, with its range or choices, in one place. Light to import.

A group of settings is a frozen dataclass whose fields are made by :func:`setting`: default, meaning, and what values it
takes. :func:`check` reads that, :func:`changed` makes changes written as "loss.margin=0.2", and :func:`listed` tells
people what there is. The recipes of :mod:`sspe.training.recipes` are made of these groups.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sspe.errors import SspeError

REGION_MODES = ("roi", "crops")
NETWORK_KINDS = ("embedding", "similarity", "cca")
OPTIMISERS = ("adamw", "sgd")
VIEWS = ("one", "mirror", "crops")
LARGEST_SIDE = 4096  # pixels; above it a photo takes gigabytes on its way through a backbone
WIDEST = 16_384  # numbers per vector inside a network; two such layers take a gigabyte
INCOMPLETE = ("refuse", "skip")  # what to do about photos whose captions are incomplete

Settings = TypeVar("Settings")


def setting(
    default: Any,
    about: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A field of a group of settings: its default, what it means, and its range or choices."""
    limits = {"at_least": at_least, "at_most": at_most, "choices": choices}
    return field(default=default, metadata={"about": about, **limits})


def check(settings: Any, prefix: str = "") -> None:
    """Raise SspeError for the first value, of the groups inside as well, of a wrong type or out of its range."""
    kinds = get_type_hints(type(settings))
    for name, value, limits in _fields(settings):
        key = prefix + name
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        elif wanted := _other_than(kinds[name], value):
            raise SspeError(f"The setting {key} is {_short(value)}; it must be {wanted}.")
        elif limits["choices"] and value not in limits["choices"]:
            raise SspeError(f"The setting {key} is {value!r}; choose one of {', '.join(limits['choices'])}.")
        elif kinds[name] in (int, float) and not _in_range(value, limits):
            least, most = limits["at_least"], limits["at_most"]
            wanted = "a number" if least is None else f"at least {least}" if most is None else f"from {least} to {most}"
            raise SspeError(f"The setting {key} is {value}; it must be {wanted}.")


def changed(settings: Settings, changes: Sequence[str]) -> Settings:
    """A copy of the settings with changes like "epochs=3" or "loss.margin=0.2" made; ranges are not checked.

    Raises SspeError for a key or a value that is not understood.
    """
    for change in changes:
        key, sign, value = (part.strip() for part in change.partition("="))
        if not sign:
            raise SspeError(f"--set takes key=value, for example loss.margin=0.2, and got {change!r}.")
        settings = _with(settings, key.split("."), value, key)
    return settings


def listed(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(key, value, meaning) of every setting, those of groups as "loss.margin"."""
    for name, value, limits in _fields(settings):
        if dataclasses.is_dataclass(value):
            yield from listed(value, f"{prefix}{name}.")
        else:
            choices = f" ({', '.join(limits['choices'])})" if limits["choices"] else ""
            yield prefix + name, value, limits["about"] + choices


def _fields(settings: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, value, metadata) of the settings of a dataclass and of its groups; other fields are passed over."""
    for f in dataclasses.fields(settings):
        value = getattr(settings, f.name)
        if "about" in f.metadata or dataclasses.is_dataclass(value):
            yield f.name, value, f.metadata


def _other_than(kind: Any, value: Any) -> str:
    """What a setting of type ``kind`` must be, where the value is nothing of the kind; "" where it is."""
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    if kind is int:
        return "" if isinstance(value, Integral) and not isinstance(value, bool) else "a whole number"
    if kind is float:
        return "" if isinstance(value, Real) and not isinstance(value, bool) else "a number"
    if get_origin(kind) is tuple:
        words = isinstance(value, tuple | list) and all(isinstance(word, str) for word in value)
        return "" if words else "several words"
    if type(None) in get_args(kind):
        return "" if value is None or isinstance(value, str) else "a word, or none"
    return "" if isinstance(value, str) else "a word"


def _short(value: Any) -> str:
    """A value as a message shows it: one of a damaged file may be a thousand lines long."""
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


def _in_range(value: float, limits: Any) -> bool:
    least = -math.inf if limits["at_least"] is None else limits["at_least"]
    most = math.inf if limits["at_most"] is None else limits["at_most"]
    return math.isfinite(value) and least <= value <= most


def _with(settings: Any, path: list[str], text: str, key: str) -> Any:
    """The settings with the value at ``path`` read from ``text``; ``key`` is the whole path, for messages."""
    values = {name: value for name, value, _ in _fields(settings)}
    name, *rest = path
    if name not in values:
        raise SspeError(f"There is no setting {key!r}; {name!r} must be one of {', '.join(sorted(values))}.")
    if dataclasses.is_dataclass(values[name]):
        if not rest:
            inner = ", ".join(f"{key}.{inside}" for inside, _, _ in _fields(values[name]))
            raise SspeError(f"{key!r} is a group of settings; set one of {inner}.")
        return dataclasses.replace(settings, **{name: _with(values[name], rest, text, key)})
    if rest:
        raise SspeError(f"There is no setting {key!r}; {name!r} holds a single value.")
    kind = get_type_hints(type(settings))[name]
    return dataclasses.replace(settings, **{name: _parsed(text, kind, values[name], key)})


def _parsed(text: str, kind: Any, old: Any, key: str) -> Any:
    """The value that ``text`` means for a setting of type ``kind``. "none" is None where the setting may be None."""
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind is int:
            return int(text)
        if kind is float:
            number = float(text)
            if not math.isfinite(number):
                raise ValueError(text)
            return number
    except (KeyError, ValueError):
        wanted = {bool: "neither true nor false", int: "no whole number", float: "no number"}[kind]
        raise SspeError(f"The setting {key} is {json.dumps(old)} so far, and {text!r} is {wanted}.") from None
    if isinstance(old, tuple):
        return tuple(part for part in text.split(",") if part)
    return None if type(None) in get_args(kind) and text.lower() == "none" else text


@dataclass(frozen=True)
class EdgeBoxesSettings:
    """How proposals are made. From ``alpha`` on the names are OpenCV's; ``beta`` and ``eta`` are the NMS of the paper.

    Small working sizes are both faster and, on Flickr30K Entities, better: the thin contours of textures vanish.
    """

    count: int = setting(500, "boxes per photo, the whole photo among them", at_least=1, at_most=100_000)
    size: int = setting(
        192, "pixels; side of the square that the photo is squeezed into", at_least=16, at_most=LARGEST_SIDE
    )
    forest: str | None = setting(None, "file of OpenCV's structured forest; none: edges are colour gradients")
    alpha: float = setting(0.55, "step of the sliding window, as an IoU", at_least=0.05, at_most=0.95)
    beta: float = setting(0.60, "IoU from which the weaker of two boxes is dropped", at_least=0, at_most=1)
    eta: float = setting(1.0, "factor of beta after every box kept", at_least=0, at_most=1)
    min_score: float = setting(0.005, "least score of a box", at_least=0)
    edge_min_mag: float = setting(0.1, "least strength of an edge", at_least=0, at_most=1)
    edge_merge_threshold: float = setting(0.5, "how much a group of edges may turn", at_least=0)
    cluster_min_mag: float = setting(0.5, "least strength of a group of edges", at_least=0)
    max_aspect_ratio: float = setting(4.0, "longer side by shorter side of a box", at_least=1)
    min_box_area: float = setting(200.0, "square pixels of the squeezed photo", at_least=0)
    gamma: float = setting(2.0, "sharpness of the affinity of edge groups", at_least=0)
    kappa: float = setting(1.5, "exponent of a box's perimeter in its score", at_least=0)

    def as_dict(self) -> dict:
        """All settings as JSON-like values, for cache keys and checkpoints."""
        return asdict(self)


@dataclass(frozen=True)
class DetectorSettings:
    """The detector that knows eighty things by name, beside Edge Boxes; see :mod:`sspe.vision.detector`.

    Where it is there, what it finds tells the network about every region as well.
    """

    boxes: int = setting(
        0, "its boxes among the proposals, after the whole photo; 0: no detector", at_least=0, at_most=100
    )
    least: float = setting(0.05, "least score of what it finds", at_least=0, at_most=1)
    overlap: float = setting(0.6, "IoU above which the weaker of two boxes of one thing goes", at_least=0, at_most=1)


@dataclass(frozen=True)
class RegionSettings:
    """How regions become vectors.

    Mode "roi" runs the backbone's map once per photo and RoIAlign per box (fast); "crops" cuts every box from the photo
    and runs the whole backbone on it (slow, the R-CNN way). The surroundings describe the box together with what lies
    around it: whether a box is tight shows at its edges and beyond them. Only mode "roi" has them.
    """

    backbone: str = setting("efficientnet_lite0", "a name of sspe.vision.backbones.BACKBONES")
    weights: str | None = setting(
        None, "what training starts from: none, the published ImageNet weights; timm, timm's own; a file; random"
    )
    mode: str = setting("roi", "how the backbone reads a region", choices=REGION_MODES)
    side: int = setting(
        320, "pixels; the photo is squeezed to side x side before the map", at_least=32, at_most=LARGEST_SIDE
    )
    window: int = setting(7, "RoIAlign gives window x window cells of the map", at_least=1, at_most=64)
    crop: int = setting(112, 'pixels; side of a crop in mode "crops"', at_least=32, at_most=LARGEST_SIDE)
    surroundings: int = setting(
        256, "how many numbers describe the box's surroundings; 0 leaves them out", at_least=0, at_most=WIDEST
    )
    margin: float = setting(0.25, "reach of the surroundings, as a share of the box's width and height", at_least=0)
    geometry: bool = setting(True, "append x1/W, y1/H, x2/W, y2/H and the area's share of the photo")


@dataclass(frozen=True)
class PhotoSettings:
    """How a whole photo becomes a vector, where photos and sentences are matched.

    The vector is the mean over views: "one" is the photo, "mirror" the photo and its mirror image, "crops" the paper's
    ten crops of side x side, without squeezing: 224 pixels in the paper.
    """

    backbone: str = setting("efficientnet_lite2", "a name of sspe.vision.backbones.BACKBONES")
    weights: str | None = setting(None, "as regions.weights: none, timm, a file or random")
    side: int = setting(256, "pixels; the photo is squeezed to side x side", at_least=32, at_most=LARGEST_SIDE)
    views: str = setting("mirror", "views whose mean is the photo's vector", choices=VIEWS)


@dataclass(frozen=True)
class TextSettings:
    """The text side."""

    encoder: str = setting("mean", 'a name of sspe.text.encoders.text_encoders(), or several joined by "+"')
    vectors: tuple[str, ...] = setting(
        ("glove",), '"glove" (6B 50-d) or files of word vectors; "mean" reads all side by side, "hglmm" takes one'
    )
    head: bool = setting(True, 'of "mean": append the head word\'s vector')
    articles: bool = setting(True, 'of "mean": read the articles of a phrase; without them "a cup" is "the cup"')
    common: int = setting(
        60_000, 'of "mean": words kept of each file beside those of training, its most frequent ones', at_least=0
    )
    context: int = setting(5, "words of the sentence read on either side of the phrase; 0: none", at_least=0)
    vocabulary: int = setting(3000, 'of "tfidf": vocabulary size, the most frequent training words', at_least=1)
    centres: int = setting(30, 'of "hglmm": components of the mixture; K = 30 in the paper', at_least=1)
    # From 18,000 numbers to the paper's 6,000 the map alone takes 216 MB in a checkpoint.
    pca: int = setting(1000, 'of "hglmm": numbers that the PCA leaves; 6,000 in the paper', at_least=1)


@dataclass(frozen=True)
class NetworkSettings:
    """The network that compares regions and phrases; its sizes 2048 and 512 are the paper's.

    "embedding" is the two-branch network; "similarity" adds the similarity network of the journal version on top; "cca"
    is canonical correlation analysis, which is fitted at once and not trained.
    """

    kind: str = setting("embedding", "kind of network", choices=NETWORK_KINDS)
    hidden: int = setting(2048, "size of a branch's hidden layer; 0: the branch is linear", at_least=0, at_most=WIDEST)
    embedding: int = setting(
        512, "size of the common space; of cca, the most canonical directions", at_least=1, at_most=WIDEST
    )
    dropout: float = setting(0.5, "share of the hidden layer dropped in training", at_least=0, at_most=1)
    refiner: int = setting(
        512, "hidden size of the box refinement; 0: the proposals are the answers", at_least=0, at_most=WIDEST
    )
    judge: int = setting(512, 'of "similarity": hidden size of what judges a pair', at_least=1, at_most=WIDEST)


_FARTHEST = "in (3) and (4) an anchor has one positive, its farthest neighbour of the batch: the released code's (4)"


@dataclass(frozen=True)
class LossSettings:
    """Margin, weights and mining of equations (1) to (4)."""

    margin: float = setting(0.1, "m, in units of distance between unit vectors, 0..2", at_least=0)
    region_anchor: float = setting(1.0, "weight of (1), region anchor and phrases; 1 in the paper", at_least=0)
    phrase_anchor: float = setting(1.0, "lambda 1, weight of (2), phrase anchor and regions", at_least=0)
    region_structure: float = setting(0.0, "lambda 2, weight of (3): regions that share a phrase", at_least=0)
    phrase_structure: float = setting(0.1, "lambda 3, weight of (4): phrases that share a region", at_least=0)
    # The choice that localization makes later: which region of this photo.
    same_photo: float = setting(1.0, "weight of (2) with the negatives of the phrase's own photo alone", at_least=0)
    top_k: int = setting(20, "K: triplets kept per positive pair, the most violating ones", at_least=1)
    farthest: bool = setting(False, _FARTHEST)
    same_photo_top_k: int = setting(5, "the same for the own photo's negatives", at_least=1)
    refinement: float = setting(2.0, "weight of the box refinement's loss", at_least=0)


@dataclass(frozen=True)
class RetrievalLossSettings:
    """Margin, weights and mining where photos and sentences are matched: the same loss with photos for regions.

    The two anchors weigh what they weigh in the released code; with one of them 0 the loss is one-directional.
    """

    margin: float = setting(0.1, "m, in units of distance between unit vectors, 0..2", at_least=0)
    photo_anchor: float = setting(1.0, "weight of (1), photo anchor and sentences", at_least=0)
    sentence_anchor: float = setting(1.5, "lambda 1, weight of (2), sentence anchor and photos", at_least=0)
    photo_structure: float = setting(
        0.0,
        "lambda 2, weight of (3): photos that share a sentence, that is, are described in the same words",
        at_least=0,
    )
    sentence_structure: float = setting(0.1, "lambda 3, weight of (4): sentences of one photo", at_least=0)
    top_k: int = setting(50, "K: triplets kept per positive pair, the most violating ones", at_least=1)
    farthest: bool = setting(False, _FARTHEST)

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
            farthest=self.farthest,
        )


@dataclass(frozen=True)
class LocalizationModelSettings:
    """What a localization model is built of; travels in the checkpoint."""

    regions: RegionSettings = field(default_factory=RegionSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    proposals: EdgeBoxesSettings = field(default_factory=EdgeBoxesSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)

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
            DetectorSettings(**values.get("detector", {})),  # older checkpoints have none
        )


@dataclass(frozen=True)
class RetrievalModelSettings:
    """What a retrieval model is built of; travels in the checkpoint. Its network has no box to refine."""

    photos: PhotoSettings = field(default_factory=PhotoSettings)
    network: NetworkSettings = field(default_factory=lambda: NetworkSettings(refiner=0))

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "RetrievalModelSettings":
        """The settings that :meth:`as_dict` described. Raises TypeError or KeyError for anything else."""
        return cls(PhotoSettings(**values["photos"]), NetworkSettings(**values["network"]))
