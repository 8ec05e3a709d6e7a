"""The tab that localizes: photo, sentence and examples on one side, what came of it on the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from sspe.errors import SspeError
from sspe.web.examples import Example, examples
from sspe.web.gallery import ExampleStrip
from sspe.web.photo_input import PhotoInput
from sspe.web.service import MAX_CHARACTERS, MAX_TOP_K, LocalizeService, Question, Report, no_phrase_message
from sspe.web.tabs.seeing import SeeingView, see_phrase
from sspe.web.tabs.taking import TakeAway
from sspe.web.view import LinkedView
from sspe.web.view_data import SHOWN_CANDIDATES, message_data, view_data

MODEL_EVENTS = {"concurrency_id": "localizer", "concurrency_limit": 1}  # one request at a time holds the network
NO_PHRASE_MARKED = "No phrase is marked: click words of the sentence to make one."


def build_localize(service: LocalizeService) -> None:
    """Components and the listeners between them.

    A visitor's session holds his last question and which panel is open. A panel is filled when it is opened, and again
    when there is a new result while it is open; nothing is computed for one that nobody looks at.
    """
    ready = [(example, *_example_answer(service, example)) for example in examples()]
    first, first_view, first_question = ready[0] if ready else (None, None, None)
    question = gr.State(first_question)
    opened = gr.State("boxes")
    with gr.Row(elem_id="stage"):
        with gr.Column(elem_id="inputs", min_width=0):
            photo = PhotoInput(
                value=str(first.photo) if first else None,
                label="Photo",
                sources=["upload", "clipboard", "webcam"],
                buttons=["fullscreen"],
                height=260,
                elem_id="photo",
            )
            sentence = gr.Textbox(
                value=first.sentence if first else "",
                label="Sentence",
                placeholder="A man in a red hat rides a brown horse.",
                lines=1,
                max_lines=6,
                max_length=MAX_CHARACTERS,
                elem_id="sentence",
            )
            button = gr.Button("Localize", variant="primary", elem_id="localize")
        with gr.Column(elem_id="result", min_width=0), gr.Tabs(elem_id="panels"):
            with gr.Tab("Boxes", id="boxes") as boxes_tab:
                view = LinkedView(first_view, elem_id="view")
            # Their contents are there before they are opened: what comes for a component that is not yet is lost.
            with gr.Tab("What it sees", id="seeing", render_children=True) as seeing_tab:
                seeing = SeeingView(elem_id="seeing")
            with gr.Tab("Take it away", id="taking", render_children=True) as taking_tab:
                taking = TakeAway(service)
        with gr.Column(elem_id="examples", min_width=0, visible=bool(ready)):
            strip = ExampleStrip([example for example, _, _ in ready])

    panels = [seeing, *taking.outputs]

    def fill(asked: Question | None, panel: str) -> list:
        """What the open panel shows; the others stay as they are."""
        filled = [gr.skip()] * len(panels)
        if panel == "seeing":
            filled[0] = see_phrase(service, asked)
        elif panel == "taking":
            filled[1:] = taking.files(asked)
        return filled

    def localize_page(
        photo: Path | None,
        sentence: str | None,
        panel: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio knows that it wants one)
    ) -> list:
        shown, asked = answer(service, Question(photo, sentence), lambda share, stage: progress(share, desc=stage))
        return [shown, asked, *fill(asked, panel)]

    def correct(asked: Question | None, panel: str, edited: gr.EventData) -> list:
        if asked is None:  # the result is gone: nothing is left to correct
            return [gr.skip()] * (2 + len(panels))
        shown, asked = answer(service, replace(asked, spans=edited.spans))
        return [shown, asked, *fill(asked, panel)]

    def show_example(panel: str, chosen: gr.EventData) -> list:
        example, shown, asked = ready[chosen.index]
        filled = fill(asked, "boxes") if panel == "boxes" else _on_gpu(fill)(asked, panel)
        return [str(example.photo), example.sentence, shown, asked, *filled]

    def settle(asked: Question | None, moved: gr.EventData) -> Question | None:
        return asked and replace(asked, threshold=float(moved.threshold), top_k=int(moved.top_k))

    def choose_phrase(asked: Question | None, chosen: gr.EventData) -> dict[str, Any]:
        return see_phrase(service, asked, int(chosen.index))

    def opener(panel: str) -> Callable:
        return lambda asked: [panel, *fill(asked, panel)]

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    result = [view, question, *panels]
    gr.on(
        [button.click, sentence.submit],
        _on_gpu(localize_page),
        [photo, sentence, opened],
        result,
        show_progress_on=[view, seeing],
        api_visibility="private",
        **MODEL_EVENTS,
    )
    view.edit(_on_gpu(correct), [question, opened], result, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    # In turn with the others: a panel opened next knows of it.
    view.release(settle, question, question, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    strip.select(show_example, opened, [photo, sentence, *result], queue=False, trigger_mode="multiple", **quiet)
    seeing.select(_on_gpu(choose_phrase), question, seeing, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    taking.snippets.select(_on_gpu(taking.files), question, taking.outputs, **quiet, **MODEL_EVENTS)
    boxes_tab.select(lambda: "boxes", None, opened, queue=False, **quiet)  # every page begins with it
    for tab, panel in ((seeing_tab, "seeing"), (taking_tab, "taking")):
        tab.select(_on_gpu(opener(panel)), question, [opened, *panels], **quiet, **MODEL_EVENTS)
    add_endpoint(service, photo, sentence)


def answer(service: LocalizeService, question: Question, report: Report | None = None) -> tuple:
    """What the view shows, and the question as it was answered; bad input becomes its sentence in the view."""
    try:
        localization, seen = service(question.photo, question.sentence, report, question.spans, SHOWN_CANDIDATES)
    except SspeError as error:
        return message_data(str(error)), None
    message = ""
    if not localization.phrases:
        message = no_phrase_message(localization.sentence) if question.spans is None else NO_PHRASE_MARKED
    return view_data(localization, seen.preview, message, question.spans is not None), question


def _example_answer(service: LocalizeService, example: Example) -> tuple:
    shown, asked = answer(service, Question(example.photo, example.sentence))
    return shown | ({"message": example.note} if example.note else {}), asked


def add_endpoint(service: LocalizeService, photo: PhotoInput, sentence: gr.Textbox) -> None:
    """`/localize` for programs: a listener on real components, so that Gradio checks the files it is sent."""

    def localize(
        photo: Path | None, sentence: str | None, phrases: list[list[int]] | None = None, top_k: int = 1
    ) -> dict[str, Any]:
        """Localize the phrases of a sentence in a photo.

        Args:
            photo: The picture, JPEG, PNG, WebP, GIF, BMP or TIFF, of at most 64 megapixels.
            sentence: English, at most 1,000 characters.
            phrases: The phrases to localize, a list of [start, end] in characters of the sentence; null takes the
                sentence's noun phrases.
            top_k: Candidate boxes a phrase, 1 to 20.

        Returns:
            width and height of the photo in pixels, the sentence, and its phrases: text, start and end (characters of
            the sentence), head (the head noun), box (x1, y1, x2, y2 in pixels of the photo), score (cosine, -1 to 1),
            present (probability, 0 to 1, that the photo shows the phrase), confidence (probability that the box is
            right if it does; both null without calibration) and candidates (boxes, best first). No noun phrase in the
            sentence: an empty list of phrases.
        """
        try:
            return service(photo, sentence, None, phrases, top_k)[0].to_dict()
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None

    phrases = gr.JSON(label="Phrases: [[start, end], ...] in characters; null: the noun phrases found", visible=False)
    top_k = gr.Number(1, label="Boxes a phrase, 1 to 20", precision=0, minimum=1, maximum=MAX_TOP_K, visible=False)
    found = gr.JSON(label="Localization", visible=False)
    endpoint = gr.Button(visible=False)
    endpoint.click(_on_gpu(localize), [photo, sentence, phrases, top_k], found, api_name="localize", **MODEL_EVENTS)


def _on_gpu(function: Callable) -> Callable:
    """The function as a Hugging Face Space with shared GPUs wants it; elsewhere the function itself."""
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(function)
