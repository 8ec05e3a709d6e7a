"""On CUDA: train an epoch of drawn scenes, evaluate, localize, serve the page; and compare with the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sspe.evaluate
import sspe.localize
import sspe.train
from sspe.data.synthetic.scenes import write_synthetic
from sspe.localizer import Localizer
from sspe.retriever import Retriever
from sspe.settings import TextSettings
from sspe.text.context import ALONE, Context
from sspe.text.encoders import create_text_encoder
from sspe.training import train
from sspe.training.localization import LocalizationTask
from sspe.training.recipes import recipe

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here"),
]

SENTENCES = ("A man and a woman beside a red ball on the grass.", "Two green fish, a large car and the sky.")
NEAR = 1e-3  # in cosine, between CUDA and the CPU, both in float32
PIXELS = 1.0  # between refined boxes of the two


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run of one epoch on CUDA."""
    data = write_synthetic(tmp_path_factory.mktemp("gpu_scenes"), train=96, val=12)
    folder = tmp_path_factory.mktemp("gpu") / "run"
    line = ["--data", data, "--recipe", "synthetic", "--device", DEVICE, "--output", folder, "--quiet"]
    line += ["--set", "epochs=1", "--set", "regions.side=128", "--set", "proposals.count=60"]
    torch.cuda.reset_peak_memory_stats()
    assert sspe.train.main([str(part) for part in line]) == 0
    assert torch.cuda.max_memory_allocated() > 50e6  # bytes: the network and a batch were there
    return folder


@pytest.fixture(scope="module")
def localizers(run) -> tuple[Localizer, Localizer]:
    """The same checkpoint on CUDA and on the CPU, both in float32."""
    best = run / "best.safetensors"
    return Localizer.from_pretrained(best, DEVICE, "float32"), Localizer.from_pretrained(best, "cpu", "float32")


def test_training_writes_its_files(run):
    names = ["best.safetensors", "curves.png", "last.pt", "lock", "log.csv", "metrics.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    assert 0 <= json.loads((run / "metrics.json").read_text())["recall_at_1"] <= 1


def test_a_run_goes_on_where_it_was_stopped(scenes, tmp_path, monkeypatch):
    made = recipe("synthetic", ["epochs=1", "regions.side=96", "proposals.count=40", "batch=4"])
    run = {"recipe": made, "data": scenes, "output": tmp_path / "run", "device": DEVICE, "quiet": True}
    whole, calls = LocalizationTask.loss, []

    def stopped(self, batch):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(LocalizationTask, "loss", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(**run, save_every=-1.0)
    # What follows is not the very run that was stopped: on CUDA the gradient of RoIAlign adds up in any order.
    train(**run, resume=True)
    assert (tmp_path / "run" / "metrics.json").exists()


def test_auto_takes_the_gpu_and_cuda_float32_is_float32(run):
    best = run / "best.safetensors"
    assert Localizer.from_pretrained(best).model.device.type == DEVICE
    Localizer.from_pretrained(best, DEVICE, "float32")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_cosines_are_those_of_the_cpu(localizers, photos):
    gpu, cpu = localizers
    for path in photos[:6]:
        there, here = gpu.see(path).regions, cpu.see(path).regions
        assert there.embeddings.device.type == DEVICE and np.array_equal(there.boxes, here.boxes)
        phrases = ["a man", "the grass", "a red ball", "two green fish"]
        cosines = [
            localizer.model.embed_phrases(phrases) @ regions.embeddings.T
            for localizer, regions in ((gpu, there), (cpu, here))
        ]
        torch.testing.assert_close(cosines[0].cpu(), cosines[1], atol=NEAR, rtol=0)
        contexts = [Context("", "beside the grass"), ALONE, Context("a man with", ""), ALONE]
        a, b = gpu.model.locate(there, phrases, contexts), cpu.model.locate(here, phrases, contexts)
        assert a.boxes.shape == (4, len(here.boxes), 4)
        assert np.abs(a.boxes - b.boxes).max() < PIXELS and np.abs(a.scores - b.scores).max() < NEAR


def test_best_boxes_are_those_of_the_cpu(localizers, photos):
    gpu, cpu = localizers
    phrases = 0
    for sentence in SENTENCES:
        for there, here in zip(gpu.batch(photos[:8], sentence), cpu.batch(photos[:8], sentence), strict=True):
            for a, b in zip(there.phrases, here.phrases, strict=True):
                assert (a.text, a.start, a.end) == (b.text, b.start, b.end)
                assert a.score == pytest.approx(b.score, abs=NEAR)
                # Two boxes may tie: then another sum of the same numbers may prefer the other one.
                assert a.box == pytest.approx(b.box, abs=PIXELS) or a.score == pytest.approx(b.score, abs=1e-6)
                phrases += 1
    assert phrases >= 50


def test_bfloat16_is_near(run, localizers, photos):
    rough, exact = Localizer.from_pretrained(run / "best.safetensors", DEVICE, "bfloat16"), localizers[0]
    a, b = rough.see(photos[0]).regions.embeddings.float(), exact.see(photos[0]).regions.embeddings
    assert (a * b).sum(dim=1).min() > 0.95


def test_evaluation_agrees_with_the_cpu(run, scenes, tmp_path, capsys):
    found = {}
    for device in (DEVICE, "cpu"):
        line = ["localization", "--data", scenes, "--checkpoint", run / "best.safetensors", "--device", device]
        line += ["--precision", "float32", "--quiet", "--output", tmp_path / f"{device}.json"]
        assert sspe.evaluate.main([str(part) for part in line]) == 0
        found[device] = json.loads((tmp_path / f"{device}.json").read_text())
    assert found[DEVICE]["phrases"] == found["cpu"]["phrases"] > 50
    for name in ("recall_at_1", "recall_at_5", "recall_at_10", "upper_bound"):
        assert found[DEVICE][name] == pytest.approx(found["cpu"][name], abs=0.01)


def test_the_command(run, photos, capsys):
    line = ["--checkpoint", run / "best.safetensors", "--device", DEVICE, *photos[:3], SENTENCES[0]]
    assert sspe.localize.main([str(part) for part in line]) == 0
    for found in json.loads(capsys.readouterr().out):
        assert [phrase["text"] for phrase in found["phrases"]][:2] == ["A man", "a woman"]


def test_the_page(localizers, photos):
    from gradio_client import Client, handle_file
    from serving import served  # of tests/web

    from sspe.web.page import build_app

    gpu, cpu = localizers
    with served(build_app(gpu)) as url:
        client = Client(url, verbose=False)
        found = client.predict(handle_file(photos[0]), SENTENCES[0], api_name="/localize")
    expected = cpu(photos[0], SENTENCES[0]).to_dict()
    assert (found["width"], found["height"]) == (expected["width"], expected["height"])
    for a, b in zip(found["phrases"], expected["phrases"], strict=True):
        assert a["text"] == b["text"] and a["box"] == pytest.approx(b["box"], abs=PIXELS)
        assert a["score"] == pytest.approx(b["score"], abs=NEAR + 1e-4)  # written with four digits


# Retrieval


@pytest.fixture(scope="module")
def retrieval_run(tmp_path_factory) -> Path:
    """The folder of a retrieval run on CUDA: an epoch of the branches, an epoch of everything."""
    data = write_synthetic(tmp_path_factory.mktemp("gpu_captions"), train=48, val=12)
    folder = tmp_path_factory.mktemp("gpu_retrieval") / "run"
    line = ["--task", "retrieval", "--data", data, "--device", DEVICE, "--output", folder, "--quiet"]
    for change in ("text.encoder=tfidf", "photos.side=96", "frozen_epochs=1", "epochs=1", "batch=12"):
        line += ["--set", change]
    assert sspe.train.main([str(part) for part in line]) == 0
    return folder


def test_retrieval_scores_are_those_of_the_cpu(retrieval_run, photos):
    best = retrieval_run / "best.safetensors"
    gpu, cpu = (Retriever.from_pretrained(best, device, "float32") for device in (DEVICE, "cpu"))
    scores = [r.scores(r.embed_photos(photos[:6]), r.embed_sentences(SENTENCES)) for r in (gpu, cpu)]
    assert gpu.model.device.type == DEVICE and scores[0].shape == (6, 2)
    assert np.abs(scores[0] - scores[1]).max() < NEAR


def test_regions_beside_on_cuda(retrieval_run, run, photos):
    best, localizer = retrieval_run / "best.safetensors", run / "best.safetensors"
    scores = [
        r.scores(r.embed_photos(photos[:3]), r.embed_sentences(SENTENCES))
        for r in (Retriever.from_pretrained(best, device, "float32", localizer) for device in (DEVICE, "cpu"))
    ]
    assert np.abs(scores[0] - scores[1]).max() < 3 * NEAR  # the regions are kept in float16


@pytest.mark.parametrize("name", ["mean", "tfidf", "hglmm", "minilm"])
def test_text_encoders_read_the_same_on_cuda(name):
    texts = ["a man in a red hat", "the dog of two women", "a boat", "three men on bikes"] * 20
    encoder = create_text_encoder(TextSettings(name, context=3, centres=2, pca=4), texts)
    phrases, contexts = ["a red hat", "two dogs", "qwerty", ""], [Context("a man in", ""), ALONE, ALONE, ALONE]
    expected = encoder.encode(phrases, contexts)
    found = encoder.to(DEVICE).encode(phrases, contexts)
    assert found.device.type == DEVICE
    torch.testing.assert_close(found.cpu(), expected, atol=NEAR, rtol=0)
