import gzip
import json
import os
import random
import socket
import subprocess
import sys

import pytest
import train_tagger as module
from train_tagger import accuracy, correct_tags, overrule, save_tagger, token_spans, variants

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


@pytest.fixture
def without_spacy(monkeypatch):
    """Tags by looking words up, in place of spaCy; "leaps" comes out as a noun, as it often does there."""
    known = {"a": "DT", "dog": "NN", "cat": "NN", "red": "JJ", "leaps": "NNS", "sits": "VBZ", ".": ".", "on": "IN"}

    def look_up(texts):
        for text in texts:
            yield [(word, known[word.lower()]) for word in text.split()]

    monkeypatch.setattr(module, "spacy_tags", look_up)
    return known


def test_training_learns_and_saving_keeps_it(without_spacy, tmp_path):
    captions = ["A dog sits on a red cat .", "a cat sits on a dog .", "A red dog sits ."] * 10
    trained = module.train(captions, seed=3)
    file = tmp_path / "tagger.json.gz"
    save_tagger(trained, file)
    first = file.read_bytes()
    save_tagger(module.train(captions, seed=3), file)
    assert file.read_bytes() == first
    truth = list(module.spacy_tags(["A red cat sits on a dog ."]))
    assert accuracy(load_tagger(file), truth) == 1
    assert accuracy(load_tagger(file), [[("sits", "NN"), ("on", "IN")]]) == 0.5
    assert accuracy(load_tagger(file), []) == 0


def test_training_leaves_the_global_random_state_alone(without_spacy):
    random.seed(5)
    expected = random.Random(5).random()
    module.train(["a dog sits ."] * 4)
    assert random.random() == expected


def test_brackets_turn_a_noun_into_the_verb_it_is(without_spacy):
    without_spacy["leaps"] = "VBZ"
    sure = list(module.spacy_tags(["A cat leaps ."]))
    without_spacy["leaps"] = "NNS"
    doubtful = next(iter(module.spacy_tags(["A dog leaps ."])))
    habits = module.defaultdict(module.Counter)
    for word, kind in [pair for caption in [*sure, doubtful] for pair in caption]:
        habits[word.lower()][kind] += 1
    assert correct_tags(doubtful, [(0, 2)], habits)[2] == ("leaps", "VBZ")
    assert correct_tags(doubtful, [(0, 3)], habits)[2] == ("leaps", "NNS")  # inside the bracket it stays


def test_brackets_make_a_participle_an_adjective_and_a_last_verb_a_noun():
    habits = {
        word: module.Counter(kinds) for word, kinds in {"smiling": {"VBG": 9}, "drinks": {"NNS": 5, "VBZ": 5}}.items()
    }
    habits = module.defaultdict(module.Counter, habits)
    caption = [("smiling", "VBG"), ("girl", "NN"), ("with", "IN"), ("drinks", "VBZ")]
    assert [kind for _, kind in correct_tags(caption, [(0, 2), (3, 4)], habits)] == ["JJ", "NN", "IN", "NNS"]


def test_the_judge_overrules_only_on_what_it_learnt():
    spacy = [("leaps", "NNS"), ("red", "JJ"), ("boy", "UH"), ("smiling", "VBG")]
    judged = [("leaps", "VBZ"), ("red", "NN"), ("boy", "NN"), ("smiling", "JJ")]
    assert [kind for _, kind in overrule(spacy, judged)] == ["VBZ", "JJ", "NN", "JJ"]


def test_variants_keep_each_word_with_its_tag():
    caption = [("A", "DT"), ("red", "JJ"), ("dog", "NN"), ("catching", "VBG"), ("balls", "NNS"), (".", ".")]
    rng = random.Random(0)
    made = [tuple(variant) for _ in range(2000) for variant in variants(caption, rng)]
    assert tuple(caption) in made
    assert (("a", "DT"), ("red", "JJ"), ("dog", "NN"), ("catching", "VBG"), ("balls", "NNS")) in made
    assert (("red", "JJ"), ("dog", "NN")) in made
    assert (("catching", "VBG"), ("balls", "NNS")) in made
    assert (("Where", "WRB"), ("is", "VBZ"), ("red", "JJ"), ("dog", "NN"), ("?", ".")) in made
    assert all(made)
    assert list(variants([], rng)) == []


def test_character_spans_become_token_ranges():
    assert token_spans("A man 's hat. Two dogs", [(0, 12), (14, 22), (1, 2)]) == [(0, 4), (5, 7)]


def test_no_socket_is_opened_here(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the tagger opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    load_tagger.cache_clear()
    assert tags("a dog") == ["DT", "NN"]
