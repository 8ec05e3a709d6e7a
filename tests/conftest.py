"""What the tests share: a cache folder of their own, a tiny checkpoint of random weights, drawn scenes."""

from __future__ import annotations

import os

# Each of pytest's workers (pytest-xdist) and whatever it starts compute in one thread, else they fight over the cores;
# and each looks for free ports in a range of its own. All of this is read when torch, OpenCV and Gradio are imported.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"),
    GRADIO_SERVER_PORT=str(7860 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))),
)

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from sspe.localizer import Localizer
    from sspe.models.localization import LocalizationModel
    from sspe.models.retrieval import RetrievalModel

WORDS = ("a", "the", "man", "woman", "dog", "ball", "box", "car", "hat", "red", "green", "blue", "striped", "large")
LONG = ("benchmarks", "training", "docs", "browser")  # folders


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests come first, so that no worker begins one when the others are done."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path.parent.name not in LONG))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """Nothing a test computes lands in, or comes from, the user's own cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSPE_CACHE", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        yield folder


@pytest.fixture(scope="session")
def make_localization_model() -> Callable[..., LocalizationModel]:
    """make_localization_model(seed=0) -> a small model whose weights are random, yet tell regions and phrases apart.

    It moves every box it refines, and reads three words on either side of a phrase; ``refiner`` and ``context`` 0 leave
    this out. ``kind`` is that of its network; ``detector`` is how many of its proposals are the published detector's.
    """

    def make(
        seed: int = 0, refiner: int = 16, context: int = 3, kind: str = "embedding", detector: int = 0
    ) -> LocalizationModel:
        import torch

        from sspe.models.localization import LocalizationModel
        from sspe.settings import (
            DetectorSettings,
            EdgeBoxesSettings,
            LocalizationModelSettings,
            NetworkSettings,
            RegionSettings,
        )
        from sspe.text.mean import MeanEncoder
        from sspe.text.words import WordVectors
        from sspe.vision.detector import published_detector
        from sspe.vision.folding import FoldedConv2d

        vectors = np.random.default_rng(seed).normal(size=(len(WORDS), 12)).astype(np.float32)
        torch.manual_seed(seed)
        model = LocalizationModel(
            LocalizationModelSettings(
                RegionSettings(side=96, surroundings=16),
                NetworkSettings(kind, hidden=48, embedding=24, refiner=refiner),
                EdgeBoxesSettings(count=40),
                DetectorSettings(detector),
            ),
            MeanEncoder([WordVectors(WORDS, vectors)], head=True, context=context),
        )
        if detector:
            model.detector = published_detector(model.settings.detector)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, FoldedConv2d):  # as if there had been a batch norm worth the name
                    module.scale.uniform_(0.7, 1.4)
            for branch in (model.network.image, model.network.text):
                branch.layers[0].weight.mul_(20)
                norm = branch.layers[1]
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
            if model.network.refiner:  # as if it had learnt: an untrained one leaves every box where it is
                model.network.refiner.region[0].weight.mul_(20)
                model.network.refiner.changes.weight.normal_(0, 0.1)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_retrieval_model() -> Callable[..., RetrievalModel]:
    """make_retrieval_model(seed=0) -> a small model whose weights are random, yet tell photos and sentences apart."""

    def make(seed: int = 0) -> RetrievalModel:
        import torch

        from sspe.models.retrieval import RetrievalModel
        from sspe.settings import NetworkSettings, PhotoSettings, RetrievalModelSettings
        from sspe.text.mean import MeanEncoder
        from sspe.text.words import WordVectors

        vectors = np.random.default_rng(seed).normal(size=(len(WORDS), 12)).astype(np.float32)
        torch.manual_seed(seed)
        settings = RetrievalModelSettings(
            PhotoSettings("efficientnet_lite0", side=64), NetworkSettings(hidden=48, embedding=24, refiner=0)
        )
        model = RetrievalModel(settings, MeanEncoder([WordVectors(WORDS, vectors)]))
        with torch.no_grad():
            for branch in (model.network.image, model.network.text):
                branch.layers[0].weight.mul_(20)
                branch.layers[1].running_var.uniform_(0.5, 2)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def checkpoint(make_localization_model, tmp_path_factory) -> Path:
    """The file of such a model."""
    from sspe.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(make_localization_model(), path, {"recipe": "none", "data": "random weights"})
    return path


@pytest.fixture(scope="session")
def tiny_localizer(checkpoint) -> Localizer:
    """The localizer of that file, on the CPU in float32."""
    from sspe.localizer import Localizer

    return Localizer.from_pretrained(checkpoint, device="cpu", precision="float32")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """Drawn scenes in the Entities layout: 24 to train on, 12 for val. Not to be changed."""
    from sspe.data.synthetic.scenes import write_synthetic

    return write_synthetic(tmp_path_factory.mktemp("scenes"), train=24, val=12, seed=0)


@pytest.fixture(scope="session")
def photos(scenes) -> list[Path]:
    """Photo files of drawn scenes, several sizes. Not to be changed."""
    return sorted((scenes / "flickr30k-images").glob("*.jpg"))


@pytest.fixture
def few_words(monkeypatch) -> None:
    """GloVe with a few words and made-up vectors, which load at once."""
    from sspe.text.words import WordVectors

    words = "a the two man woman dog bird fish car bus boat ball box star ring red green blue yellow grass sand".split()
    vectors = np.random.default_rng(0).normal(size=(len(words), 50)).astype(np.float32)
    monkeypatch.setattr("sspe.text.words.glove", lambda: WordVectors(tuple(words), vectors))


@pytest.fixture
def plain_curves(monkeypatch) -> None:
    """A run writes its epochs' numbers in place of its curves, which take longer to draw than a tiny run trains."""

    def write_numbers(rows, path):
        path.write_text(" ".join(str(row["epoch"]) for row in rows))

    monkeypatch.setattr("sspe.training.loop.draw_curves", write_numbers)


@pytest.fixture
def vectors(tmp_path) -> Path:
    """A file of word vectors, six numbers each."""
    rng = np.random.default_rng(1)
    path = tmp_path / "vectors.txt"
    words = "a the man woman dog car red green blue ball box star".split()
    path.write_text("".join(f"{word} {' '.join(map(str, rng.normal(size=6)))}\n" for word in words))
    return path


@pytest.fixture
def closed_is_forbidden(monkeypatch) -> None:
    """Folders whose name ends in "closed" cannot be listed: permissions would not keep root out."""
    scan = os.scandir

    def forbidding(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", forbidding)
