"""benchmarks/ablation_page.py: what the runs say of each claim, and the page they are written into."""

import json

import ablation_page as page
import numpy as np
import pytest

PHOTOS, EACH = 60, 4


def line(row: str, seed: int, hits: np.ndarray) -> dict:
    """A run with these phrases found."""
    rate = float(hits.mean())
    rates = {f"recall_at_{k}": rate for k in (1, 5, 10)}
    return {
        "row": row, "seed": seed, **rates, "nms": rates, "curve": [0.1, rate], "phrases": len(hits), "protocol": "p",
        "by_proposals": {"200": {"upper_bound": 0.9}}, "floor_whole_photo": 0.1, "floor_centred_box": 0.2,
        "phrases_of_photos": [EACH] * PHOTOS, "hits": np.packbits(hits).tobytes().hex(),
    }  # fmt: skip


def runs_of(row: str, *rates: float) -> list[dict]:
    """Runs that find so much; the photos that are found last are those that no other run finds."""
    return [line(row, seed, np.arange(PHOTOS * EACH) < rate * PHOTOS * EACH) for seed, rate in enumerate(rates)]


def test_the_three_verdicts():
    good, bad, between = runs_of("a", 0.6, 0.62), runs_of("b", 0.3, 0.32), runs_of("c", 0.31, 0.61)
    assert page.verdict(good, bad, page.interval(good, bad)) == "holds"
    assert page.verdict(bad, good, page.interval(bad, good)) == "does not hold"
    assert page.verdict(good, between, page.interval(good, between)) == "cannot be told here"
    # Apart, but by less than the photos that happened to be drawn explain.
    rng = np.random.default_rng(0)
    found = [rng.random(PHOTOS * EACH) < rate for rate in (0.52, 0.50)]
    a, b = ([line("a", seed, hits) for seed in range(2)] for hits in found)
    assert a[0]["recall_at_1"] != b[0]["recall_at_1"]
    better, worse = (a, b) if a[0]["recall_at_1"] > b[0]["recall_at_1"] else (b, a)
    assert page.verdict(better, worse, page.interval(better, worse)) == "cannot be told here"


def test_a_single_seed_tells_nothing():
    good, bad = runs_of("a", 0.6, 0.62), runs_of("b", 0.3)
    for one, other in ((good, bad), (bad, good)):
        assert page.verdict(one, other, page.interval(one, other)) == "cannot be told here"


def test_the_interval_is_paired_and_draws_whole_photos():
    a, b = runs_of("a", 0.6), runs_of("b", 0.5)
    low, high = page.interval(a, b)
    assert 0 < low < 10 < high < 20  # six of sixty photos are found by a alone
    assert page.interval(a, a) == (0, 0)


def test_the_page_keeps_what_stands_around_the_figures(tmp_path):
    results = tmp_path / "results.jsonl"
    lines = [*runs_of("base", 0.5, 0.52), *runs_of("linear", 0.3, 0.31), *runs_of("base", 0.55)]
    results.write_text("".join(json.dumps(run) + "\n" for run in lines))
    file = tmp_path / "claims.md"
    file.write_text(f"before\n{page.MARKERS[0]}\nold\n{page.MARKERS[1]}\nafter\n")
    for _ in range(2):  # a second time gives the same page
        assert page.main([str(results), str(file)]) == 0
        text = file.read_text()
        assert text.startswith(f"before\n{page.MARKERS[0]}\n\n- A nonlinear") and text.endswith(
            f"{page.MARKERS[1]}\nafter\n"
        )
        assert "\nold\n" not in text and "| linear branches | 30.6 ± 0.6 | 30.6 ± 0.6 | 30.6 ± 0.6 | 2 |" in text
        assert "mean of word vectors, nonlinear, bi-directional | 53.5 ± 1.5" in text  # the later run of seed 0
        assert ", seeds: 2)" in text and "**holds** (53.5 ± 1.5 against 30.6 ± 0.6, difference +1" in text
    picture = (tmp_path / "claims" / "network.svg").read_text()
    assert "linear branches" in picture and "Which network?" in picture
    assert not (tmp_path / "claims" / "text.svg").exists()


@pytest.mark.parametrize(
    ("results", "text", "words"),
    [
        (None, "", "cannot be read"),
        ("", "", "holds no run of the row base"),
        (json.dumps(runs_of("base", 0.5)[0]), "no markers", "lacks the lines <!-- figures"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, capsys, results, text, words):
    if results is not None:
        (tmp_path / "r.jsonl").write_text(results)
    (tmp_path / "page.md").write_text(text)
    assert page.main([str(tmp_path / "r.jsonl"), str(tmp_path / "page.md")]) == 2
    assert words in capsys.readouterr().err
