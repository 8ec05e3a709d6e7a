"""Twenty clients at once: every one gets its own right answer or is told that the page is busy."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_localizer import FakeLocalizer
from gradio_client import Client, handle_file
from PIL import Image
from serving import served

from sspe.web.page import build_app

CLIENTS = 20


@pytest.fixture
def asked(tmp_path) -> list[tuple]:
    """A photo of its own size and a sentence of its own for each client."""
    questions = []
    for index in range(CLIENTS):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (40 + index, 90 - index), (index, 0, 0)).save(path)
        questions.append((path, f"A man and the dog {index}."))
    return questions


def ask_all(url: str, asked: list[tuple]) -> list[dict | str]:
    """An answer or what the client was told, in the order of the questions."""

    def one(question):
        path, sentence = question
        try:
            return Client(url, verbose=False).predict(handle_file(path), sentence, api_name="/localize")
        except Exception as error:
            return str(error)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, asked))


def right(question: tuple, answer: dict) -> bool:
    path, sentence = question
    with Image.open(path) as photo:
        return (answer["width"], answer["height"]) == photo.size and answer["sentence"] == sentence


def test_everyone_gets_his_own_answer(asked):
    with served(build_app(FakeLocalizer())) as url:
        answers = ask_all(url, asked)
    busy = [answer for answer in answers if isinstance(answer, str)]
    assert all("Queue is full" in told for told in busy)
    assert all(right(q, a) for q, a in zip(asked, answers, strict=True) if isinstance(a, dict))
    assert len(answers) - len(busy) >= CLIENTS // 2


def test_one_too_many_is_told_so(asked):
    with served(build_app(FakeLocalizer(delay=0.5)).queue(max_size=2)) as url:
        answers = ask_all(url, asked)
    busy = [answer for answer in answers if isinstance(answer, str)]
    assert busy and all("Queue is full" in told for told in busy)
    served_ones = [(q, a) for q, a in zip(asked, answers, strict=True) if isinstance(a, dict)]
    assert served_ones and all(right(q, a) for q, a in served_ones)


@pytest.mark.slow
def test_with_a_real_network(tiny_localizer, photos):
    """The network's answers, too, are those it gives to each photo alone."""
    asked = []
    for index, path in enumerate(photos[:CLIENTS]):
        asked.append((path, f"A red ball and the {'blue' if index % 2 else 'striped'} box."))
    expected = [tiny_localizer(*question).to_dict() for question in asked]
    with served(build_app(tiny_localizer)) as url:
        answers = ask_all(url, asked)
    for answer, own in zip(answers, expected, strict=True):
        if isinstance(answer, str):
            assert "Queue is full" in answer
            continue
        assert [p["text"] for p in answer["phrases"]] == [p["text"] for p in own["phrases"]]
        for one, other in zip(answer["phrases"], own["phrases"], strict=True):
            # Sums of floats come out a little different where an array lies elsewhere in memory.
            assert one["score"] == pytest.approx(other["score"], abs=0.001)
            assert one["box"] == pytest.approx(other["box"], abs=0.1)
