"""Which photos show a phrase, as far as their captions say."""

import numpy as np
import pytest

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.evaluation.shown import Captions


def photo(*sentences):
    """A photo of captions in which brackets mark the phrases."""
    made = []
    for index, sentence in enumerate(sentences):
        text, phrases = sentence.replace("[", "").replace("]", ""), []
        for piece in sentence.split("[")[1:]:
            words = piece.split("]")[0]
            start = text.index(words)
            phrases.append(AnnotatedPhrase(words, start, start + len(words), np.zeros((0, 4)), ("other",), "1"))
        made.append(AnnotatedSentence(text, tuple(phrases), index))
    return AnnotatedPhoto("a", None, 10, 10, tuple(made))


@pytest.mark.parametrize(
    ("phrase", "shown"),
    [
        ("a red umbrella", 1),
        ("the umbrella", 1),
        ("two umbrellas", 1),
        ("a blue umbrella", 0),  # it has another colour
        ("a broken umbrella", None),  # nobody said
        ("a woman", 1),
        ("a girl", None),  # a close synonym
        ("a dog", 0),
        ("a street", None),  # a word of the caption, and no phrase's noun
    ],
)
def test_what_captions_say(phrase, shown):
    captions = Captions([photo("[A woman] holds [a red umbrella] in the street.", "[A lady] walks.")])
    (found,) = captions.show(phrase)
    assert np.isnan(found) if shown is None else found == shown
