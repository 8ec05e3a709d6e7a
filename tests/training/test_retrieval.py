"""`sspe train --task retrieval` through its real main(): files, resuming, bad input, and that the network learns."""

import json
import shutil

import pytest
import torch
from run_files import rows, same, weights
from safetensors.torch import load_file

import sspe.evaluate
import sspe.training.loop
from sspe.checkpoint import identity, load_checkpoint
from sspe.data.captions import open_captions
from sspe.train import main
from sspe.training.retrieval import RetrievalRun
from sspe.vision.photo import open_photo

CPU = ["--device", "cpu", "--precision", "float32", "--quiet"]
TINY = ["--task", "retrieval", "--limit", "8", "--val-limit", "6"]
for change in ("text.encoder=mean", "photos.side=64", "frozen_epochs=1", "epochs=2", "frozen_batch=8", "batch=4",
               "network.hidden=64", "network.embedding=32", "warm_up=0.3"):  # fmt: skip
    TINY += ["--set", change]


pytestmark = pytest.mark.usefixtures("few_words")


def train(data, output, *options) -> int:
    return main(["--data", str(data), "--output", str(output), *CPU, *TINY, *map(str, options)])


@pytest.fixture
def finished(scenes, tmp_path_factory, request):
    """A whole tiny run, made once and never changed."""
    if not hasattr(request.module, "finished_run"):
        run = tmp_path_factory.mktemp("finished") / "run"
        assert train(scenes, run) == 0
        request.module.finished_run = run
    return request.module.finished_run


def test_a_run_writes_its_files(finished):
    names = ["best.safetensors", "curves.png", "last.pt", "log.csv", "metrics.json"]
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
    assert (about["recipe"], about["seed"], about["train_photos"], about["epoch"] in (1, 2, 3)) == (
        "retrieval", 0, 8, True
    )  # fmt: skip
    best = max(float(row["watched_mean_recall"]) for row in rows(finished))
    assert about["watched_val"]["mean_recall"] == pytest.approx(best, abs=1e-4)
    assert about["data"] == scenes.name and str(scenes.parent) not in json.dumps(about)  # no path of this machine
    assert about["all_val"] == json.loads((finished / "metrics.json").read_text())


def test_metrics_are_those_of_the_evaluate_command(finished, scenes, tmp_path):
    line = ["retrieval", "--data", scenes, "--checkpoint", finished / "best.safetensors", "--limit", 6, "--plain", *CPU]
    assert sspe.evaluate.main([str(part) for part in (*line, "--output", tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again.pop("left_out"), again.pop("measure")) == ({}, "plain")
    assert again == json.loads((finished / "metrics.json").read_text())


def test_the_checkpoint_has_a_bank_of_training_photos_and_of_two_sentences_of_each(finished, scenes, tmp_path):
    assert train(scenes, tmp_path / "frozen", "--set", "epochs=0") == 0
    for run in (finished, tmp_path / "frozen"):
        model, _ = load_checkpoint(run / "best.safetensors", "retrieval")
        model.for_inference("cpu", "float32")
        trained_on = list(open_captions(scenes, "train", limit=8))
        x = model.embed_photos(open_photo(photo.path) for photo in trained_on)
        y = model.embed_sentences([sentence for photo in trained_on for sentence in photo.sentences[:2]])
        torch.testing.assert_close(model.bank.photos, x, atol=0.02, rtol=0)
        torch.testing.assert_close(model.bank.sentences, y, atol=0.02, rtol=0)


def test_the_branches_learn_first_then_everything_but_the_first_stages(finished, scenes, tmp_path):
    from sspe.training.recipes import retrieval_recipe
    from sspe.vision.photo_encoder import PhotoEncoder

    published = PhotoEncoder(retrieval_recipe("retrieval").photos, pretrained=True).state_dict()
    learned = weights(finished)
    moved = {name for name, tensor in published.items() if not torch.equal(tensor, learned[f"photos.{name}"])}
    assert {"map.6.0.conv_pw.weight", "head.0.0.conv_pw.weight"} <= moved
    assert not any(name.startswith(("map.0.", "map.1.", "map.2.", "map.3.")) for name in moved)
    assert train(scenes, tmp_path / "frozen", "--set", "epochs=0") == 0
    assert not any(name.startswith("photos.") for name in weights(tmp_path / "frozen"))
    assert rows(tmp_path / "frozen")[0]["loss"] == rows(finished)[0]["loss"]


def test_the_seed_decides_everything(finished, scenes, tmp_path):
    assert train(scenes, tmp_path / "same") == 0
    assert same(weights(finished), weights(tmp_path / "same"))
    assert train(scenes, tmp_path / "other", "--seed", 1) == 0
    assert not same(weights(finished), weights(tmp_path / "other"))


@pytest.mark.parametrize(
    ("stop_at", "left"),
    [
        ("watch 1", (0, 1, False)),  # after the last step on frozen features, before it is measured
        ("step 2", (1, 0, False)),  # before anything of the backbone was trained
        ("step 5", (2, 1, True)),  # in the middle of the last epoch
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(finished, scenes, tmp_path, monkeypatch, stop_at, left, capsys):
    method, count = stop_at.split()
    monkeypatch.setattr(sspe.training.loop, "SAVE_EVERY", -1.0)  # after every step
    with monkeypatch.context() as patch:
        whole, calls = getattr(RetrievalRun, method), []

        def interrupted(self, *arguments):
            calls.append(1)
            if len(calls) == int(count):
                raise KeyboardInterrupt
            return whole(self, *arguments)

        patch.setattr(RetrievalRun, method, interrupted)
        assert train(scenes, tmp_path / "run") == 130
    assert "--resume goes on from the last saved step" in capsys.readouterr().err
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert (state["epoch"], state["step_of_epoch"], state["fine"]) == left
    assert train(scenes, tmp_path / "run", "--resume") == 0
    assert same(weights(tmp_path / "run"), weights(finished))
    assert same(load_file(tmp_path / "run" / "best.safetensors"), load_file(finished / "best.safetensors"))
    assert (tmp_path / "run" / "metrics.json").read_text() == (finished / "metrics.json").read_text()


def test_resume_with_another_command(finished, scenes, capsys):
    assert train(scenes, finished, "--resume", "--set", "sentences=3") == 2
    assert "has other settings" in capsys.readouterr().err
    assert train(scenes, finished) == 2
    assert "already holds a run; add --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        ["network.hidden=0"],
        ["network.kind=cca"],
        ["loss.photo_anchor=0", "loss.sentence_structure=0", "sentences=1"],
        ["loss.photo_structure=0.1"],
        ["text.encoder=tfidf"],
        ["text.encoder=hglmm", "text.centres=3", "text.pca=16"],
        ["photos.views=crops", "photos.side=32"],
        ["photos.views=one", "photos.backbone=vgg16", "photos.weights=random", "photos.side=32"],
    ],
)
def test_each_variant_is_a_setting(scenes, tmp_path, changes):
    options = [part for change in ["epochs=0", *changes] for part in ("--set", change)]
    assert train(scenes, tmp_path / "run", "--recipe", "retrieval-frozen", *options) == 0
    measured = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 < measured["mean_recall"] <= 1 and len(rows(tmp_path / "run")) == 1
    if "photos.weights=random" in changes:  # those are not in the features' way back: another draw
        return
    # Through the checkpoint the same, but for the rounding of the weights.
    line = [
        "retrieval",
        "--data",
        scenes,
        "--checkpoint",
        tmp_path / "run" / "best.safetensors",
        "--limit",
        6,
        "--plain",
        *CPU,
    ]
    assert sspe.evaluate.main([str(part) for part in (*line, "--output", tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["mean_recall"] == pytest.approx(measured["mean_recall"], abs=0.06)


def test_a_run_takes_data_that_another_has_read(scenes, tmp_path, monkeypatch):
    from sspe.train import parser
    from sspe.training.recipes import retrieval_recipe
    from sspe.training.retrieval_data import RetrievalData

    line = ["--data", str(scenes), *CPU, *TINY, "--set", "epochs=0"]
    options = parser().parse_args(line)
    chosen = retrieval_recipe("retrieval", options.set)
    assert main([*line, "--output", str(tmp_path / "first")]) == 0
    data = RetrievalData.read(chosen, options)
    monkeypatch.setattr(RetrievalData, "read", lambda *_: pytest.fail("read again"))
    RetrievalRun(chosen, "retrieval", tmp_path / "second", options, data).train()
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))


def test_incomplete_photos(scenes, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    first = (data / "train.txt").read_text().split()[0]
    (data / "Sentences" / f"{first}.txt").write_text("")
    assert train(data, tmp_path / "run") == 2
    assert f"no sentences for the photo {first}" in capsys.readouterr().err
    assert train(data, tmp_path / "run", "--incomplete", "skip", "--set", "epochs=0") == 0
    assert load_checkpoint(tmp_path / "run" / "best.safetensors", "retrieval")[1]["train_photos"] == 7


# Bad input: exit code 2, one sentence, and no file written


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recipe", "frozen"], "no recipe 'frozen' of retrieval; choose one of retrieval, retrieval-frozen"),
        (["--set", "loss.region_anchor=1"], "no setting 'loss.region_anchor'"),
        (["--set", "photos.backbone=vgg99"], "no backbone 'vgg99'"),
        (["--set", "text.encoder=bag"], "no text encoder 'bag'"),
        (["--limit", "1"], "one photo to train on"),
        (["--limit", "0"], "at least 1 photo"),
        (["--train-split", "half"], "half"),
        (["--val-split", "half"], "half"),
        (["--photos", "nowhere"], "nowhere"),
        (["--device", "tpu"], "no device 'tpu'"),
    ],
)
def test_options_that_mean_nothing(scenes, tmp_path, options, told, capsys):
    assert train(scenes, tmp_path / "run", *options) == 2
    out, err = capsys.readouterr()
    assert told in err.splitlines()[-1] and out == "" and "Traceback" not in err
    assert not list((tmp_path / "run").glob("*"))


def test_options_of_the_other_task(scenes, tmp_path, capsys):
    line = ["--data", str(scenes), "--output", str(tmp_path / "run"), "--incomplete", "skip"]
    assert main(line) == 2
    assert "--incomplete is about the sentences of retrieval" in capsys.readouterr().err
    assert main(["--data", str(scenes), "--output", str(tmp_path / "run"), "--recipe", "retrieval"]) == 2
    assert "There is no recipe 'retrieval'" in capsys.readouterr().err


@pytest.mark.timeout(300)
def test_a_short_run_learns(tmp_path):
    """Drawn scenes: better than by chance on frozen features, and still so fine-tuned; half a minute on one thread."""
    from sspe.data.synthetic.scenes import write_synthetic

    data = write_synthetic(tmp_path / "scenes", train=100, val=24, seed=0)
    changes = ["text.encoder=tfidf", "photos.side=96", "frozen_epochs=12", "frozen_batch=16", "epochs=4", "batch=8"]
    changes += ["network.hidden=128", "backbone_lr=3e-4", "colour=0", "zoom=0.9"]
    options = [part for change in changes for part in ("--set", change)]
    assert train(data, tmp_path / "run", "--limit", 100, "--val-limit", 24, *options) == 0
    recalls = [float(row["watched_mean_recall"]) for row in rows(tmp_path / "run")]
    by_chance = (1 + 5 + 10) / 24 / 3  # of sentences to photos; that of photos to sentences is not far
    assert recalls[11] > 1.3 * by_chance and recalls[-1] > 1.4 * by_chance
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")]
    # The first fine-tuned epoch is the warm-up, whose steps are too small to show anything.
    assert losses[11] < 0.6 * losses[0] and losses[-1] < losses[13]


def test_a_run_starts_with_the_weights_of_a_checkpoint(finished, scenes, tmp_path):
    start = finished / "best.safetensors"
    still = ["--set", "frozen_epochs=0", "--set", "epochs=1", "--set", "backbone_lr=0", "--set", "branch_lr=0"]
    assert train(scenes, tmp_path / "run", "--start", start, *still) == 0
    before, after = load_file(start), load_file(tmp_path / "run" / "best.safetensors")
    for name in (name for name in before if "weight" in name or "bias" in name):
        torch.testing.assert_close(after[name], before[name], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("changes", [["frozen_epochs=2"], ["frozen_epochs=2", "epochs=0"]])
def test_a_run_that_started_with_weights_is_resumed_with_them(finished, scenes, tmp_path, monkeypatch, changes):
    options = ["--start", finished / "best.safetensors", *(part for c in changes for part in ("--set", c))]
    assert train(scenes, tmp_path / "whole", *options) == 0
    watch, watched = RetrievalRun.watch, []

    def stop_after_the_first_epoch(self):
        watched.append(self.epoch)
        if len(watched) == 2:
            raise KeyboardInterrupt
        return watch(self)

    with monkeypatch.context() as stopped:
        stopped.setattr(RetrievalRun, "watch", stop_after_the_first_epoch)
        assert train(scenes, tmp_path / "parts", *options) == 130
    assert train(scenes, tmp_path / "parts", "--resume", *options) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    _, about = load_checkpoint(tmp_path / "parts" / "best.safetensors", "retrieval")
    assert about["start"] == identity(finished / "best.safetensors")
    other = ["--resume", *options[2:]]
    assert train(scenes, tmp_path / "parts", *other) == 2  # without --start it is another run


def test_a_start_that_reads_other_words_is_refused(finished, scenes, tmp_path, capsys):
    assert train(scenes, tmp_path / "first", "--set", "text.encoder=tfidf", "--set", "text.vocabulary=20") == 0
    words = (
        "--set",
        "text.encoder=tfidf",
        "--set",
        "text.vocabulary=20",
        "--train-split",
        "val",
        "--val-split",
        "train",
    )
    assert train(scenes, tmp_path / "second", "--start", tmp_path / "first" / "best.safetensors", *words) == 2
    assert "its text encoder differs from this run's" in capsys.readouterr().err


def test_a_photo_that_cannot_be_opened_is_one_sentence(scenes, tmp_path, capsys):
    data = shutil.copytree(scenes, tmp_path / "data")
    broken = (data / "train.txt").read_text().split()[3]
    (data / "flickr30k-images" / f"{broken}.jpg").write_bytes(b"no photo")
    assert train(data, tmp_path / "run", "--set", "frozen_epochs=0") == 2
    last = capsys.readouterr().err.rstrip().splitlines()
    assert f"{broken}.jpg" in last[-1] and not any("Traceback" in line or "Caught" in line for line in last)


def test_photos_to_train_and_to_measure_on_are_different_ones(scenes, tmp_path, capsys):
    assert train(scenes, tmp_path / "run", "--val-split", "train") == 2
    assert "6 photos, " in (told := capsys.readouterr().err) and "in the splits 'train' and 'train' alike" in told


def test_sentences_are_read_side_by_side_with_minilm(scenes, tmp_path, monkeypatch):
    """The default way, in small: kept features, a bank of some of the photos, and through the checkpoint."""
    monkeypatch.setattr("sspe.training.retrieval.BANK_PHOTOS", 3)
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "cache"))
    options = ("--set", "text.encoder=minilm+tfidf", "--set", "epochs=0")
    assert train(scenes, tmp_path / "first", *options) == 0
    kept = sorted((tmp_path / "cache" / "texts").iterdir())
    assert len(kept) == 2  # MiniLM's, of training and of val; tf-idf is fitted anew
    kept[0].write_bytes(b"damaged")
    assert train(scenes, tmp_path / "second", *options) == 0
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))
    model, _ = load_checkpoint(tmp_path / "second" / "best.safetensors", "retrieval")
    assert model.text_encoder.name == "minilm+tfidf" and model.bank.photos.shape == (3, 32)
    assert model.bank.sentences.shape == (6, 32)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--set", "network.hidden=16"], "its network."),
        (["--task", "localization"], "--start is about a checkpoint of retrieval"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(finished, scenes, tmp_path, capsys, options, words):
    assert train(scenes, tmp_path / "run", "--start", finished / "best.safetensors", *options) == 2
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
