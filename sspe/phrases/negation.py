"""Which phrases a sentence denies: "no hat", "without a helmet", "isn't wearing glasses", "neither a cat nor a dog"."""

from __future__ import annotations

from collections.abc import Sequence

from sspe.phrases.tokens import Token

# Each denies the phrase that comes next, unless something stands between that ends its reach, see `_ends`.
_DENYING = frozenset("n't neither never no nobody none noone nor not w/o without zero".split())
_MORE = frozenset(["even", "just", "merely", "only"])  # "not only a dog" denies nothing
_CLAUSE = frozenset(["WDT", "WP", "WRB", "SIGN", "OF", "RP", "EX"])
MAX_ENUMERATED = 10  # things enumerated up to an "or"; looking further would take too long in endless texts
_KNOWN = frozenset("her his its my our that the their these this those your".split())


def denied(tokens: Sequence[Token], phrases: Sequence[tuple[int, int]]) -> list[bool]:
    """For each phrase of a sentence, a range of tokens (first, last + 1), whether the sentence denies it.

    What denies reaches over verbs to the next phrase and on over "or" and "nor": "not wearing a hat or gloves". It does
    not reach over another preposition: in "not on the table" there is a table.
    """
    words = [token.word.lower() for token in tokens]
    found = []
    denies = False
    position = 0
    for number, (first, end) in enumerate(phrases):
        for i in range(position, first):
            denies = _is_denying(words, tokens, i) or (denies and not _ends(words, tokens, i))
        inner = [i for i in range(first, end) if _is_denying(words, tokens, i)]
        if inner and end - first <= 2 and tokens[inner[0]].tag == "PRP":  # nobody, no one
            denies = True
            found.append(False)
        else:
            found.append(denies)
            denies = denies and _goes_on(words, phrases, number)
        position = end
    return found


def _is_denying(words: Sequence[str], tokens: Sequence[Token], i: int) -> bool:
    after = words[i + 1] if i + 1 < len(words) else ""
    if words[i] not in _DENYING or after in _MORE or after in (",", ".", "!"):
        return False
    # "Isn't the dog cute?" asks.
    return not (
        words[i] == "n't" and i == 1 and (after in _KNOWN or after == "there" or tokens[i + 1].tag in ("EX", "PRP"))
    )


def _ends(words: Sequence[str], tokens: Sequence[Token], i: int) -> bool:
    """Whether nothing that stands before token i, outside a phrase, is denied after it."""
    return words[i] == "but" or tokens[i].tag in _CLAUSE or (tokens[i].tag in ("IN", "TO") and words[i] != "with")


def _goes_on(words: Sequence[str], phrases: Sequence[tuple[int, int]], number: int) -> bool:
    """Whether the phrase after a denied one is denied with it."""
    joints = []  # what stands between the phrases that follow, as far as they are enumerated
    for (_, end), (first, _) in zip(phrases[number:], phrases[number + 1 : number + MAX_ENUMERATED], strict=False):
        joint = [word for word in words[end:first] if word not in ("any", "no")]
        if joint not in ([","], ["or"], ["nor"], [",", "or"], [",", "nor"]):
            break
        joints.append(joint[-1])
    if any(joint != "," for joint in joints):
        return True
    # "without shoes and socks", but "no hat and a red shirt"
    (start, end), following = phrases[number], phrases[number + 1 : number + 2]
    single = end - start == 1 and bool(following) and following[0][1] - following[0][0] == 1
    return single and words[end : following[0][0]] == ["and"]
