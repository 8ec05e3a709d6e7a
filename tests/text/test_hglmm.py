"""HGLMM Fisher vectors as text features; the mixture itself is tested in test_fisher.py."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sspe.errors import DataError
from sspe.settings import TextSettings
from sspe.text import hglmm
from sspe.text.context import Context
from sspe.text.encoders import create_text_encoder, load_text_encoder
from sspe.text.fisher import HybridMixture
from sspe.text.hglmm import HGLMMEncoder
from sspe.text.words import WordVectors, words_of

WORDS = WordVectors(("red", "shirt", "woman", "hat"), np.array([[1, 0], [0, 2], [3, 4], [-1, 0]], np.float32))
TEXTS = ["A man in a red hat", "a man", "the red, red hat of a man", "a dog", "zebra"]


@pytest.fixture
def vectors(tmp_path) -> Path:
    """A file of made-up vectors, 8 numbers a word."""
    words = [*sorted({word for text in TEXTS for word in words_of(text)}), "whale", "boat"]
    rng = np.random.default_rng(0)
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, rng.laplace(size=8)))}\n" for word in words))
    return path


def fitted(vectors, texts=TEXTS, **changes) -> HGLMMEncoder:
    settings = TextSettings("hglmm", **{"vectors": (str(vectors),), "context": 0, "centres": 3, "pca": 4} | changes)
    return create_text_encoder(settings, texts)


def test_hglmm_is_the_projected_fisher_vector_of_the_words(vectors):
    encoder = fitted(vectors)
    assert encoder.feature_size == 4
    state = encoder.state()
    whole, components = state["vectors"], state["pca.components"]
    assert components.shape == (4, 2 * 3 * 8)
    torch.testing.assert_close(whole.norm(dim=1), torch.full((len(whole),), 10.0), rtol=1e-3, atol=0)
    text = "A man, a red hat and a spaceship"
    rows = [[encoder.settings()["words"].index(word) for word in "a man a red hat a".split()]]
    parameters = {name.removeprefix("mixture."): t for name, t in state.items() if name.startswith("mixture.")}
    fisher = HybridMixture(**parameters).fisher_vectors(whole, rows)
    expected = (fisher - state["pca.mean"]) @ components.T
    torch.testing.assert_close(encoder.encode([text]), expected, rtol=1e-4, atol=1e-5)


def test_hglmm_gives_zeros_where_no_word_is_known_and_one_row_a_text(vectors, monkeypatch):
    encoder = fitted(vectors)
    asked = ["qwerty", "", "a man", "...", "whale", "the boat"]
    found = encoder.encode(asked)
    assert found.shape == (6, 4) and not found[[0, 1, 3]].any() and found[[2, 4, 5]].any(dim=1).all()
    assert encoder.encode([]).shape == (0, 4) and encoder.encode(["nothing"]).shape == (1, 4)
    monkeypatch.setattr(hglmm, "_BATCH", 2)
    torch.testing.assert_close(encoder.encode(asked), found)
    assert encoder.knows(asked) == [False, False, True, False, True, True]


def test_hglmm_survives_half_precision_exactly(vectors):
    encoder = fitted(vectors)
    settings = json.loads(json.dumps(encoder.settings()))
    state = {name: tensor.half() for name, tensor in encoder.state().items()}
    loaded = load_text_encoder("hglmm", settings, state)
    assert torch.equal(loaded.encode(TEXTS), encoder.encode(TEXTS)) and loaded.settings() == settings
    reading = load_text_encoder("hglmm", settings | {"context": 2}, state)
    assert reading.feature_size == 12
    found = reading.encode(["a dog"], [Context("the red", "of a man")])[0].view(3, 4)
    torch.testing.assert_close(found, encoder.encode(["a dog", "the red", "of a"]))


def test_hglmm_is_fitted_once_for_the_same_input(vectors, monkeypatch, tmp_path):
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "cache"))
    first = fitted(vectors)
    monkeypatch.setattr(HGLMMEncoder, "_fitted", lambda *_: pytest.fail("fitted again"))
    assert torch.equal(fitted(vectors, context=0).encode(TEXTS), first.encode(TEXTS))
    assert fitted(vectors, context=3).context == 3  # how much is read is no part of the fit
    for change in ({"centres": 2}, {"pca": 3}, {"texts": TEXTS[:-1]}):
        with pytest.raises(pytest.fail.Exception, match="fitted again"):
            fitted(vectors, **change)
    vectors.write_text(vectors.read_text() + "zoo 1 2 3 4 5 6 7 8\n")
    with pytest.raises(pytest.fail.Exception, match="fitted again"):
        fitted(vectors)


def test_fitting_hglmm_follows_the_seed(vectors, monkeypatch, tmp_path):
    made = []
    settings = TextSettings("hglmm", (str(vectors),), context=0, centres=3, pca=4)
    for place, seed in enumerate((0, 0, 1)):
        monkeypatch.setenv("SSPE_CACHE", str(tmp_path / str(place)))
        made.append(HGLMMEncoder.create(TEXTS, settings, seed).state())
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
    assert not torch.equal(made[0]["vectors"], made[2]["vectors"])


def test_the_fisher_vectors_of_a_fit_stay_within_their_memory(vectors, monkeypatch):
    asked = []
    whole = hglmm.principal_components
    monkeypatch.setattr(hglmm, "principal_components", lambda x, *more: asked.append(len(x)) or whole(x, *more))
    monkeypatch.setattr(hglmm, "MEMORY", 4 * 3 * (4 * 2 * 3 * 8) + 1)  # a quarter of it holds three
    assert fitted(vectors, pca=5).feature_size == 2 and asked == [3]  # three points span two directions


def test_hglmm_says_what_it_cannot_use(vectors, tmp_path):
    with pytest.raises(DataError, match="takes one table of word vectors and got 2"):
        create_text_encoder(TextSettings("hglmm", ("glove", str(vectors))), TEXTS)
    with pytest.raises(DataError, match="No word of the training texts has a vector"):
        fitted(vectors, texts=["qwerty", "uiop"])
    with pytest.raises(DataError, match=r"no file of word vectors .*none\.txt"):
        fitted(tmp_path / "none.txt")


def test_hglmm_reads_glove_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    encoder = create_text_encoder(TextSettings("hglmm", context=0, centres=2), ["red shirt", "woman", "a hat"])
    assert encoder.state()["pca.components"].shape[1] == 2 * 2 * 2
    assert set(encoder.settings()["words"]) == set(WORDS.words)
