"""tf-idf is scikit-learn's, and survives a checkpoint."""

import json

import numpy as np
import pytest
import torch

from sspe.errors import DataError
from sspe.settings import TextSettings
from sspe.text.context import ALONE, Context
from sspe.text.encoders import create_text_encoder, load_text_encoder
from sspe.text.words import words_of

TEXTS = ["A man in a red hat", "a man", "the red, red hat of a man", "a dog", "zebra"]


def tfidf(texts=TEXTS, **changes):
    return create_text_encoder(TextSettings("tfidf", **{"context": 0} | changes), texts)


def test_tfidf_is_scikit_learns():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    other = text.TfidfVectorizer(analyzer=words_of).fit(TEXTS)
    encoder = tfidf()
    asked = [*TEXTS, "a dog in a hat", "unknown", ""]
    order = [other.vocabulary_[word] for word in encoder.settings()["words"]]
    expected = other.transform(asked).toarray()[:, order]
    np.testing.assert_allclose(encoder.encode(asked), expected, rtol=1e-3)  # the idf is rounded as a checkpoint does


def test_the_vocabulary_is_the_most_frequent_words():
    encoder = tfidf(vocabulary=3)
    assert encoder.settings() == {"words": ["a", "man", "hat"], "context": 0} and encoder.feature_size == 3
    assert not encoder.encode(["zebra"]).any()
    assert torch.equal(encoder.encode(["hats"]), encoder.encode(["hat"]))  # the singular stands in
    with pytest.raises(DataError, match="hold no word"):
        tfidf(["...", ""])


def test_tfidf_survives_the_round_trip_and_reads_context():
    encoder = tfidf(context=2)
    settings = json.loads(json.dumps(encoder.settings()))
    loaded = load_text_encoder("tfidf", settings, {name: t.half() for name, t in encoder.state().items()})
    contexts = [Context("a man and", "in a hat"), ALONE]
    assert loaded.feature_size == 3 * len(settings["words"])
    found = loaded.encode(["a dog", "a red hat"], contexts)
    torch.testing.assert_close(found, encoder.encode(["a dog", "a red hat"], contexts), rtol=0, atol=1e-3)
    sides = tfidf().encode(["man and", "in a"])
    torch.testing.assert_close(found[0].view(3, -1)[1:], sides, rtol=0, atol=1e-3)


def test_known_is_what_the_vocabulary_holds():
    assert tfidf(vocabulary=3).knows(["the old hats", "a hat zebra", "..."]) == [True, False, False]
