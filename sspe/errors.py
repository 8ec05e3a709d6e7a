"""Errors a user can cause. Each carries one sentence: what happened, what was found, what to do."""


class SspeError(Exception):
    """Base of every error that is the input's fault, not the program's; users are shown its text alone.

    What it quotes of the input may hold line breaks and signs that steer a terminal: its text has spaces for them.
    """

    def __str__(self) -> str:
        return "".join(char if char.isprintable() else " " for char in super().__str__())


class PhotoError(SspeError):
    """A photo cannot be opened: not a picture, truncated, or too large."""


class DataError(SspeError):
    """A data set is missing, or one of its files is broken."""


class CheckpointError(SspeError):
    """A checkpoint is missing, foreign, incomplete or of an unknown version."""


class CollectionError(SspeError):
    """The index of a collection is missing, damaged, in use, or of another checkpoint or version."""


class MissingPackageError(SspeError):
    """A package that only some uses need is not installed; the sentence names the extra that brings it."""
