"""Beginning a run for localization with a checkpoint's weights; of retrieval, test_retrieval.py has it."""

import pytest
import torch
from run_files import weights
from safetensors.torch import load_file

from sspe.checkpoint import identity, load_checkpoint
from sspe.errors import CheckpointError
from sspe.training.start import mean_of

NAMES = ("fine_tune=false", "flip=false", "detector.boxes=5", "things=1", "bare=0.3", "epochs=1")


@pytest.fixture(autouse=True)
def quick_words(few_words) -> None:
    """A few words in place of GloVe."""


@pytest.fixture
def start(train, tmp_path_factory, request):
    """The checkpoint of a tiny run, made once and never changed."""
    if not hasattr(request.module, "started"):
        run = tmp_path_factory.mktemp("start") / "run"
        train(run, "epochs=1")
        request.module.started = run / "best.safetensors"
    return request.module.started


def test_a_detector_is_added_to_a_trained_network(train, start, tmp_path):
    """The backbone stays as the checkpoint has it, to the last bit; what is new in the network is learnt."""
    train(tmp_path / "run", *NAMES, start=start)
    before, after = load_file(start), load_file(tmp_path / "run" / "best.safetensors")
    backbone = [name for name in before if name.startswith("regions.")]
    assert backbone and all(torch.equal(before[name], after[name]) for name in backbone)
    first = "network.image.layers.0.weight"
    assert after[first].shape[1] == before[first].shape[1] + 80 and after["network.named.trust.weight"].any()
    model, about = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert about["start"] == identity(start) and model.detector is not None
    assert not any(name.startswith("regions.") for name in weights(tmp_path / "run"))  # what did not change is not kept


def test_another_backbone_is_refused(train, start, tmp_path):
    with pytest.raises(CheckpointError, match=r"its regions\..* differs from this run's"):
        train(tmp_path / "run", "regions.backbone=efficientnet_lite1", start=start)


def test_another_text_encoder_starts_anew(train, start, tmp_path, caplog):
    with caplog.at_level("INFO"):
        train(tmp_path / "run", "text.head=false", "epochs=1", start=start)
    assert "start anew: network.text" in caplog.text


def test_the_mean_of_two_runs_from_one_start(train, start, tmp_path):
    runs = [tmp_path / "first", tmp_path / "second"]
    for seed, run in enumerate(runs):
        train(run, *NAMES, "epochs=1", start=start, seed=seed)
    paths = [run / "best.safetensors" for run in runs]
    model, about = mean_of(paths)
    networks = [load_checkpoint(path)[0].network.state_dict() for path in paths]
    name = "text.layers.0.weight"
    assert not torch.equal(networks[0][name], networks[1][name])
    torch.testing.assert_close(model.network.state_dict()[name], (networks[0][name] + networks[1][name]) / 2)
    assert about["mean_of"] == [identity(path) for path in paths]
    with pytest.raises(CheckpointError, match="cannot be averaged, for they see or read differently"):
        mean_of([paths[0], start])
