"""The snippets of the panel "Take it away": run against a served page, they give the panel's very result."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_localizer import FakeLocalizer

from sspe.web.panels.snippets import ADDRESS, client_snippet, curl_snippet, python_snippet
from sspe.web.service import LocalizeService, Question

ROOT = Path(__file__).resolve().parents[3]
SENTENCE = 'A "man" in the dog\'s hat, 100 % $HOME `x` \\ ☂ {address}.\nThe end.'
QUESTIONS = {
    "as found": {},
    "corrected": {"spans": ((3, 6), (11, 20))},
    "no phrase": {"spans": ()},
    "three boxes": {"top_k": 3},
}


@pytest.fixture(params=QUESTIONS)
def question(request, picture) -> Question:
    photo = picture.with_name("it's a photo, ok.png")
    shutil.copy(picture, photo)
    return Question(photo, SENTENCE, **QUESTIONS[request.param])


@pytest.fixture
def expected(question):
    found, _ = LocalizeService(FakeLocalizer())(question.photo, question.sentence, None, question.spans, question.top_k)
    return found.to_dict()


def test_a_photo_is_named_as_it_was_called():
    """Gradio keeps "it's mine.png" as "its mine.png", and beside the snippet lies the former."""
    question = Question(Path("/cache/its mine.png"), "A dog.", name="it's mine.png")
    assert '("it\'s mine.png", sentence)' in python_snippet(question)
    assert 'handle_file("it\'s mine.png")' in client_snippet(question)
    assert "mine.png" in curl_snippet(question) and "its mine.png" not in curl_snippet(question)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("sed")), reason="curl or sed is not installed")
def test_curl(server, question, expected):
    script = curl_snippet(question).replace(ADDRESS, server, 1)
    run = subprocess.run(["sh", "-c", script], cwd=question.photo.parent, capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith("event: complete\n"), run
    assert json.loads(run.stdout.partition("data: ")[2])[0] == expected


def test_python_through_the_page(server, question, expected):
    script = (
        client_snippet(question)
        .replace(ADDRESS, server, 1)
        .replace("print(result)", "import json; print(json.dumps(result))")
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=question.photo.parent, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == expected


def test_python_through_the_library(question, expected, monkeypatch, capsys):
    """With a stand-in for the checkpoint; that the real one is loaded the same way is tested elsewhere."""
    import sspe

    monkeypatch.setattr(FakeLocalizer, "from_pretrained", classmethod(lambda cls: cls()), raising=False)
    monkeypatch.setitem(vars(sspe), "Localizer", FakeLocalizer)
    monkeypatch.chdir(question.photo.parent)
    exec(python_snippet(question), {})
    printed = capsys.readouterr().out
    assert eval(printed) == expected
