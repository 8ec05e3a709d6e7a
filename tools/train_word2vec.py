"""Train word vectors on captions: skip-gram word2vec through gensim.

    python tools/train_word2vec.py CAPTIONS OUTPUT

CAPTIONS is a text file, one caption per line (.gz is read too). OUTPUT is written in the GloVe text format, which
:func:`sspe.text.words.read_word_vectors` and ``--set text.vectors=OUTPUT`` read. Needs the training extra. One thread
and a fixed seed, so the same captions give the same vectors.
"""

import argparse
import gzip
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sspe.errors import CheckpointError, DataError, SspeError
from sspe.extras import install_command
from sspe.files import atomic_write
from sspe.text.words import words_of

LEAST = 3  # rarer words have no vector: too little is known of them


def read_captions(path: Path) -> Iterator[list[str]]:
    """The lower-cased words of each caption of a text file, plain or gzipped.

    Raises DataError if the file is missing, damaged or not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"There is no file of captions {path}; check the path.")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            yield from (words_of(line) for line in lines)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {path} as UTF-8 text ({error}); check the file.") from None


def train_word2vec(captions: list[list[str]], size: int = 100, epochs: int = 15, seed: int = 0):
    """gensim's keyed vectors of every word that occurs at least :data:`LEAST` times.

    Raises CheckpointError without gensim, DataError when no word occurs that often.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise CheckpointError(f"Training word vectors needs gensim; run `{install_command('train')}`.") from None
    if max(Counter(word for caption in captions for word in caption).values(), default=0) < LEAST:
        raise DataError(f"The captions hold no word that occurs {LEAST} times; give more of them.")
    # A wide window: captions are short, and what a scene holds together tells more here than grammar.
    model = Word2Vec(
        captions, vector_size=size, window=8, min_count=LEAST, sg=1, negative=10, epochs=epochs, seed=seed, workers=1
    )
    return model.wv


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools/train_word2vec.py", description="Train word vectors on captions.")
    parser.add_argument("captions", type=Path, help="text file, one caption per line; .gz is read too")
    parser.add_argument("output", type=Path, help="vectors to write, one word per line")
    parser.add_argument("--size", type=int, default=100, help="length of a vector (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the captions (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    options = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0" and arguments is None:
        # gensim draws a word's first vector from Python's string hash, which is random unless it is fixed at the start.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        return subprocess.call([sys.executable, __file__, *sys.argv[1:]], env=environment)
    try:
        vectors = train_word2vec(list(read_captions(options.captions)), options.size, options.epochs, options.seed)
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    with atomic_write(options.output) as temporary, temporary.open("w", encoding="utf-8") as out:
        for word in vectors.index_to_key:
            out.write(word + " " + " ".join(f"{value:.5f}" for value in vectors[word]) + "\n")
    print(f"{len(vectors)} words of {options.size} numbers written to {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
