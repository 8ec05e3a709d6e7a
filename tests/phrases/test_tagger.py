import gzip
import json
import os
import socket
import subprocess
import sys

import pytest

from sspe.errors import DataError
from sspe.phrases.tagger import WEIGHTS, load_tagger, tag


def environment(**more):
    """Variables for a fresh interpreter that finds this checkout's sspe."""
    return {**os.environ, "PYTHONPATH": str(WEIGHTS.parents[2]), **more}


def tags(text):
    return [tag for _, tag in tag(text.split())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man in an orange hat leaps .", "DT NN IN DT JJ NN VBZ ."),
        ("two dogs", "CD NNS"),
        ("a dog climbs the stairs", "DT NN VBZ DT NNS"),
        ("TWO DOGS", "CD NNS"),
        ("the woman 's bag", "DT NN POS NN"),
    ],
)
def test_tags_of(text, expected):
    assert tags(text) == expected.split()


def test_words_come_back_as_given():
    assert [word for word, _ in tag(["A", "MAN", "\u2603"])] == ["A", "MAN", "\u2603"]
    assert tag([]) == []


def test_weights_are_small_and_hold_single_words_only():
    assert WEIGHTS.stat().st_size < 2_000_000
    stored = json.loads(gzip.decompress(WEIGHTS.read_bytes()))
    assert all(" " not in word for words in stored["words"] for word in words)
    # A feature is its name ("i-1 tag+i word"), then at most a tag and a word.
    assert max(len(feature.split(" ")) for feature in stored["weights"]) <= 5


def test_loads_without_network_or_nltk_data_and_always_tags_alike():
    code = (
        "import socket\n"
        "def refuse(*args, **options): raise OSError('no network in this test')\n"
        "socket.socket.connect = refuse\n"
        "import nltk.data; nltk.data.path[:] = []\n"
        "from sspe.phrases.tagger import tag\n"
        "print(tag('A tall man feeds the grey pigeons in the park .'.split()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment(PYTHONHASHSEED=seed),
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert "('feeds', 'VBZ')" in outputs.pop()


def test_importing_the_module_loads_nothing_heavy():
    code = "import sspe.phrases.chunker, sys; print([m for m in ('nltk', 'spacy', 'torch', 'cv2') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert result.stdout.strip() == "[]"


def test_missing_or_foreign_weights_are_named(tmp_path):
    with pytest.raises(DataError, match=r"missing.json.gz"):
        load_tagger(tmp_path / "missing.json.gz")
    for name, content in (
        ("plain.gz", b"{}"),
        ("foreign.gz", gzip.compress(b"{}")),
        ("list.gz", gzip.compress(b"[1]")),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load_tagger(tmp_path / name)


def test_no_socket_is_opened_here(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the tagger opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    load_tagger.cache_clear()
    assert tags("a dog") == ["DT", "NN"]
