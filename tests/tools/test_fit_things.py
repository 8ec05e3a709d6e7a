"""The weights of several things: which regions count as right, and a fit on drawn scenes."""

import fit_things
import numpy as np


def test_a_thing_is_found_once_and_by_the_better_region():
    annotated = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    given = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [50, 0, 60, 10], [20, 0, 30, 12]], np.float32)
    assert fit_things.right_ones(given, annotated).tolist() == [True, False, False, True]
    assert fit_things.right_ones(given[:0], annotated).shape == (0,)


def test_the_weights_are_fitted_and_printed(scenes, checkpoint, cache, capsys, monkeypatch):
    monkeypatch.setattr(fit_things.answering, "WEIGHTS", fit_things.answering.WEIGHTS)  # put back afterwards
    assert fit_things.main(["--data", str(scenes), "--checkpoint", str(checkpoint), "--split", "train"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "phrases; F1 of boxes" in first and second.startswith("WEIGHTS = np.array([") and second.count(",") == 7


def test_photos_without_several_boxes_are_one_sentence(tmp_path, scenes, checkpoint, cache, capsys, monkeypatch):
    monkeypatch.setattr(fit_things, "cases", lambda model, photos: iter(()))
    assert fit_things.main(["--data", str(scenes), "--checkpoint", str(checkpoint)]) == 2
    assert "has several boxes and says that it means several things" in capsys.readouterr().err
