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
        answers = ask_all(url, asked[:8])
    busy = [answer for answer in answers if isinstance(answer, str)]
    assert busy and all("Queue is full" in told for told in busy)
    served_ones = [(q, a) for q, a in zip(asked[:8], answers, strict=True) if isinstance(a, dict)]
    assert served_ones and all(right(q, a) for q, a in served_ones)
