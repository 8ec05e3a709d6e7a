"""Saved results and their paired difference, by hand."""

import json

import numpy as np
import pytest

from sspe.errors import DataError
from sspe.evaluation.answers import Judged
from sspe.evaluation.comparison import compare, save_results, table


def save(path, result, hits):
    """A file of results whose phrases {(photo, start): right or not} are answered so."""
    made = [
        result([0.8 if right else 0.3], photo=photo, start=start, sentence=0) for (photo, start), right in hits.items()
    ]
    save_results(made, path, {})
    return path


# Saving


def test_what_is_saved(tmp_path, result):
    box = np.array([10.123, 0, 60, 50], np.float32)
    results = [
        result([0.2, 0.6, 0.1], kept=[0, 2], types=("people", "other"), text="a man", photo="7", start=3, sentence=2,
               answer=box, any_iou=0.25, alone_iou=0.123456, scores=[0.51234567, 0.2, 0.1]),
        result([0.1, 0.2, 0.9], kept=[0, 2], judged=Judged(np.zeros(3), 0.25, 0.75)),
        result([0.5], photo="8"),
        result([0.4999]),
    ]  # fmt: skip
    file = tmp_path / "deep" / "saved.json"
    save_results(results, file, {"checkpoint": "abc"})
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert list(saved) == ["about", "phrases"] and saved["about"] == {"checkpoint": "abc"}
    assert saved["phrases"][0] == {
        "photo": "7", "sentence": 2, "start": 3, "text": "a man", "types": ["people", "other"],
        "right": [0, 0, 50, 50], "answer": [10.12, 0, 60, 50], "iou": 0.2, "any_iou": 0.25, "alone_iou": 0.1235,
        "score": 0.5123, "rank": 2, "rank_nms": None, "confidence": None, "present": None,
    }  # fmt: skip
    assert [(p["rank"], p["rank_nms"]) for p in saved["phrases"]] == [(2, None), (3, 2), (1, 1), (None, None)]
    assert (saved["phrases"][1]["confidence"], saved["phrases"][1]["present"]) == (0.25, 0.75)
    assert [path.name for path in file.parent.iterdir()] == ["saved.json"]


# Comparing


def test_by_hand(tmp_path, result):
    a = {("1", 0): True, ("1", 5): False, ("2", 0): False, ("2", 5): False, ("3", 0): True, ("9", 0): True}
    b = {("1", 0): True, ("1", 5): True, ("2", 0): True, ("2", 5): False, ("3", 0): False, ("3", 5): True}
    b |= {("4", 0): True}
    found = compare(save(tmp_path / "a", result, a), save(tmp_path / "b", result, b))
    low, high = found.pop("interval")
    assert found == {
        "recall_at_1_a": pytest.approx(2 / 5),
        "recall_at_1_b": pytest.approx(3 / 5),
        "difference": pytest.approx(1 / 5),
        "gained": 2,
        "lost": 1,
        "phrases": 5,
        "photos": 3,
        "only_in_a": 1,
        "only_in_b": 2,
    }
    # A resample of photos 1, 2 and 3 is at worst three times the third, at best without it.
    assert (low, high) == (pytest.approx(-1), pytest.approx(0.5))
    assert low <= found["difference"] <= high


def test_a_file_and_itself(tmp_path, result):
    rng = np.random.default_rng(0)
    file = save(tmp_path / "a", result, {(str(n % 7), n): rng.random() < 0.5 for n in range(40)})
    found = compare(file, file)
    assert found["difference"] == found["gained"] == found["lost"] == found["only_in_a"] == found["only_in_b"] == 0
    assert found["interval"] == [0, 0] and found["recall_at_1_a"] == found["recall_at_1_b"] > 0
    assert (found["phrases"], found["photos"]) == (40, 7)


def test_whole_photos_are_drawn_and_the_same_for_both(tmp_path, result):
    # In every photo B gains one phrase of two, so no choice of photos gives another difference; one of phrases would.
    a = {(str(n), start): n % 2 == 0 and start == 0 for n in range(6) for start in (0, 5)}
    b = {(photo, start): right or start == 5 for (photo, start), right in a.items()}
    found = compare(save(tmp_path / "a", result, a), save(tmp_path / "b", result, b))
    assert found["difference"] == 0.5 and found["interval"] == [0.5, 0.5]


def test_the_interval_is_that_of_the_binomial_spread(tmp_path, result):
    """400 photos of one phrase, of which B gains 80 and loses 40: the normal interval is known."""
    a = {(str(n), 0): n < 40 for n in range(400)}
    b = {(str(n), 0): 40 <= n < 120 for n in range(400)}
    found = compare(save(tmp_path / "a", result, a), save(tmp_path / "b", result, b))
    spread = np.sqrt((80 + 40) / 400 - 0.1**2) / np.sqrt(400)
    assert found["difference"] == pytest.approx(0.1)
    assert found["interval"] == pytest.approx([0.1 - 1.96 * spread, 0.1 + 1.96 * spread], abs=0.005)
    assert compare(tmp_path / "a", tmp_path / "b") == found
    back = compare(tmp_path / "b", tmp_path / "a")
    assert (back["difference"], back["gained"], back["lost"]) == (pytest.approx(-0.1), 40, 80)


def test_table(tmp_path, result):
    a = save(tmp_path / "a", result, {("1", 0): False, ("1", 5): True, ("2", 0): True})
    b = save(tmp_path / "b", result, {("1", 0): True, ("1", 5): True, ("3", 0): True})
    lines = table(compare(a, b)).splitlines()
    assert lines[0] == "2 shared phrases of 1 photos; 1 only in A, 1 in B"
    assert lines[1] == "A 50.00 %, B 100.00 % R@1"
    assert lines[2].startswith("B - A: +50.00 points, 95 % interval +50.00 to +50.00 (bootstrap over photos")
    assert lines[2].endswith("1 phrases gained, 0 lost")


def test_an_overlap_just_below_a_half_is_not_rounded_up(tmp_path, result):
    save_results([result([0.49996])], tmp_path / "a", {})
    assert compare(tmp_path / "a", tmp_path / "a")["recall_at_1_a"] == 0


def test_two_phrases_may_begin_at_the_same_place(tmp_path, result):
    save_results([result([0.9], text="a man"), result([0.1], text="a man in red")], tmp_path / "a", {})
    assert compare(tmp_path / "a", tmp_path / "a")["phrases"] == 2


def test_files_that_are_no_results(tmp_path, result):
    good = save(tmp_path / "good.json", result, {("1", 0): True})
    for name, content in (
        ("binary", b"\x89PNG\xff\x00"),
        ("text", b"R@1 56 %"),
        ("list", b"[]"),
        ("object", b"{}"),
        ("null", b'{"phrases": null}'),
        ("strings", b'{"phrases": ["a"]}'),
        ("less", b'{"phrases": [{"photo": "1", "sentence": 0, "start": 0}]}'),
        ("no number", b'{"phrases": [{"photo": "1", "sentence": 0, "start": 0, "iou": null}]}'),
    ):
        (tmp_path / name).write_bytes(content)
        for pair in ((tmp_path / name, good), (good, tmp_path / name)):
            with pytest.raises(DataError, match=rf"{name} holds no saved results; give a file written with --save\.$"):
                compare(*pair)
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(DataError, match=r"cannot be read \(.*\); give a file written with --save\.$") as error:
            compare(good, path)
        assert str(path) in str(error.value)


def test_results_on_other_photos(tmp_path, result):
    a, b = save(tmp_path / "a", result, {("1", 0): True}), save(tmp_path / "b", result, {("2", 0): True})
    save_results([], tmp_path / "none", {})
    for other in (b, tmp_path / "none"):
        with pytest.raises(DataError, match=r"have no phrase in common; save both on the same photos\.$"):
            compare(a, other)
