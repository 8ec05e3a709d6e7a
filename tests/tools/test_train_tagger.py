"""What the tagger learns from, and its command line from a file of captions to the file that ships."""

import random

import pytest
import train_tagger
from train_tagger import accuracy, correct_tags, main, overrule, save_tagger, token_spans, variants

from sspe.phrases.tagger import load_tagger


@pytest.fixture
def without_spacy(monkeypatch):
    """Tags by looking words up, in place of spaCy; "leaps" comes out as a noun, as it often does there."""
    known = {"a": "DT", "dog": "NN", "cat": "NN", "red": "JJ", "leaps": "NNS", "sits": "VBZ", ".": ".", "on": "IN"}

    def look_up(texts):
        for text in texts:
            yield [(word, known[word.lower()]) for word in text.split()]

    monkeypatch.setattr(train_tagger, "spacy_tags", look_up)
    return known


def test_training_learns_and_saving_keeps_it(without_spacy, tmp_path):
    captions = ["A dog sits on a red cat .", "a cat sits on a dog .", "A red dog sits ."] * 10
    trained = train_tagger.train(captions, seed=3)
    file = tmp_path / "tagger.json.gz"
    save_tagger(trained, file)
    first = file.read_bytes()
    save_tagger(train_tagger.train(captions, seed=3), file)
    assert file.read_bytes() == first
    truth = list(train_tagger.spacy_tags(["A red cat sits on a dog ."]))
    assert accuracy(load_tagger(file), truth) == 1
    assert accuracy(load_tagger(file), [[("sits", "NN"), ("on", "IN")]]) == 0.5
    assert accuracy(load_tagger(file), []) == 0


def test_training_leaves_the_global_random_state_alone(without_spacy):
    random.seed(5)
    expected = random.Random(5).random()
    train_tagger.train(["a dog sits ."] * 4)
    assert random.random() == expected


def test_brackets_turn_a_noun_into_the_verb_it_is(without_spacy):
    without_spacy["leaps"] = "VBZ"
    sure = list(train_tagger.spacy_tags(["A cat leaps ."]))
    without_spacy["leaps"] = "NNS"
    doubtful = next(iter(train_tagger.spacy_tags(["A dog leaps ."])))
    habits = train_tagger.defaultdict(train_tagger.Counter)
    for word, kind in [pair for caption in [*sure, doubtful] for pair in caption]:
        habits[word.lower()][kind] += 1
    assert correct_tags(doubtful, [(0, 2)], habits)[2] == ("leaps", "VBZ")
    assert correct_tags(doubtful, [(0, 3)], habits)[2] == ("leaps", "NNS")  # inside the bracket it stays


def test_brackets_make_a_participle_an_adjective_and_a_last_verb_a_noun():
    habits = {
        "smiling": train_tagger.Counter({"VBG": 9}),
        "drinks": train_tagger.Counter({"NNS": 5, "VBZ": 5}),
    }
    habits = train_tagger.defaultdict(train_tagger.Counter, habits)
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


def test_the_command_line_writes_a_tagger_and_says_how_good_it_is(without_spacy, tmp_path, caplog):
    lines = ["A dog sits on a red cat .", "A red dog sits ."] * 10 + ["a cat sits on a dog ."] * train_tagger.HELD_OUT
    (tmp_path / "captions.txt").write_text("\n".join(lines) + "\n")
    with caplog.at_level("INFO"):
        main([str(tmp_path / "captions.txt"), str(tmp_path / "tagger.json.gz")])
    assert [kind for _, kind in load_tagger(tmp_path / "tagger.json.gz").tag(["a", "red", "dog"])] == ["DT", "JJ", "NN"]
    assert "100.00 % of the tags of 3000 other captions" in caplog.text


def test_too_few_or_no_captions_are_one_sentence(tmp_path, capsys):
    (tmp_path / "few.txt").write_text("A dog sits .\n" * (train_tagger.HELD_OUT + 5))
    for file, message in (("few.txt", "few.txt leaves no caption to learn from"), ("none", "No such file")):
        with pytest.raises(SystemExit):
            main([str(tmp_path / file), str(tmp_path / "tagger.json.gz")])
        assert message in capsys.readouterr().err
