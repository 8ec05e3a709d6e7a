"""`sspe evaluate search`: what it measures, on drawn scenes."""

import json

import numpy as np
import pytest
import torch

from sspe.data import open_dataset
from sspe.errors import DataError
from sspe.evaluate import main
from sspe.evaluation.nonsense import FOR_FITS, NONSENSE, TO_MEASURE
from sspe.evaluation.search import evaluate_search, first_regions, phrases_of, table
from sspe.indexing.embedding import PROPOSALS
from sspe.models.localization import Regions


@pytest.fixture(scope="module")
def measured(tiny_localizer, scenes):
    return evaluate_search(tiny_localizer, open_dataset(scenes, "val", limit=6))


def test_rates_grow_with_the_rank_and_none_is_lost(measured, scenes):
    photos = open_dataset(scenes, "val", limit=6)
    assert measured["recall_at_1"] <= measured["recall_at_5"] <= measured["recall_at_10"] == 1  # of six photos
    assert 1 / 6 <= measured["mean_average_precision"] <= 1 and 0 <= measured["right_box"] <= 1
    lengths = measured["by_words"]
    assert sum(row["phrases"] for row in lengths.values()) == len(phrases_of(photos))
    assert measured["phrases"] == sum(row["phrases"] for name, row in lengths.items() if name != "1")
    assert "probability" not in measured  # nothing was fitted
    assert f"{100 * measured['mean_average_precision']:.1f}" in table(measured)


def test_from_the_command_line(checkpoint, scenes, measured, tmp_path, capsys):
    options = ["--data", str(scenes), "--limit", "6", "--checkpoint", str(checkpoint), "--device", "cpu", "--quiet"]
    options += ["--precision", "float32", "--output", str(tmp_path / "search.json")]
    assert main(["search", *options]) == 0
    assert json.loads((tmp_path / "search.json").read_text()) == measured
    assert capsys.readouterr().out == table(measured) + "\n"


def test_regions_that_are_kept_keep_what_the_detector_sees():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (PROPOSALS + 20, 1))
    embeddings = torch.rand(PROPOSALS + 20, 8)
    kept = first_regions(Regions(20, 30, boxes, embeddings, embeddings[:, :4], np.array([0.25, 0.5], np.float32)))
    assert (kept.width, kept.height) == (20, 30) and kept.seen.tolist() == [0.25, 0.5]
    assert {len(part) for part in (kept.boxes, kept.embeddings, kept.described)} == {PROPOSALS}
    assert first_regions(Regions(20, 30, boxes, embeddings, None)).described is None


def test_photos_without_phrases_are_nothing_to_measure(tiny_localizer):
    with pytest.raises(DataError, match="no phrase of two words"):
        evaluate_search(tiny_localizer, ())


def test_nonsense_for_fits_is_not_measured():
    assert not set(FOR_FITS) & set(TO_MEASURE) and len(NONSENSE) == len(set(NONSENSE)) > 100
    assert {"sdkfj", "a quantum algorithm"} <= set(TO_MEASURE)
    assert np.isclose(len(FOR_FITS), len(TO_MEASURE), atol=1)
