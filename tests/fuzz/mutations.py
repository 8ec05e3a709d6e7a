"""What the tests of bad input share: damage to bytes, and the promise that whatever is refused is refused plainly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from sspe.errors import SspeError

SECONDS = 5  # of one processor's time, that no input may take
# Letters of several scripts and directions, marks that join or vanish, controls, half a character, and what HTML, JSON,
# XML and templates give a meaning. Spelt out: all of Unicode would have to be counted before the first test.
ODD = (
    "aZ09 .,;:!?'\"-_/\\#[]{}()<>&$%|`~^=+*@éßłЖ中あرجל👩🏽🇩𝐚ﬁ\u0301\u0000\u0007\u001b\t\n\r\x7f\u00a0"
    "\u200b\u200d\u200f\u202e\u2028\ufe0f\ufeff\uffff\ud800"
)
LONGEST = 600  # characters of a sentence that says what is wrong, beside the path of a file


def mutated(data: bytes, seed: int) -> bytes:
    """The bytes with one kind of damage, done once or a few times, mostly near the beginning where headers stand."""
    chance = random.Random(seed)
    found, kind = bytearray(data), chance.randrange(8)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        if len(found) < 4:
            break
        i = chance.randrange(min(len(found), 200) if chance.random() < 0.6 else len(found))
        if kind == 0:  # one bit
            found[i] ^= 1 << chance.randrange(8)
        elif kind == 1:
            found[i] = chance.choice((0, 1, 32, 48, 127, 128, 255))
        elif kind == 2:  # a piece is gone
            del found[i : i + chance.choice((1, 2, 4, 100))]
        elif kind == 3:  # a piece of noise
            found[i:i] = chance.randbytes(chance.choice((1, 4, 64)))
        elif kind == 4:  # cut short
            del found[max(1, chance.randrange(len(found))) :]
        elif kind == 5:  # two pieces change places
            j = chance.randrange(len(found))
            found[i : i + 16], found[j : j + 16] = found[j : j + 16], found[i : i + 16]
        elif kind == 6:  # a number at a limit
            number = chance.choice((0, 1, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1))
            found[i : i + 4] = number.to_bytes(4, chance.choice(("little", "big")))
        else:  # a piece twice
            found[i:i] = found[i : i + chance.choice((8, 100, 1000))]
    return bytes(found)


def outcome(work: Callable[[], Any]) -> Any:
    """What the work returns, or the sentence of its SspeError; any other error is the test's failure, as is waiting."""
    began = time.process_time()
    try:
        found = work()
    except SspeError as error:
        found = str(error)
        assert "\n" not in found and found.rstrip("\"'”)").endswith((".", ")")), found
        assert len(found) < LONGEST, found
    assert time.process_time() - began < SECONDS
    return found
