"""A phrase's context: in "a man in red and a man in blue" nothing else tells the two men apart."""

from dataclasses import dataclass

from sspe.text.words import words_of


@dataclass(frozen=True)
class Context:
    """The text before and after a phrase; both are empty for a phrase that stands alone."""

    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, sentence: str, start: int, end: int) -> "Context":
        """The context of ``sentence[start:end]``."""
        return cls(sentence[:start], sentence[end:])

    def nearest(self, words: int) -> tuple[list[str], list[str]]:
        """At most ``words`` words on either side, lower case, in the order of the sentence."""
        before = words_of(self.before)
        return before[max(len(before) - words, 0) :], words_of(self.after)[:words]


ALONE = Context()
