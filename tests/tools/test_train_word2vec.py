"""Word vectors trained on captions, from a file to a file."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import train_word2vec as script
from train_word2vec import main, read_captions, train_word2vec

from sspe.errors import CheckpointError, DataError
from sspe.text.words import read_word_vectors

CAPTIONS = ["A dog runs .", "The dog and a cat , running", "a dog's bone", "A CAT sleeps"] * 5 + ["one unicorn"]


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(CAPTIONS) + "\n", encoding="utf-8")
    return path


def test_captions_are_read_plain_and_gzipped(tmp_path, captions):
    with gzip.open(tmp_path / "captions.txt.gz", "wt", encoding="utf-8") as out:
        out.write(captions.read_text())
    for path in (captions, tmp_path / "captions.txt.gz"):
        lines = list(read_captions(path))
        assert len(lines) == 21 and lines[:2] == [["a", "dog", "runs"], ["the", "dog", "and", "a", "cat", "running"]]


def test_missing_damaged_and_foreign_files_are_named(tmp_path, captions):
    packed = gzip.compress(captions.read_bytes() * 50)
    bad = {"cut.gz": packed[: len(packed) // 2], "plain.gz": b"no gzip at all", "latin.txt": "é".encode("latin-1")}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"Cannot read .*{name} as UTF-8 text"):
            list(read_captions(tmp_path / name))
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DataError, match="There is no file of captions"):
            list(read_captions(path))


def test_rare_words_have_no_vector_and_the_seed_decides():
    words = [line.lower().split() for line in CAPTIONS]
    first, again, other = (train_word2vec(words, size=8, epochs=2, seed=seed) for seed in (0, 0, 1))
    assert {"a", "dog", "cat"} <= set(first.index_to_key) and "unicorn" not in first.index_to_key
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert first.vectors.shape[1] == 8 and not np.array_equal(first.vectors, other.vectors)


@pytest.mark.parametrize("captions", [[], [[]], [["a", "dog"], ["a", "cat"]]])
def test_too_few_captions_are_said_in_a_sentence(captions):
    with pytest.raises(DataError, match="no word that occurs 3 times; give more"):
        train_word2vec(captions)


def test_without_gensim_the_extra_is_named(monkeypatch):
    for name in ("gensim", "gensim.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CheckpointError, match=r"needs gensim; run `pip install -e \"\.\[train\]\"`"):
        train_word2vec([["a"]] * 9)


def test_the_command_line_writes_what_the_encoder_reads(tmp_path, captions, capsys):
    output = tmp_path / "new" / "vectors.txt"
    assert main([str(captions), str(output), "--size", "6", "--epochs", "2"]) == 0
    table = read_word_vectors(output)
    assert table.size == 6 and {"dog", "cat", "a"} <= set(table.words)
    told = capsys.readouterr()
    assert told.out == "" and f"{len(table.words)} words of 6 numbers written to {output}" in told.err
    first = output.read_bytes()
    assert main([str(captions), str(output), "--size", "6", "--epochs", "2"]) == 0 and output.read_bytes() == first


def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    assert main([str(tmp_path / "none.txt"), str(tmp_path / "out.txt")]) == 2
    (tmp_path / "few.txt").write_text("a dog\n")
    assert main([str(tmp_path / "few.txt"), str(tmp_path / "out.txt")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "There is no file of captions" in lines[0] and "give more" in lines[1]
    assert not (tmp_path / "out.txt").exists()


def test_separate_runs_give_the_same_vectors_whatever_pythons_hash_seed(tmp_path, captions):
    written = []
    for seed in ("1", "2"):
        output = tmp_path / f"{seed}.txt"
        command = [sys.executable, script.__file__, captions, output, "--size", "4", "--epochs", "1"]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        written.append(output.read_bytes())
    assert written[0] == written[1]
