"""Beginning with the weights of checkpoints: a run with those of one, a refit with the mean of several."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from sspe.checkpoint import identity, load_checkpoint
from sspe.errors import CheckpointError
from sspe.models.localization import LocalizationModel
from sspe.models.retrieval import RetrievalModel
from sspe.text.encoders import TextEncoder
from sspe.vision.folding import collapsed_state, load_collapsed

log = logging.getLogger("sspe.train")

_WIDENED = ("network.image.layers.0.weight", "network.refiner.region.0.weight")  # they read a region's features


def take_weights(model: RetrievalModel | LocalizationModel, path: Path) -> None:
    """Give the model the weights of a checkpoint. What they mean must be the same: the backbone, the text encoder.

    A retrieval model must be the checkpoint's in every part. A localization model may have a detector more, whose
    scores then count nothing at first, and may know more words; what else differs starts anew, and is logged.

    Raises CheckpointError where that is not so.
    """
    other, about = load_checkpoint(path, model.task)
    theirs, ours = other.state_dict(), collapsed_state(model)
    if about.get("settings", {}).get("nouns"):  # of region features the rest has learnt nothing
        theirs = {name: tensor for name, tensor in theirs.items() if name.startswith("regions.")}
    if isinstance(model, LocalizationModel):
        theirs = _adapted(theirs, ours)
    differing = sorted(name for name in {**ours, **theirs} if _shape(ours, name) != _shape(theirs, name))
    if not differing and isinstance(model, RetrievalModel) and not _alike(other.text_encoder, model.text_encoder):
        differing = ["text encoder"]
    if differing:
        raise CheckpointError(
            f"Training cannot start from {path}: its {differing[0]} differs from this run's; give this run the "
            "training photos and the --set options of the one that made it."
        )
    load_collapsed(model, theirs)


def mean_of(paths: Sequence[Path]) -> tuple[LocalizationModel, dict]:
    """The first checkpoint's model, its network the mean of all the checkpoints' networks, and what is known about it.

    Runs that began with the same weights end near enough to each other that the mean of their weights is a network,
    too, and a better one than each (Wortsman et al., *Model soups*, ICML 2022).

    Raises CheckpointError where anything but the networks' weights differs.
    """
    model, about = load_checkpoint(paths[0])
    if len(paths) == 1:
        return model, about
    networks = [model.network.state_dict()]
    for path in paths[1:]:
        other = load_checkpoint(path)[0]
        theirs, ours = other.regions.state_dict(), model.regions.state_dict()
        same_eyes = other.settings == model.settings and all(torch.equal(ours[name], theirs[name]) for name in ours)
        if not (same_eyes and _alike(other.text_encoder, model.text_encoder)):
            raise CheckpointError(
                f"{paths[0]} and {path} cannot be averaged, for they see or read differently; give checkpoints of runs "
                "with the same settings and the same --start."
            )
        networks.append(other.network.state_dict())
    # Counts, such as batch norm's, are whole numbers and stay so.
    mean = {
        name: torch.stack([network[name].double() for network in networks]).mean(0).to(tensor.dtype)
        for name, tensor in networks[0].items()
    }
    model.network.load_state_dict(mean)
    return model, {**about, "mean_of": [identity(path) for path in paths]}


def _adapted(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a localization checkpoint for a model with a detector or another text encoder."""
    found = {name: tensor for name, tensor in theirs.items() if name in ours}
    for name in _WIDENED:
        if name in found and found[name].shape[1] < ours[name].shape[1]:
            widened = torch.zeros_like(ours[name])
            widened[:, : found[name].shape[1]] = found[name]
            found[name] = widened
    anew = {name for name in ours if name not in found}
    if _shape(found, "network.text.layers.0.weight") != _shape(ours, "network.text.layers.0.weight"):
        anew |= {name for name in ours if name.startswith("network.text.")}
    parts = sorted({".".join(name.split(".")[:2]) for name in anew if not name.startswith("detector.")})
    if parts:
        log.info("these parts are not in the checkpoint and start anew: %s", ", ".join(parts))
    return {**found, **{name: ours[name] for name in anew if not name.startswith("regions.")}}


def _alike(a: TextEncoder, b: TextEncoder) -> bool:
    """Whether two encoders read every text alike, but for the rounding of a checkpoint."""
    ours, theirs = a.state(), b.state()
    return (a.name, a.settings(), ours.keys()) == (b.name, b.settings(), theirs.keys()) and all(
        torch.equal(ours[name].cpu().half(), theirs[name].cpu().half()) for name in ours
    )


def _shape(tensors: dict[str, torch.Tensor], name: str) -> torch.Size | None:
    """Shape of the tensor with this name; None where there is none."""
    return tensors[name].shape if name in tensors else None
