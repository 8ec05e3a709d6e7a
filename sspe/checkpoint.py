"""A checkpoint: one ``.safetensors`` file that holds the whole model and loads offline.

Tensors: the backbone, both branches, the text encoder's, the calibration and the search fit of a localization model or
the bank of a retrieval model. They are float16, or float32 where the network needs ``full_precision``; the search
fit's are as they were fitted.
Metadata (JSON strings): ``format``, ``version``, ``task``, ``settings``, ``text`` (name and settings of the text
encoder), ``checksum`` (SHA-256 of the tensors; older files have none), and ``about`` (training data, recipe, metrics,
library versions), which is informational only. The task says
which model it is, see :data:`MODELS`; a file without one is older than the second task, and for localization.
"""

import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sspe.errors import CheckpointError, SspeError
from sspe.files import DETECTOR_FILE, SHIPPED, written
from sspe.models.calibration import Calibration
from sspe.models.localization import LocalizationModel
from sspe.models.retrieval import Bank, RetrievalModel
from sspe.models.search_fit import SearchFit
from sspe.models.second_look import SecondLook
from sspe.settings import LocalizationModelSettings, RetrievalModelSettings, check
from sspe.text.encoders import load_text_encoder
from sspe.vision.folding import collapse, collapsed_state

FORMAT = "sspe"
VERSION = "2"
DEFAULTS = {"localization": "sspe-lite0", "retrieval": "sspe-retrieval"}  # by task: what is loaded by default
MODELS = {
    "localization": (LocalizationModel, LocalizationModelSettings),
    "retrieval": (RetrievalModel, RetrievalModelSettings),
}
# What fills a new layer. The first three call the others out of reach of :class:`_Unfilled`.
RANDOM = {
    *(nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_),
    *(torch.Tensor.uniform_, torch.Tensor.normal_),
}
USED_BY = {"localization": "Localizer and `sspe localize`", "retrieval": "Retriever and `sspe evaluate retrieval`"}


def save_checkpoint(model: LocalizationModel | RetrievalModel, path: str | Path, about: dict) -> None:
    """Write the model and what is known ``about`` it (JSON-like values); the file appears whole or not at all.

    Raises SspeError where the disk does not take it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {**collapsed_state(model), **{f"text.{k}": v for k, v in model.text_encoder.state().items()}}
    for part in ("calibration", "search", "bank"):
        if (values := getattr(model, part, None)) is not None:
            tensors |= {f"{part}.{name}": tensor for name, tensor in vars(values).items() if tensor is not None}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if not model.network.full_precision:  # half the file, and less than a thousandth of a cosine away
        # But for the search fit's: an error in its two bases is one in every score of a collection.
        whole = {name for name, t in tensors.items() if name.startswith("search.") or not t.is_floating_point()}
        tensors = {name: t if name in whole else t.half() for name, t in tensors.items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "task": model.task,
        "settings": json.dumps(model.settings.as_dict()),
        "text": json.dumps({"name": model.text_encoder.name, "settings": model.text_encoder.settings()}),
        "about": json.dumps({**about, "libraries": _libraries()}),
        "checksum": _checksum(tensors),
    }
    with written(path, SafetensorError) as temporary:
        save_file(tensors, temporary, metadata)


def load_checkpoint(path: str | Path, task: str = "localization") -> tuple[LocalizationModel | RetrievalModel, dict]:
    """Read the model for a task, in float32 on the CPU, and what is known about it.

    Raises:
        CheckpointError: the file is missing, no checkpoint of ours, of an unknown version, for another task, damaged,
            lacks a tensor, or has a setting outside its range.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not os.path.isfile(path):  # Path.is_file raises for a name longer than a file's may be
        found = "is a folder" if os.path.isdir(path) else "does not exist"
        raise CheckpointError(f"The checkpoint {path} {found}; give a .safetensors file written by sspe.train.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable .safetensors file ({error}); copy or train it again."
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by sspe; give a checkpoint written by sspe.train.")
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format version {metadata.get('version')} and this sspe reads version {VERSION}; "
            "install the matching sspe or train again."
        )
    own_task = metadata.get("task", "localization")
    if own_task != task:
        raise CheckpointError(
            f"{path} is a checkpoint for {own_task}, and one for {task} is needed; give another, or use it where it "
            f"belongs: {USED_BY.get(own_task, 'in a newer sspe')}."
        )
    model_class, settings_class = MODELS[task]
    try:
        settings = settings_class.from_dict(json.loads(metadata["settings"]))
        _check(settings, path)
        text = json.loads(metadata["text"])
        about = json.loads(metadata["about"])
        whole = metadata.get("checksum") in (None, _checksum(tensors))
        tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        prefixes = ("text.", "calibration.", "search.", "bank.")
        vectors, calibration, search, bank = (_taken(tensors, prefix) for prefix in prefixes)
        text_encoder = load_text_encoder(text["name"], text["settings"], vectors)
        with _Unfilled():
            model = model_class(settings, text_encoder)
            if any(name.startswith("second_look.") for name in tensors):
                model.second_look = SecondLook(settings.network.embedding)
        collapse(model)
        model.load_state_dict(tensors)
        if calibration:
            model.calibration = Calibration(**calibration)
        if search:
            model.search = SearchFit(**search)
        if bank:
            model.bank = Bank(**bank)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} lacks or misnames a setting or a text vector ({error}); train it again."
        ) from None
    except RuntimeError as error:  # load_state_dict lists every missing, surplus and misshapen tensor
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{path} does not fit the network it describes: {first[:200]}") from None
    if not whole:
        raise CheckpointError(f"{path} is damaged: its checksum is not the one written; copy or train it again.")
    return model, about


def find_checkpoint(name_or_path: str | Path | None = None, task: str = "localization") -> Path:
    """Path of the checkpoint that a path, a name in ``checkpoints/`` or a Hugging Face repository names.

    None names the task's default.

    Raises CheckpointError when there is no such file.
    """
    name = str(name_or_path or DEFAULTS[task])
    if os.path.isfile(name):
        return Path(name)
    here = SHIPPED / f"{name.removesuffix('.safetensors')}.safetensors"
    if os.path.isfile(here) and here.name != DETECTOR_FILE:
        return here
    if os.path.isdir(name):
        raise CheckpointError(f"The checkpoint {name} is a folder; give the .safetensors file in it.")
    if not name_or_path:
        raise CheckpointError(
            f"There is no checkpoint for {task} in {SHIPPED} ({name}.safetensors); a wheel carries none but the one "
            f"for localization: take checkpoints/{name}.safetensors of the repository, or train one with "
            f"`sspe train --task {task}`, and give its path (--checkpoint)."
        )
    names = sorted(path.stem for path in SHIPPED.glob("*.safetensors") if path.name != DETECTOR_FILE)
    if name.count("/") == 1 and not name.endswith(".safetensors") and not name.startswith((".", "/")):
        return _downloaded(name)
    raise CheckpointError(
        f'There is no checkpoint {name!r}; give a .safetensors file, a repository "owner/name", or one of the shipped '
        f"names ({', '.join(names) or 'there is none in ' + str(SHIPPED)})."
    )


def _downloaded(repository: str) -> Path:
    """The one checkpoint of a Hugging Face repository, from its cache or the network."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, allow_patterns="*.safetensors"))
    except Exception as error:  # the hub's client raises many kinds, its transport's among them
        raise CheckpointError(
            f"The repository {repository!r} could not be downloaded ({type(error).__name__}); "
            "check its name and the network."
        ) from None
    files = sorted(folder.rglob("*.safetensors"))
    if len(files) != 1:
        raise CheckpointError(f"The repository {repository!r} holds {len(files)} .safetensors files; it must hold one.")
    return files[0]


def identity(path: str | Path) -> str:
    """Short hash of a checkpoint's bytes: identifies what was made with it."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _check(settings: LocalizationModelSettings | RetrievalModelSettings, path: Path) -> None:
    """Raise CheckpointError for a setting that no model can have: damaged, or written by hand."""
    try:
        check(settings)
    except SspeError as error:
        reason = str(error)
        raise CheckpointError(f"{path} cannot be used: {reason[0].lower()}{reason[1:]}") from None


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


class _Unfilled(TorchFunctionMode):
    """Weights made inside are not drawn at random, which takes as long as a photo; those of a file replace them all."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in RANDOM:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def _taken(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Take the tensors whose names begin with ``prefix`` out of ``tensors``, and return them without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _libraries() -> dict[str, str]:
    found = {}
    for package in ("sspe", "torch", "torchvision", "timm", "numpy", "opencv-contrib-python-headless"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
