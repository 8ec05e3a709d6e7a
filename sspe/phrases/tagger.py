"""Part-of-speech tags for captions: NLTK's perceptron tagger with weights of our own, shipped as `tagger.json.gz`.

    tag(["A", "man", "in", "an", "orange", "hat"])   # [("A", "DT"), ("man", "NN"), ...], Penn Treebank tags

Nothing is downloaded and nothing is unpickled. `tools/train_tagger.py` made the weights.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.errors import DataError

if TYPE_CHECKING:
    from nltk.tag.perceptron import PerceptronTagger

logger = logging.getLogger(__name__)

WEIGHTS = Path(__file__).with_name("tagger.json.gz")
FORMAT = 1
Tagged = list[tuple[str, str]]  # the tokens of one sentence, each with its tag


def tag(words: Sequence[str]) -> Tagged:
    """Tag the tokens of one sentence; words in capitals throughout are read as if they were small."""
    seen = [word.lower() for word in words] if all(word.upper() == word for word in words) else words
    return [(word, tag) for word, (_, tag) in zip(words, load_tagger().tag(seen), strict=True)]


@lru_cache(maxsize=2)
def load_tagger(path: Path = WEIGHTS) -> PerceptronTagger:
    """The tagger stored in `path`; DataError if the file is missing or none of ours."""
    from nltk.tag.perceptron import PerceptronTagger  # late: importing NLTK costs more than reading the weights

    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            stored = json.load(file)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"Cannot read the tagger's weights from {path} ({error}); install sspe again.") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise DataError(f"{path} does not hold tagger weights of format {FORMAT}; install sspe again.")
    tags = stored["tags"]
    tagger = PerceptronTagger(load=False)
    tagger.tagdict = {word: tags[i] for i, words in enumerate(stored["words"]) for word in words}
    tagger.model.weights = {
        feature: {tags[i]: weight / 100 for i, weight in zip(pairs[::2], pairs[1::2], strict=True)}
        for feature, pairs in stored["weights"].items()
    }
    tagger.classes = tagger.model.classes = set(tags)
    return tagger
