"""Answers on the example photos: the first is made with the page, the others after it, or when one is chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sspe.errors import SspeError
from sspe.web.examples import Example, examples
from sspe.web.panels.boxes import SHOWN_CANDIDATES, message_data, view_data
from sspe.web.service import LocalizeService, Question, Report, no_phrase_message

NO_PHRASE_MARKED = "No phrase is marked: click words of the sentence to make one."


@dataclass(frozen=True)
class ExampleAnswer:
    """What the page shows for an example: data of the linked view, and the question it answers."""

    example: Example
    data: dict[str, Any]
    question: Question | None


@dataclass
class _Place:
    """Where the answer on one example will be; None until it is made."""

    example: Example
    answer: ExampleAnswer | None = None
    making: threading.Lock = field(default_factory=threading.Lock)


class ExampleAnswers:
    """Each answer is made once, whoever asks first. Safe to call from several threads."""

    def __init__(self, service: LocalizeService):
        self.service = service
        self.examples = examples()
        self._places = [_Place(example) for example in self.examples]

    def __getitem__(self, number: int) -> ExampleAnswer:
        """The answer on the example at a place, made now if it is not there yet."""
        place = self._places[number]
        with place.making:
            if place.answer is None:
                example = place.example
                data, question = answer(self.service, Question(example.photo, example.sentence))
                place.answer = ExampleAnswer(
                    example, data | ({"message": example.note} if example.note else {}), question
                )
            return place.answer

    def begin(self, then: Callable[[], object] = lambda: None) -> threading.Thread:
        """Make what is missing in the background, one after the other, and ``then`` what else can wait."""

        def make() -> None:
            for number in range(len(self._places)):
                self[number]
            then()

        work = threading.Thread(target=make, daemon=True)
        work.start()
        return work


def answer(service: LocalizeService, question: Question, report: Report | None = None) -> tuple:
    """Data of the linked view, and the question as it was answered; bad input becomes its sentence in the view."""
    try:
        localization, seen = service(question.photo, question.sentence, report, question.spans, SHOWN_CANDIDATES)
    except SspeError as error:
        return message_data(str(error)), None
    message = ""
    if not localization.phrases:
        message = no_phrase_message(localization.sentence) if question.spans is None else NO_PHRASE_MARKED
    return view_data(localization, seen.preview, message, question.spans is not None), question
