"""Evaluation called from Python gives what the command writes."""

import json

import pytest

from sspe.data import open_dataset
from sspe.errors import SspeError
from sspe.evaluate import main
from sspe.evaluation.localization import evaluate_localization
from sspe.evaluation.phrases import evaluate_phrases
from sspe.evaluation.ranking import evaluate_ranking
from sspe.localizer import Localizer
from sspe.models.calibration import unfitted


@pytest.fixture(scope="module")
def some(scenes):
    return open_dataset(scenes, "val", limit=2)


def written(line, scenes, tmp_path):
    file = tmp_path / "figures.json"
    assert main([*line, "--data", str(scenes), "--limit", "2", "--quiet", "--output", str(file)]) == 0
    return json.loads(file.read_text())


def test_localization_as_the_command_measures_it(tiny_localizer, checkpoint, scenes, some, tmp_path):
    line = ["localization", "--checkpoint", str(checkpoint), "--device", "cpu", "--precision", "float32"]
    given, wrapped = [], []

    def progress(work, total=None):
        wrapped.append(total)
        return work

    measured = evaluate_localization(tiny_localizer, some, results=given.extend, progress=progress)
    assert json.loads(json.dumps(measured)) == written(line, scenes, tmp_path)
    assert len(given) == measured["phrases"] and wrapped[-1] is None
    ranked = evaluate_ranking(tiny_localizer, some, proposals=[10, 80])
    plain = written([*line, "--plain", "--proposals", "10", "80"], scenes, tmp_path)
    assert json.loads(json.dumps(ranked)) == plain and list(ranked["by_proposals"]) == ["10", "80"]


def test_phrases_as_the_command_measures_them(scenes, some, tmp_path):
    assert evaluate_phrases(some) == written(["phrases"], scenes, tmp_path)


def test_absent_phrases_are_asked_for_unless_told_otherwise(make_localization_model, some):
    model = make_localization_model(refiner=0)
    model.calibration = unfitted(model.embed_phrases(["a man", "a dog"]))
    localizer = Localizer(model, "cpu", "float32")
    assert "present" in evaluate_localization(localizer, some)
    measured = evaluate_localization(localizer, some, absent=False)
    assert "present" not in measured and "confidence" in measured


def test_what_cannot_be_measured(tiny_localizer, some):
    with pytest.raises(SspeError, match="no probabilities to cross-fit"):
        evaluate_localization(tiny_localizer, some, cross_fit=True)
    with pytest.raises(SspeError, match=r"^0 proposals were asked for, and a photo has at least 1; give at least 1\.$"):
        evaluate_ranking(tiny_localizer, some, proposals=[10, 0])
