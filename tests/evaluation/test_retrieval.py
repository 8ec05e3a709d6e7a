"""Image-sentence retrieval against a literal loop, on made data with every odd case."""

import numpy as np
import pytest

from sspe.errors import DataError, SspeError
from sspe.evaluation import retrieval
from sspe.evaluation.retrieval import DIRECTIONS, PUBLISHED, measure_retrieval, table

FIGURES = ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank")


def unit(vectors):
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def literal_rank(scores, right, wrong):
    """Sort by score, all wrong answers of a score before the right ones, and walk down to the first right one."""
    answers = [(-scores[i], 1) for i in right] + [(-scores[i], 0) for i in wrong]
    for place, (_, is_right) in enumerate(sorted(answers), start=1):
        if is_right:
            return place
    return None


def literally(scores, owners, vectors):
    """The ranks of each direction, one query after the other."""
    ranks = {direction: [] for direction in DIRECTIONS}
    sentences = range(len(owners))
    for photo in range(len(scores)):
        mine = [s for s in sentences if owners[s] == photo]
        ranks["image_to_sentence"].append(literal_rank(scores[photo], mine, [s for s in sentences if s not in mine]))
    for s in sentences:
        others = [photo for photo in range(len(scores)) if photo != owners[s]]
        ranks["sentence_to_image"].append(literal_rank(scores[:, s], [owners[s]], others))
        siblings = [t for t in sentences if owners[t] == owners[s] and t != s]
        foreign = [t for t in sentences if owners[t] != owners[s]]
        ranks["sentence_to_sentence"].append(literal_rank(vectors[s] @ vectors.T, siblings, foreign))
    return {direction: [rank for rank in found if rank] for direction, found in ranks.items()}


def expected(ranks):
    return {
        **{f"recall_at_{k}": np.mean([rank <= k for rank in ranks]) for k in (1, 5, 10)},
        "median_rank": np.median(ranks),
    }


def made(seed, counts, levels, shuffled=False):
    """Scores of few levels, so that many tie; as many sentences a photo as `counts` says; one-hot vectors tie too."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(counts)), counts)
    if shuffled:
        rng.shuffle(owners)
    scores = rng.integers(levels, size=(len(counts), len(owners))).astype(np.float32)
    scores[owners, np.arange(len(owners))] += rng.integers(3, size=len(owners))  # right ones mostly score more
    vectors = np.eye(8, dtype=np.float32)[(owners + (rng.random(len(owners)) < 0.4)) % 8]
    return scores, owners, vectors


@pytest.mark.parametrize("block", [1, 3, 500])
@pytest.mark.parametrize(
    ("counts", "levels", "shuffled"),
    [
        ([5] * 40, 50, False),
        ([5] * 12, 3, False),  # ties nearly everywhere
        ([5] * 12, 1, False),
        ([5, 4, 1, 7, 2, 5, 3], 6, False),  # uneven
        ([5, 0, 1, 0, 6], 6, True),  # photos without a sentence, sentences in no order
        ([5], 4, False),  # one photo
        ([1, 1, 1], 4, False),  # no sentence has another one of its photo
        ([1], 2, False),
    ],
)
def test_against_a_literal_loop(monkeypatch, counts, levels, shuffled, block):
    monkeypatch.setattr(retrieval, "BLOCK", block)
    scores, owners, vectors = made(sum(counts), counts, levels, shuffled)
    measured = measure_retrieval(scores, owners, vectors)
    for direction, ranks in literally(scores, owners, vectors).items():
        if ranks:
            assert {name: measured[direction][name] for name in FIGURES} == pytest.approx(expected(ranks)), direction
            assert measured[direction]["queries"] == len(ranks)
        else:
            assert direction == "sentence_to_sentence" and direction not in measured
    recalls = [measured[d][f"recall_at_{k}"] for d in DIRECTIONS[:2] for k in (1, 5, 10)]
    assert measured["mean_recall"] == pytest.approx(sum(recalls) / 6)
    assert (measured["photos"], measured["sentences"]) == (len(counts), sum(counts))


def test_by_hand():
    # Photo 0 has the sentences 0 and 1, photo 1 the sentences 2, 3 and 4.
    scores = [[0.5, 0.9, 0.8, 0.9, 0.1], [0.3, 0.2, 0.7, 0.1, 0.6]]
    vectors = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2]])
    measured = measure_retrieval(scores, [0, 0, 1, 1, 1], vectors)
    # Photo 0: its best, .9, ties with a wrong one: rank 2. Photo 1: .7 is first.
    assert (measured["image_to_sentence"]["recall_at_1"], measured["image_to_sentence"]["median_rank"]) == (0.5, 1.5)
    # Sentences 0, 1 and 4 find their photo first; 2 and 3 do not.
    assert measured["sentence_to_image"]["recall_at_1"] == pytest.approx(3 / 5)
    assert measured["sentence_to_image"]["recall_at_5"] == 1 and measured["sentence_to_image"]["median_rank"] == 1
    # 0 finds 1; 1 is nearer to 4 than to 0 by a hair; 2 and 3 find each other; 4 finds 1 and 0 first.
    ranks = literally(np.array(scores), [0, 0, 1, 1, 1], vectors)["sentence_to_sentence"]
    assert measured["sentence_to_sentence"]["recall_at_1"] == pytest.approx(np.mean([rank == 1 for rank in ranks]))
    assert ranks[0] == ranks[2] == ranks[3] == 1 and ranks[4] == 3


def test_perfect_scores_and_scores_that_are_all_alike():
    owners = np.repeat(np.arange(30), 5)
    right = (owners == np.arange(30)[:, None]).astype(np.float32)
    best = measure_retrieval(right, owners, np.eye(30, dtype=np.float32)[owners])
    alike = measure_retrieval(np.full_like(right, 0.3), owners, unit(np.full((150, 7), 0.3)))
    for direction in DIRECTIONS:
        assert [best[direction][name] for name in FIGURES] == [1, 1, 1, 1]
        assert [alike[direction][name] for name in FIGURES[:3]] == [0, 0, 0]
    assert (best["mean_recall"], alike["mean_recall"]) == (1, 0)
    assert [alike[direction]["median_rank"] for direction in DIRECTIONS] == [146, 30, 146]


def test_equal_sentences_of_another_photo_stand_before_the_right_ones():
    # Two photos share their one sentence, five times each; products of equal rows may differ in their last bits.
    vectors = np.repeat(unit(np.random.default_rng(0).normal(size=(101, 511))), 10, axis=0)
    owners = np.repeat(np.arange(202), 5)
    found = measure_retrieval(np.zeros((202, 1010)), owners, vectors)["sentence_to_sentence"]
    assert (found["recall_at_5"], found["recall_at_10"], found["median_rank"]) == (0, 1, 6)


# Folds


def test_folds_are_measured_apart_and_averaged():
    counts = [5, 4, 6, 5, 5, 5, 3, 5, 5, 5, 7]
    scores, owners, vectors = made(3, counts, 9, shuffled=True)
    measured = measure_retrieval(scores, owners, vectors, fold=3)
    assert {k: v for k, v in measured.items() if k != "folds"} == measure_retrieval(scores, owners, vectors)
    folds = []
    for start in (0, 3, 6):  # the last two photos make no whole fold
        inside = (owners >= start) & (owners < start + 3)
        folds.append(literally(scores[start : start + 3, inside], owners[inside] - start, vectors[inside]))
    assert (measured["folds"]["count"], measured["folds"]["photos_per_fold"]) == (3, 3)
    for direction in DIRECTIONS:
        figures = [expected(fold[direction]) for fold in folds]
        for name in FIGURES:
            assert measured["folds"][direction][name] == pytest.approx(np.mean([f[name] for f in figures]))
    recalls = [measured["folds"][d][f"recall_at_{k}"] for d in DIRECTIONS[:2] for k in (1, 5, 10)]
    assert measured["folds"]["mean_recall"] == pytest.approx(np.mean(recalls))
    assert measured["folds"]["sentence_to_image"]["median_rank"] < measured["sentence_to_image"]["median_rank"]


def test_one_fold_of_all_photos_is_the_measure_itself():
    scores, owners, vectors = made(1, [5, 5, 2], 9)
    measured = measure_retrieval(scores, owners, vectors, fold=3)
    for direction in DIRECTIONS:
        assert all(measured["folds"][direction][name] == measured[direction][name] for name in FIGURES)


def test_a_direction_that_a_fold_lacks_is_left_out_of_the_average():
    scores, owners, vectors = made(1, [5, 5, 1, 1], 9)
    measured = measure_retrieval(scores, owners, vectors, fold=2)
    assert "sentence_to_sentence" in measured and "sentence_to_sentence" not in measured["folds"]
    assert "sentence_to_sentence" not in measure_retrieval(scores, owners)


def test_folds_that_cannot_be_made():
    scores, owners, vectors = made(1, [5, 5, 0], 9)
    for fold in (0, -1, 4):
        with pytest.raises(DataError, match=f"Folds of {fold} photos cannot be made of 3"):
            measure_retrieval(scores, owners, vectors, fold=fold)
    with pytest.raises(DataError, match="photos 3 to 3 have no sentence"):
        measure_retrieval(scores, owners, vectors, fold=1)


# Bad input


def test_nothing_to_measure():
    for scores in (np.zeros((0, 0)), np.zeros((3, 0))):
        with pytest.raises(DataError, match="no sentence"):
            measure_retrieval(scores, [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers(bad):
    scores, owners, vectors = made(1, [5, 5], 9)
    scores[1, 3] = bad
    with pytest.raises(SspeError, match="scores are not finite"):
        measure_retrieval(scores, owners, vectors)
    scores[1, 3], vectors[0, 0] = 0, bad
    with pytest.raises(SspeError, match="vectors are not finite"):
        measure_retrieval(scores, owners, vectors)


def test_shapes_that_do_not_fit():
    scores, owners, vectors = made(1, [5, 5], 9)
    with pytest.raises(ValueError, match=r"owners \(9,\)"):
        measure_retrieval(scores, owners[:-1], vectors)
    with pytest.raises(ValueError, match=r"vectors \(9, 8\)"):
        measure_retrieval(scores, owners, vectors[:-1])
    with pytest.raises(ValueError, match="from 0 to 2, expected 0 to 1"):
        measure_retrieval(scores, [*owners[:-1], 2], vectors)
    with pytest.raises(ValueError, match="from -1 to 1"):
        measure_retrieval(scores, [-1, *owners[1:]], vectors)


# The table


def test_table():
    scores, owners, vectors = made(5, [5] * 8, 30)
    measured = measure_retrieval(scores, owners, vectors, fold=4)
    lines = table(measured).splitlines()
    assert lines[0].startswith("40 sentences of 8 photos; ") and measured["protocol"] in lines[0]
    assert lines[1].split() == ["R@1", "R@5", "R@10", "median", "rank", "queries"]
    assert lines[2] == "by the cosine of photo and sentence alone, as in the paper"
    for line, direction in zip(lines[3:6], DIRECTIONS, strict=True):
        m = measured[direction]
        told = [f"{100 * m[f'recall_at_{k}']:.2f}" for k in (1, 5, 10)]
        assert line.split() == [*direction.split("_"), *told, f"{m['median_rank']:.1f}", str(m["queries"])]
    assert lines[6].split()[-1] == f"{100 * measured['mean_recall']:.2f}"
    assert lines[7] == "the same in 2 folds of 4 photos, averaged"
    assert lines[8].split()[3] == f"{100 * measured['folds']['image_to_sentence']['recall_at_1']:.2f}"
    published = lines[lines.index(next(line for line in lines if "not comparable" in line)) :]
    assert "official test" in published[0] and len(published) == 2 + len(PUBLISHED)
    assert published[2].split()[-6:] == ["30.1", "60.4", "73.7", "23.0", "51.3", "64.8"]
    assert published[3].split()[-2:] == ["43.4", "29.3"] and published[4].split()[-2:] == ["52.2", "38.3"]
    assert published[3].index("29.3") == published[2].index("23.0")  # R@1 below R@1
    assert max(map(len, lines)) <= 120


def test_table_without_sentences_and_folds():
    scores, owners, _ = made(5, [5] * 8, 30)
    text = table(measure_retrieval(scores, owners))
    assert "sentence to sentence" not in text and "folds" not in text
