"""What is read for localization: distinct phrases, pairs of phrase and box, and a limit on regions per phrase."""

from collections import Counter

import numpy as np
import pytest
from annotated import DOG, annotated

from sspe.text.context import ALONE, Context
from sspe.training.localization_data import PhraseTable, limit_regions, training_photos


def test_the_table_holds_each_phrase_once_and_groups_those_that_read_the_same():
    table = PhraseTable()
    assert [table.row(text) for text in ("a man", "a dog", "the man", "a man")] == [0, 1, 2, 0]
    assert table.texts == ["a man", "a dog", "the man"] and table.groups == [0, 1, 0]
    assert table.contexts == [ALONE] * 3


def test_the_table_holds_a_phrase_once_for_each_of_its_contexts():
    table = PhraseTable()
    red, blue = Context("", " in red"), Context("", " in blue")
    asked = [("a man", red), ("a man", ALONE), ("the man", red), ("a man", blue), ("a man", red), ("a dog", red)]
    assert [table.row(*one) for one in asked] == [0, 1, 2, 3, 0, 4] and table.row("a man") == 1
    assert table.texts == ["a man", "a man", "the man", "a man", "a dog"]
    assert table.contexts == [red, ALONE, red, blue, red] and table.groups == [0, 0, 0, 0, 1]


def test_a_photo_brings_its_distinct_pairs_of_phrase_and_merged_box():
    photo = annotated(
        "1",
        ("A man and two dogs", {"A man": [[10, 5, 50, 45]], "two dogs": [[0, 0, 10, 10], [90, 40, 100, 50]]}),
        ("a man , the man", {"a man": [[10, 5, 50, 45]], "the man": [[10, 5, 50, 45]]}),
        ("a man waves at it", {"a man": [[60, 5, 100, 45]], "it": []}),
    )
    found, table = training_photos([photo, annotated("2", ("nothing here", {"nothing": []})), annotated("3"), DOG])
    assert [item.record.id for item in found] == ["1", "2"]
    assert [table.texts[row] for row in found[0].phrases] == ["a man", "two dogs", "the man", "a man"]
    assert [table.texts[row] for row in found[1].phrases] == ["a dog"]
    alone = [*found[0].phrases, *found[1].phrases]
    assert alone[0] == alone[3] and len(set(alone)) == 4 and {table.contexts[row] for row in alone} == {ALONE}
    assert len(table.texts) == len(set(zip(table.texts, table.contexts, strict=True)))  # nothing twice
    man, dogs, the_man, again, dog = (table.groups[row] for row in alone)
    assert man == the_man == again and len({man, dogs, dog}) == 3
    assert table.heads[alone[0]] == man and table.heads[alone[1]] not in (man, dogs)  # "dogs", without the number
    np.testing.assert_allclose(
        found[0].boxes, [[0.1, 0.1, 0.5, 0.9], [0, 0, 1, 1], [0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 1, 0.9]], rtol=1e-6
    )
    assert found[0].boxes.dtype == np.float32 and not found[0].sided
    said = [[(table.texts[row], table.contexts[row]) for row in rows] for rows in found[0].mentions]
    assert said == [  # lower case, as the phrase itself; the first pair was said in two sentences
        [("a man", Context("", " and two dogs")), ("a man", Context("", " , the man"))],
        [("two dogs", Context("a man and ", ""))],
        [("the man", Context("a man , ", ""))],
        [("a man", Context("", " waves at it"))],
    ]
    assert found[1].mentions[0].tolist() == [alone[4]]  # a sentence that is the phrase adds nothing to it


@pytest.mark.parametrize(
    ("text", "sided"),
    [
        ("a man on the left", True),
        ("Right of a man", True),
        ("a man , LEFT-handed", True),
        ("a man who is leftmost", True),
        ("a man turns rightwards", True),
        ("a man in a bright vest", False),
        ("a man with leftovers", False),
        ("a man", False),
    ],
)
def test_left_and_right_anywhere_in_a_sentence_forbid_the_mirror(text, sided):
    box = {"a man": [[0, 0, 50, 50]]}
    assert training_photos([annotated("1", ("a man", box), (text, {}))])[0][0].sided == sided


def test_at_most_so_many_regions_of_each_phrase():
    sentence = {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}
    photos, table = training_photos([annotated(str(i), ("a man in a hat", sentence)) for i in range(30)] + [DOG])
    kept = limit_regions(photos, 10, seed=0)
    count = Counter(table.texts[row] for item in kept for row in item.phrases)
    assert count == {"a man": 10, "a hat": 10, "a dog": 1}
    for item in kept:
        assert len(item.phrases) == len(item.boxes) == len(item.mentions)
        for row, box in zip(item.phrases, item.boxes, strict=True):
            whole = next(p for p in photos if p.record is item.record)
            np.testing.assert_array_equal(whole.boxes[list(whole.phrases).index(row)], box)
    again = limit_regions(photos, 10, seed=0)
    assert [item.phrases.tolist() for item in kept] == [item.phrases.tolist() for item in again]
    other = limit_regions(photos, 10, seed=1)
    assert {item.record.id for item in other} != {item.record.id for item in kept}
