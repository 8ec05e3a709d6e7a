"""What visitors type is read as a person means it: the list `queries.tsv` beside this file."""

from pathlib import Path

import pytest

from sspe.phrases.chunker import extract_phrases
from sspe.phrases.queries import description_in

QUERIES = Path(__file__).with_name("queries.tsv")
SHARE = 0.95  # of the queries that must be read as a person means them


def read_queries():
    """(query, [(phrase, negated), ...]) of every line of the list."""
    rows = []
    for line in QUERIES.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            query, phrases = line.split("\t")
            parts = [part.strip() for part in phrases.split(" | ") if part.strip()]
            wanted = [(part.removeprefix("not: "), part.startswith("not: ")) for part in parts]
            rows.append((query.replace("\\n", "\n"), wanted))
    return rows


def test_queries_are_read_as_a_person_means_them():
    rows = read_queries()
    assert len(rows) >= 150 and len({query for query, _ in rows}) == len(rows)
    wrong = []
    for query, wanted in rows:
        found = [(phrase.text, phrase.negated) for phrase in extract_phrases(query, pronouns=False)]
        if found != wanted:
            wrong.append(f"{query!r}: {found}, meant {wanted}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} queries read as meant", *wrong, sep="\n")
    assert len(wrong) <= (1 - SHARE) * len(rows), "\n".join(wrong)


@pytest.mark.parametrize("query", [query for query, _ in read_queries()])
def test_a_description_keeps_every_place(query):
    description = description_in(query)
    assert len(description) == len(query)
    kept = [(new, old) for new, old in zip(description, query, strict=True) if new not in " ,-'"]
    assert all(new == old for new, old in kept)


@pytest.mark.parametrize("query", ["find the dog", "a photo of the dog", "where is the dog?", "show me the dog please"])
def test_requests_and_pictures_of_a_thing_are_that_thing(query):
    assert description_in(query).strip(" ?") in ("the dog", "where is the dog")


@pytest.mark.parametrize(
    "caption",
    [
        "A man in a red hat shows a boy the sea .",
        "A man takes a photo of a dog .",
        "A box on the table and a point guard .",
        "A man 's hat , two dogs and a 2 - year - old child .",
    ],
)
def test_a_caption_is_all_description(caption):
    assert description_in(caption) == caption


def test_articles_and_case_do_not_move_a_phrase():
    for query in ("a cup", "the cup", "Cup", "CUP", "A Cup", "cup?", "find a cup"):
        [phrase] = extract_phrases(query)
        assert phrase.head.lower() == "cup" and phrase.text.lower() in ("cup", "a cup", "the cup")
