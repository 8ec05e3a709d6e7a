"""Words that need no tokenizer are cut at the blanks, as NLTK's would cut them."""

import pytest
from nltk.tokenize import NLTKWordTokenizer

from sspe.phrases.tokens import tokenize


@pytest.mark.parametrize(
    "text",
    [
        "a red shirt",
        "A T-shirt and 3 well-known men",
        "I cannot see what they wanna do",
        "Gimme the off-lemme thing you're gonna see",
        "a man's hat",
        "rock 'n' roll--loud",
    ],
)
def test_tokens_are_those_of_nltk(text):
    words = [text[start:end] for sentence in tokenize(text) for start, end in sentence]
    assert words == NLTKWordTokenizer().tokenize(text)
