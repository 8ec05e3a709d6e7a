"""Training for image-sentence retrieval from Python: files, resuming, every variant, and that the network learns."""

import json
import shutil

import pytest
import torch
from run_files import rows, same, weights
from safetensors.torch import load_file

import sspe.evaluate
from sspe.checkpoint import identity, load_checkpoint
from sspe.data.captions import open_captions
from sspe.errors import CheckpointError, DataError, PhotoError, SspeError
from sspe.training.recipes import recipe
from sspe.training.retrieval import RetrievalTask
from sspe.vision.photo import open_photo

pytestmark = pytest.mark.usefixtures("few_words")


@pytest.fixture
def finished(train_retrieval, tmp_path_factory, request):
    """A whole tiny run, made once and never changed."""
    if not hasattr(request.module, "finished_run"):
        run = tmp_path_factory.mktemp("finished") / "run"
        train_retrieval(run)
        request.module.finished_run = run
    return request.module.finished_run


@pytest.fixture
def frozen(train_retrieval, tmp_path_factory, request):
    """A run of the branches alone, made once and never changed."""
    if not hasattr(request.module, "frozen_run"):
        run = tmp_path_factory.mktemp("frozen") / "run"
        train_retrieval(run, "epochs=0")
        request.module.frozen_run = run
    return request.module.frozen_run


def test_a_run_writes_its_files(finished):
    names = ["best.safetensors", "curves.png", "last.pt", "lock", "log.csv", "metrics.json"]
    assert sorted(path.name for path in finished.iterdir()) == names
    assert [row["epoch"] for row in rows(finished)] == ["1", "2", "3"]
    for row in rows(finished):
        assert float(row["loss"]) > 0 and 0 < float(row["watched_mean_recall"]) <= 1
        assert 0 <= float(row["watched_image_to_sentence_recall_at_1"]) <= 1
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["photos"], metrics["sentences"]) == (6, 30)
    assert {"image_to_sentence", "sentence_to_image", "sentence_to_sentence", "mean_recall"} <= set(metrics)


def test_the_checkpoint_says_how_it_was_made(finished, scenes):
    model, about = load_checkpoint(finished / "best.safetensors", "retrieval")
    assert (model.settings.photos.side, model.settings.network.hidden) == (64, 64)
    assert model.text_encoder.name == "mean" and model.text_encoder.context == 0
    assert (about["recipe"], about["seed"], about["train_photos"]) == ("retrieval", 0, 8) and about["epoch"] in (
        1,
        2,
        3,
    )
    best = max(float(row["watched_mean_recall"]) for row in rows(finished))
    assert about["watched_val"]["mean_recall"] == pytest.approx(best, abs=1e-4)
    assert about["data"] == scenes.name and str(scenes.parent) not in json.dumps(about)  # no path of this machine
    assert about["all_val"] == json.loads((finished / "metrics.json").read_text())


def test_metrics_are_those_of_the_evaluate_command(finished, scenes, tmp_path):
    line = ["retrieval", "--data", scenes, "--checkpoint", finished / "best.safetensors", "--limit", 6, "--plain"]
    line += ["--device", "cpu", "--precision", "float32", "--quiet", "--output", tmp_path / "again.json"]
    assert sspe.evaluate.main([str(part) for part in line]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again.pop("left_out"), again.pop("measure")) == ({}, "plain")
    assert again == json.loads((finished / "metrics.json").read_text())


def test_the_checkpoint_has_a_bank_of_training_photos_and_of_two_sentences_of_each(finished, frozen, scenes):
    for run in (finished, frozen):
        model, _ = load_checkpoint(run / "best.safetensors", "retrieval")
        model.for_inference("cpu", "float32")
        trained_on = list(open_captions(scenes, "train", limit=8))
        x = model.embed_photos(open_photo(photo.path) for photo in trained_on)
        y = model.embed_sentences([sentence for photo in trained_on for sentence in photo.sentences[:2]])
        torch.testing.assert_close(model.bank.photos, x, atol=0.02, rtol=0)
        torch.testing.assert_close(model.bank.sentences, y, atol=0.02, rtol=0)


def test_the_branches_learn_first_then_everything_but_the_first_stages(finished, frozen):
    from sspe.vision.photo_encoder import PhotoEncoder

    made = recipe("retrieval", ["photos.backbone=efficientnet_lite0"], "retrieval")
    encoder = PhotoEncoder(made.photos, pretrained=True)
    published, learned = encoder.state_dict(), weights(finished)
    moved = {name for name, tensor in published.items() if not torch.equal(tensor, learned[f"photos.{name}"])}
    encoder.freeze_through("stage2")
    fixed = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert fixed and not fixed & moved and {"map.6.0.conv_pw.weight", "head.0.0.conv_pw.weight"} <= moved
    assert not any(name.startswith("photos.") for name in weights(frozen))  # what did not change is not kept
    assert rows(frozen)[0]["loss"] == rows(finished)[0]["loss"]


# Resuming


@pytest.mark.parametrize(("call", "left"), [(2, (1, 0)), (3, (1, 1)), (5, (2, 1))])
def test_an_interrupted_run_ends_as_the_undisturbed_one(train_retrieval, finished, tmp_path, stop_at, call, left):
    """Before anything of the backbone was trained, after its first step, and in the last epoch."""
    with pytest.raises(KeyboardInterrupt):
        stop_at(RetrievalTask, call)
        train_retrieval(tmp_path, save_every=-1.0)
    progress = torch.load(tmp_path / "last.pt", weights_only=True)["progress"]
    assert (progress["epoch"], progress["step"]) == left
    train_retrieval(tmp_path, resume=True)
    assert same(weights(tmp_path), weights(finished))
    assert same(load_file(tmp_path / "best.safetensors"), load_file(finished / "best.safetensors"))
    assert (tmp_path / "metrics.json").read_text() == (finished / "metrics.json").read_text()


def test_a_run_is_not_resumed_on_other_sentences(train_retrieval, frozen, scenes, tmp_path):
    run = shutil.copytree(frozen, tmp_path / "run")
    moved = shutil.copytree(scenes, tmp_path / "moved")
    train_retrieval(run, "epochs=0", data=moved, resume=True)
    sentences = moved / "Sentences" / f"{(scenes / 'val.txt').read_text().split()[0]}.txt"
    sentences.write_text(sentences.read_text().replace(" ", "  x ", 1))
    with pytest.raises(CheckpointError, match="began with data of fingerprint"):
        train_retrieval(run, "epochs=0", data=moved, resume=True)
    with pytest.raises(CheckpointError, match="began with sentences 2, and this command has 3"):
        train_retrieval(run, "epochs=0", "sentences=3", resume=True)


# Beginning with a checkpoint


def test_a_run_starts_with_the_weights_of_a_checkpoint(train_retrieval, finished, tmp_path):
    start = finished / "best.safetensors"
    still = ["frozen_epochs=0", "epochs=1", "backbone_lr=0", "branch_lr=0"]
    train_retrieval(tmp_path, *still, start=start)
    before, after = load_file(start), load_file(tmp_path / "best.safetensors")
    for name in (name for name in before if "weight" in name or "bias" in name):
        torch.testing.assert_close(after[name], before[name], rtol=2e-3, atol=1e-4)


def test_a_run_that_started_with_weights_is_resumed_with_them(train_retrieval, frozen, tmp_path, stop_at):
    start, changes = frozen / "best.safetensors", ("frozen_epochs=2", "epochs=0")
    train_retrieval(tmp_path / "whole", *changes, start=start)
    with pytest.raises(KeyboardInterrupt):
        stop_at(RetrievalTask, 2)
        train_retrieval(tmp_path / "parts", *changes, start=start)
    with pytest.raises(CheckpointError, match="began with start '"):
        train_retrieval(tmp_path / "parts", *changes, resume=True)
    train_retrieval(tmp_path / "parts", *changes, start=start, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    _, about = load_checkpoint(tmp_path / "parts" / "best.safetensors", "retrieval")
    assert about["start"] == identity(start)


def test_a_start_that_does_not_fit_is_refused(train_retrieval, frozen, tmp_path):
    start = frozen / "best.safetensors"
    with pytest.raises(CheckpointError, match=r"its network\..* differs from this run's"):
        train_retrieval(tmp_path / "run", "network.hidden=16", start=start)
    words = ("text.encoder=tfidf", "text.vocabulary=20", "epochs=0")
    train_retrieval(tmp_path / "first", *words)
    with pytest.raises(CheckpointError, match="its text encoder differs from this run's"):
        others = {"train_split": "val", "val_split": "train"}
        train_retrieval(tmp_path / "run", *words, start=tmp_path / "first" / "best.safetensors", **others)


def test_what_is_for_retrieval_alone(train, tmp_path):
    with pytest.raises(SspeError, match="is for retrieval alone, and the recipe is for localization"):
        train(tmp_path / "run", incomplete="skip")


# Other kinds of runs


@pytest.mark.parametrize(
    "changes",
    [
        "network.hidden=0",
        "network.kind=cca",
        "loss.photo_anchor=0 loss.sentence_structure=0 sentences=1",
        "loss.photo_structure=0.1 text.encoder=tfidf",
        "text.encoder=hglmm text.centres=3 text.pca=16",
        "photos.views=crops photos.side=32",
        pytest.param(
            "photos.views=one photos.backbone=vgg16 photos.weights=random photos.side=32", marks=pytest.mark.slow
        ),
    ],
)
def test_each_variant_is_a_setting(train_retrieval, tmp_path, changes):
    changes = ["epochs=0", "frozen_epochs=1", *changes.split()]
    measured = train_retrieval(tmp_path, *changes, name="retrieval-frozen")
    assert 0 < measured["mean_recall"] <= 1 and len(rows(tmp_path)) == 1
    assert load_checkpoint(tmp_path / "best.safetensors", "retrieval")[1]["all_val"] == measured


def test_sentences_are_read_side_by_side_with_minilm(train_retrieval, tmp_path, monkeypatch):
    """The default way, in small: kept features, a bank of some of the photos, and through the checkpoint."""
    monkeypatch.setattr("sspe.training.retrieval.BANK_PHOTOS", 3)
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "cache"))
    changes = ("text.encoder=minilm+tfidf", "epochs=0")
    train_retrieval(tmp_path / "first", *changes)
    kept = sorted((tmp_path / "cache" / "texts").iterdir())
    assert len(kept) == 2  # MiniLM's, of training and of val; tf-idf is fitted anew
    kept[0].write_bytes(b"damaged")
    train_retrieval(tmp_path / "second", *changes)
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))
    model, _ = load_checkpoint(tmp_path / "second" / "best.safetensors", "retrieval")
    assert model.text_encoder.name == "minilm+tfidf" and model.bank.photos.shape == (3, 32)
    assert model.bank.sentences.shape == (6, 32)


# Data


def test_incomplete_photos(train_retrieval, scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "data")
    first = (data / "train.txt").read_text().split()[0]
    (data / "Sentences" / f"{first}.txt").write_text("")
    with pytest.raises(DataError, match=f"no sentences for the photo {first}"):
        train_retrieval(tmp_path / "run", data=data)
    train_retrieval(tmp_path / "run", "epochs=0", data=data, incomplete="skip")
    assert load_checkpoint(tmp_path / "run" / "best.safetensors", "retrieval")[1]["train_photos"] == 7


def test_data_that_nothing_can_be_trained_on(train_retrieval, tmp_path):
    with pytest.raises(SspeError, match="one photo to train on"):
        train_retrieval(tmp_path / "run", limit=1)
    with pytest.raises(SspeError, match=r"6 photos, .* are in the splits 'train' and 'train' alike"):
        train_retrieval(tmp_path / "run", val_split="train")
    assert not list((tmp_path / "run").iterdir())


def test_a_photo_that_cannot_be_opened_by_the_process_that_reads_ahead(train_retrieval, scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "data")
    broken = (data / "train.txt").read_text().split()[3]
    (data / "flickr30k-images" / f"{broken}.jpg").write_bytes(b"no photo")
    with pytest.raises(PhotoError) as error:
        train_retrieval(tmp_path / "run", "frozen_epochs=0", data=data)
    assert f"{broken}.jpg" in str(error.value) and "\n" not in str(error.value) and "Caught" not in str(error.value)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_run_learns(train_retrieval, tmp_path):
    """Drawn scenes: better than by chance on frozen features, and still so fine-tuned."""
    from sspe.data.synthetic.scenes import write_synthetic

    data = write_synthetic(tmp_path / "scenes", train=100, val=24, seed=0)
    changes = ["text.encoder=tfidf", "photos.side=96", "frozen_epochs=12", "frozen_batch=16", "epochs=4", "batch=8"]
    changes += ["network.hidden=128", "backbone_lr=3e-4", "colour=0", "zoom=0.9", "photos.backbone=efficientnet_lite2"]
    train_retrieval(tmp_path / "run", *changes, data=data, limit=None, val_limit=None)
    recalls = [float(row["watched_mean_recall"]) for row in rows(tmp_path / "run")]
    by_chance = (1 + 5 + 10) / 24 / 3  # of sentences to photos; that of photos to sentences is not far
    assert recalls[11] > 1.3 * by_chance and recalls[-1] > 1.4 * by_chance
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")]
    # The first fine-tuned epoch is the warm-up, whose steps are too small to show anything.
    assert losses[11] < 0.6 * losses[0] and losses[-1] < losses[13]
