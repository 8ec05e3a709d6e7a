"""What a query looks for, and what is not to be there: phrases, or a whole sentence in the words of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sspe.errors import SspeError
from sspe.phrases.chunker import check_length, extract_phrases
from sspe.phrases.queries import description_in
from sspe.phrases.sought import sought_in
from sspe.text.context import ALONE, Context


@dataclass(frozen=True)
class Asked:
    """A phrase of a query, what stands around it, and whether photos that show it are to be left out."""

    text: str
    context: Context = ALONE
    without: bool = False


def asked_in(phrases: str | Sequence[str], without: str | Sequence[str] = ()) -> list[Asked]:
    """The phrases of a query: those to be found first, then those not to be there.

    A string that names one thing, or that no noun phrase is found in, is one phrase, taken whole; of one that names
    several, each is a phrase in its sentence: "a dog without a leash" looks for a dog and leaves out leashes. Of a
    sequence every string is a phrase of its own; a denied one ("no hat") is not to be there.

    Raises:
        SspeError: a phrase is empty or of more than 5,000 characters, or there is none to be found.
    """
    asked = _in_sentence(phrases) if isinstance(phrases, str) else [_alone(phrase) for phrase in phrases]
    asked += [
        Asked(_alone(phrase).text, without=True) for phrase in ([without] if isinstance(without, str) else without)
    ]
    if all(phrase.without for phrase in asked):
        raise SspeError("The search names nothing that is to be found; add a phrase, such as “a red umbrella”.")
    return sorted(asked, key=lambda phrase: phrase.without)


def _in_sentence(sentence: str) -> list[Asked]:
    _check(sentence)
    found = extract_phrases(sentence, pronouns=False)
    if len(found) < 2:
        return [_alone(sentence)]
    description = description_in(sentence)
    return [Asked(p.text, Context.of(description, p.start, p.end), p.negated) for p in found]


def _alone(phrase: str) -> Asked:
    _check(phrase)
    sought = sought_in(phrase)
    return Asked(sought.text, without=sought.negated)


def _check(phrase: str) -> None:
    if not phrase.strip():
        raise SspeError("A phrase of the search is empty; name something to look for, such as “a red umbrella”.")
    check_length(phrase)
