"""What visitors type is read as a person means it: the list `queries.tsv` beside this file."""

from pathlib import Path

from sspe.phrases.chunker import extract_phrases

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
