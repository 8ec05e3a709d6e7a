"""Several phrases in one photo: each in a region of its own."""

import numpy as np

from sspe.searching.placing import apart

LEFT, RIGHT, NEARLY_LEFT = [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 11]


def boxes(*rows):
    return np.array(rows, np.float32)


def test_one_phrase_takes_its_answer():
    assert apart([boxes(LEFT, RIGHT)], [np.array([0.1, 0.9])]) == [0]


def test_the_sum_of_the_scores_decides_who_gives_way():
    both = boxes(LEFT, RIGHT)
    assert apart([both, both], [np.array([0.9, 0.8]), np.array([0.9, 0.1])]) == [1, 0]


def test_boxes_that_are_nearly_the_same_are_the_same():
    assert apart([boxes(LEFT), boxes(NEARLY_LEFT, RIGHT)], [np.array([0.5]), np.array([0.9, 0.2])]) == [0, 1]


def test_without_enough_different_boxes_there_is_no_answer():
    assert apart([boxes(LEFT), boxes(NEARLY_LEFT)], [np.array([0.5]), np.array([0.9])]) is None


def test_many_phrases_choose_one_after_the_other():
    places = np.arange(8)
    row = np.stack([20 * places, 0 * places, 20 * places + 10, 0 * places + 10], axis=1).astype(np.float32)
    chosen = apart([row[:5]] * 6, [np.linspace(0.9, 0.1, 5)] * 6)
    assert chosen is None  # five boxes for six phrases
    chosen = apart(
        [np.roll(row, -i, axis=0)[:5] for i in range(6)], [np.linspace(0.9 - i / 10, 0.1, 5) for i in range(6)]
    )
    assert [(i + c) % 8 for i, c in enumerate(chosen)] == [0, 1, 2, 3, 4, 5]
