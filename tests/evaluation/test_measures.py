"""Rates over results made by hand: recall, its bound, groups, average precision, and how sure the answers were."""

from fractions import Fraction

import numpy as np
import pytest

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.evaluation.answers import AbsentResult, Judged
from sspe.evaluation.measures import average_precision, heads_of, measure_localization


def test_five_and_ten_count_what_is_ranked_that_far_raw_and_after_suppression(result):
    miss = [0.1] * 12
    sixth, twelfth = miss.copy(), miss.copy()
    sixth[5] = twelfth[11] = 0.9
    # Of the sixth's predecessors suppression leaves one; of the twelfth's, nine. The third's hit is itself suppressed.
    results = [
        result(sixth, kept=[0, 5, 6]),
        result(twelfth, kept=[0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
        result(sixth, kept=[0, 1, 2]),
        result(miss),
    ]
    measured = measure_localization(results)
    assert [measured[f"recall_at_{k}"] for k in (1, 5, 10)] == [0, 0, 0.5]
    assert [measured[f"recall_at_{k}_nms"] for k in (1, 5, 10)] == [0, 0.25, 0.5]
    assert measured["upper_bound"] == 0.75


def test_an_overlap_of_exactly_a_half_counts_and_less_does_not(result):
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    people, other = ("people",), ("other",)
    measured = measure_localization(
        [result([0.5], None, people, (0.5, below)), result([below], None, other, (below,) * 2)]
    )
    assert measured["recall_at_1"] == measured["upper_bound"] == measured["floor_whole_photo"] == 0.5
    assert measured["floor_centred_box"] == 0
    for of_type, rate in (("people", 1), ("other", 0)):
        group = measured["by_type"][of_type]
        assert group["recall_at_1"] == group["upper_bound"] == group["average_precision"] == rate
    assert measured["recall_at_1_any_box"] == measured["recall_at_1_without_sentence"] == 0.5


def test_fewer_proposals_than_ranks_and_phrases_without_a_type(result):
    measured = measure_localization([result([0.6]), result([0.2, 0.7], photo="2")])
    assert (measured["recall_at_1"], measured["recall_at_5"], measured["recall_at_10"]) == (0.5, 1, 1)
    assert measured["by_type"] == {} and measured["photos"] == 2


def test_groups_by_the_share_of_the_photo_that_the_box_covers(result):
    def sized(width, height, ious):
        return result(ious, right=np.array([0, 0, width, height], np.float32), frame=(200, 50))

    boxes = [(10, 10), (30, 9.99), (30, 10), (119.9, 10), (120, 10), (80, 50), (200, 50)]
    # in percent: 1, just below 3, 3, just below 12, 12, 40, 100
    measured = measure_localization([sized(*box, [0.9 if i % 2 else 0.1, 0.9]) for i, box in enumerate(boxes)])
    found = {name: (group["phrases"], group["recall_at_1"]) for name, group in measured["by_size"].items()}
    assert found == {
        "under 3 % of the photo": (2, 0.5),
        "3 to 12 %": (2, 0.5),
        "12 to 40 %": (1, 0),
        "over 40 %": (2, 0.5),
    }
    assert all(set(group) == {"recall_at_1", "upper_bound", "phrases"} for group in measured["by_size"].values())
    assert all(group["upper_bound"] == 1 for group in measured["by_size"].values())


def test_groups_by_resolution(result):
    results = [result([0.9], photo="7"), result([0.1], photo="8"), result([0.1, 0.6], photo="9")]
    of_resolution = measure_localization(results, full_size={"7", "9", "another"})["by_resolution"]
    assert of_resolution == {
        "full-size photos": {"recall_at_1": 0.5, "upper_bound": 1, "phrases": 2},
        "smaller photos": {"recall_at_1": 0, "upper_bound": 0, "phrases": 1},
    }
    assert list(measure_localization(results, full_size={"another"})["by_resolution"]) == ["smaller photos"]


def test_average_precision_by_hand(result):
    results = [
        # The second right box is a false one; the third candidate is suppressed and does not count at all.
        result([0.8, 0.6, 0.7], kept=[0, 2], scores=[0.9, 0.85, 0.8]),
        result([0.1, 0.5], scores=[0.7, 0.5]),
        result([0.2], scores=[0.6]),
    ]
    # Pooled by score: .9 true, .8, .7 and .6 false, .5 true. Recall 1/3 at precision 1, 2/3 at 2/5; the rest never.
    assert average_precision(results) == pytest.approx((4 * 1 + 3 * 2 / 5 + 4 * 0) / 11)


@pytest.mark.parametrize("right", range(11))
def test_a_recall_of_exactly_a_tenth_step_reaches_it(result, right):
    results = [result([0.9], scores=[0.8]) for _ in range(right)] + [result([0.1], scores=[0.2])] * (10 - right)
    # Each step up to right / 10 at precision 1, recall 0 among them even where nothing is right.
    assert average_precision(results) == pytest.approx((right + 1 if right else 0) / 11)


def test_average_precision_against_a_literal_computation(result):
    rng = np.random.default_rng(0)
    for _ in range(20):
        results = []
        for _ in range(int(rng.integers(1, 12))):
            count = int(rng.integers(1, 6))
            kept = np.flatnonzero(rng.random(count) < 0.7)
            results.append(
                result(
                    rng.random(count),
                    kept=kept if len(kept) else [0],
                    scores=np.sort(rng.random(count))[::-1],
                )
            )
        pool = []
        for r in results:
            taken = False
            for place in r.kept:
                true = bool(r.ious[place] >= 0.5) and not taken
                taken |= true
                pool.append((float(r.scores[place]), true))
        pool.sort(reverse=True)
        points = []  # (recall, precision) after each box
        for n in range(1, len(pool) + 1):
            true = sum(t for _, t in pool[:n])
            points.append((Fraction(true, len(results)), Fraction(true, n)))
        total = Fraction(0)
        for step in range(11):
            total += max((p for recall, p in points if recall >= Fraction(step, 10)), default=Fraction(0))
        assert average_precision(results) == pytest.approx(float(total / 11))


def test_the_true_positive_is_the_best_scored_right_box(result):
    results = [result([0.8, 0.9], scores=[0.3, 0.7]), result([0.1], scores=[0.5])]
    # Pooled by score: .7 true, .5 false, .3 false, being the same phrase's second.
    assert average_precision(results) == pytest.approx(6 * 1 / 11)


def test_average_precision_is_of_the_phrases_of_the_type_alone(result):
    people = [result([0.1], types=("people",), scores=[0.9]), result([0.8], types=("people", "other"), scores=[0.5])]
    measured = measure_localization([*people, result([0.1], types=("scene",), scores=[0.99])])
    # Of the people the first box is false and the second true: recall 1/2 at precision 1/2.
    assert measured["by_type"]["people"]["average_precision"] == pytest.approx(6 * 0.5 / 11)
    assert measured["by_type"]["other"]["average_precision"] == 1
    assert measured["by_type"]["scene"]["average_precision"] == 0


def test_probabilities_are_measured_where_there_are_any(result):
    def sure(ious, confidence, present, alone):
        evidence = np.zeros(1)
        return result(ious, judged=Judged(evidence, confidence, present), judged_alone=Judged(evidence, 0.7, alone))

    results = [sure([0.9], 0.8, 0.1, 0.9), sure([0.2, 0.9], 0.4, 0.7, 0.1), sure([0.6], 0.6, 0.1, 0.5)]
    measured = measure_localization(results)
    # The first and the third as they are read alone, .7 each; the second in its sentence.
    assert measured["confidence"]["brier"] == pytest.approx((0.3**2 + 0.4**2 + 0.3**2) / 3)
    assert (measured["confidence"]["auroc"], measured["confidence"]["count"]) == (1, 3)
    assert "present" not in measured  # nothing absent was asked for

    absent = [AbsentResult("1", "a dog", Judged(np.zeros(1), 0.5, present)) for present in (0.2, 0.6)]
    found = measure_localization(results, absent)["present"]
    # The first and the third are taken as they are read alone: .9, .7, .5 present, .2, .6 not.
    assert found["brier"] == pytest.approx((0.1**2 + 0.3**2 + 0.5**2 + 0.2**2 + 0.6**2) / 5)
    assert found["auroc"] == pytest.approx(5 / 6) and (found["count"], found["rate"]) == (5, 0.6)


def test_phrases_whose_head_no_training_phrase_has(result):
    """Counted apart, and their presence is compared with that of absent phrases of such heads alone."""

    def judged(present):
        return {"judged": Judged(np.zeros(1), 0.5, present), "judged_alone": Judged(np.zeros(1), 0.5, present)}

    results = [
        result([0.9], text="Two red dogs", **judged(0.9)),
        result([0.1], text="a pram", **judged(0.6)),
        result([0.8], text="the prams", **judged(0.4)),
    ]
    absent = [
        AbsentResult("1", "a wombat", Judged(np.zeros(1), 0.5, 0.5)),
        AbsentResult("1", "a dog", Judged(0, 0.5, 0)),
    ]
    groups = measure_localization(results, absent, seen_heads={"dog"})["by_head"]
    seen, unseen = groups["head noun seen in training"], groups["head noun never seen"]
    assert (seen["phrases"], seen["recall_at_1"], seen["present_auroc"]) == (1, 1.0, 1.0)
    assert (unseen["phrases"], unseen["recall_at_1"], unseen["present_auroc"]) == (2, 0.5, 0.5)
    assert measure_localization(results, absent)["by_head"] == {}


def test_heads_of_photos_are_singular():
    text, box = "Two red Dogs a group of women the sky", [[0, 0, 5, 5]]
    phrases = tuple(
        AnnotatedPhrase(text[start:end], start, end, boxes)
        for start, end, boxes in ((0, 12, box), (13, 29, box), (30, 37, []))
    )
    photo = AnnotatedPhoto("1", None, 10, 10, (AnnotatedSentence(text, phrases, 0),))
    assert heads_of([photo]) == {"dog", "woman"}
