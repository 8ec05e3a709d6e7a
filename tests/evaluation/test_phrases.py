from pathlib import Path

import numpy as np
import pytest

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.evaluation.phrases import evaluate_phrases, table


def photo(*sentences):
    """A photo with sentences given as (text, [(phrase, chain), ...])."""
    records = []
    for index, (text, phrases) in enumerate(sentences):
        gold = []
        for words, chain in phrases:
            start = text.index(words)
            gold.append(AnnotatedPhrase(words, start, start + len(words), np.zeros((0, 4)), (), chain))
        records.append(AnnotatedSentence(text, tuple(gold), index))
    return AnnotatedPhoto("7", Path("7.jpg"), 10, 10, tuple(records))


def test_nothing_to_measure_gives_zeros():
    for photos in ([], [photo()], [photo(("...", []))]):
        measured = evaluate_phrases(photos)
        assert measured["found"] == measured["gold"] == 0
        assert measured["exact_f1"] == measured["head_precision"] == measured["visual"]["exact_recall"] == 0
        assert "0 phrases found" in table(measured)


def test_perfect():
    measured = evaluate_phrases([photo(("A man rides a horse .", [("A man", "1"), ("a horse", "2")]))])
    assert (measured["photos"], measured["captions"], measured["found"], measured["gold"]) == (1, 1, 2, 2)
    for figures in (measured, measured["visual"]):
        assert all(
            figures[f"{rule}_{rate}"] == 1 for rule in ("exact", "head") for rate in ("precision", "recall", "f1")
        )


def test_by_hand():
    # Found: "A man", "a horse", "the beach"; "A dog", "it"; "him".
    measured = evaluate_phrases(
        [
            photo(
                # exact: 1 of 3 found, 1 of 2 gold; head: "horse outside" has the head "horse" too, so 2
                ("A man rides a horse outside on the beach .", [("A man", "1"), ("a horse outside", "2")]),
                # exact and head: both, one of them chain 0
                ("A dog watches it .", [("A dog", "3"), ("it", "0")]),
            ),
            # nothing in common, and the gold is chain 0
            photo(("near him now", [("now", "0")])),
        ]
    )
    assert (measured["found"], measured["gold"], measured["visual"]["gold"]) == (6, 5, 3)
    assert measured["exact_precision"] == pytest.approx(3 / 6)
    assert measured["exact_recall"] == pytest.approx(3 / 5)
    assert measured["exact_f1"] == pytest.approx(6 / 11)
    assert measured["head_precision"] == pytest.approx(4 / 6)
    assert measured["head_recall"] == pytest.approx(4 / 5)
    assert measured["head_f1"] == pytest.approx(8 / 11)
    # Without chain 0: "it" is set aside, "him" stays wrong.
    visual = measured["visual"]
    assert visual["exact_precision"] == pytest.approx(2 / 5)
    assert visual["exact_recall"] == pytest.approx(2 / 3)
    assert visual["exact_f1"] == pytest.approx(4 / 8)
    assert visual["head_precision"] == pytest.approx(3 / 5)
    assert visual["head_recall"] == pytest.approx(3 / 3)
    assert visual["head_f1"] == pytest.approx(6 / 8)


def test_a_head_inside_another_phrase_does_not_count():
    # Gold "the man" and found "the man's hat": different words, different heads.
    measured = evaluate_phrases([photo(("the man 's hat", [("the man", "1")]))])
    assert measured["found"] == 1
    assert measured["head_f1"] == measured["exact_f1"] == 0


def test_a_span_annotated_twice_is_matched_once():
    measured = evaluate_phrases([photo(("a dog", [("a dog", "1"), ("a dog", "2")]))])
    assert (measured["exact_precision"], measured["exact_recall"]) == (1, 0.5)
    assert (measured["head_precision"], measured["head_recall"]) == (1, 0.5)


def test_gold_that_cuts_a_token_or_lies_between_tokens_is_counted():
    text = "a dog  "
    gold = (
        AnnotatedPhrase("do", 2, 4, np.zeros((0, 4)), (), "1"),
        AnnotatedPhrase(" ", 6, 7, np.zeros((0, 4)), (), "2"),
    )
    measured = evaluate_phrases([AnnotatedPhoto("1", Path("1.jpg"), 5, 5, (AnnotatedSentence(text, gold, 0),))])
    assert measured["exact_recall"] == 0
    assert measured["head_recall"] == 0  # a part of a word is not the word


def test_table_shows_both_scopes_in_per_cent():
    measured = evaluate_phrases([photo(("A dog watches it .", [("A dog", "3"), ("it", "0")]))])
    lines = table(measured).splitlines()
    assert lines[0] == "2 phrases found in 1 captions of 1 photos"
    assert lines[2].split() == ["all", "2", "phrases,", "exact", "100.00", "100.00", "100.00"]
    assert lines[5].split() == ["1", "without", "chain", "0,", "head", "100.00", "100.00", "100.00"]
