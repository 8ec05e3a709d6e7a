"""The tab that localizes: photo, sentence and examples on one side, the three panels on the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache, save_pil_to_cache
from PIL import Image

from sspe.errors import PhotoError
from sspe.vision.photo import open_photo
from sspe.web.components.example_strip import ExampleStrip
from sspe.web.components.linked_view import LinkedView
from sspe.web.components.photo_input import PhotoInput
from sspe.web.components.seeing_view import SeeingView
from sspe.web.endpoint import add_endpoint
from sspe.web.events import MODEL_EVENTS, on_gpu
from sspe.web.example_answers import ExampleAnswers, answer
from sspe.web.panels.boxes import message_data
from sspe.web.panels.take_away import TakeAway
from sspe.web.panels.what_it_sees import see_phrase
from sspe.web.service import MAX_CHARACTERS, GivenPhoto, Question

FORGOTTEN = "The page has forgotten this result; localize the sentence again."
BROWSERS_SHOW = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp"))


@dataclass(frozen=True)
class Asked:
    """What a session was asked last.

    Attributes:
        question: None where there is no result.
        first: whether it is the first example, with which every session begins, and nothing was asked since.
    """

    question: Question | None
    first: bool = False


@dataclass(frozen=True)
class LocalizeTab:
    """What another tab needs to show a photo in this one.

    Attributes:
        open_panel: state, the name of the open panel.
        outputs: components that ``show`` fills.
        show: (file of a photo, sentence, open panel) -> values of the outputs. Raises PhotoError.
    """

    open_panel: gr.State
    outputs: list
    show: Callable[[Path, str, str], list]


def build_localize(answers: ExampleAnswers) -> LocalizeTab:
    """Components and the listeners between them.

    A visitor's session holds the last question and the name of the open panel. A panel is filled when it is opened, and
    again when there is a new result while it is open; nothing is computed for one that nobody looks at. Gradio forgets
    the oldest sessions, and all of them when it starts again: the question is then the first example's once more. So
    the browser knows whether anything was asked, and the first example does not count where it says so.
    """
    service = answers.service
    shown = answers[0] if answers.examples else None
    first = shown and shown.example
    last = gr.State(Asked(shown and shown.question, first=True))
    has_asked = gr.Checkbox(False, visible="hidden")
    open_panel = gr.State("boxes")
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
                view = LinkedView(shown and shown.data, elem_id="view")
            # Their contents are there before they are opened: what comes for a component that is not yet is lost.
            with gr.Tab("What it sees", id="seeing", render_children=True) as seeing_tab:
                seeing = SeeingView(elem_id="seeing")
            with gr.Tab("Take it away", id="taking", render_children=True) as taking_tab:
                take_away = TakeAway(service)
        with gr.Column(elem_id="examples", min_width=0, visible=bool(answers.examples)):
            strip = ExampleStrip(answers.examples)

    panels = [seeing, *take_away.outputs]

    def fill(question: Question | None, panel: str) -> list:
        """What the open panel shows; the others stay as they are."""
        updates = [gr.skip()] * len(panels)
        if panel == "seeing":
            updates[0] = see_phrase(service, question)
        elif panel == "taking":
            updates[1:] = take_away.files(question)
        return updates

    def forgotten(last: Asked, has_asked: bool) -> bool:
        return has_asked and last.first

    def remembered(last: Asked, has_asked: bool) -> Question | None:
        return None if forgotten(last, has_asked) else last.question

    def localize_page(
        photo: GivenPhoto | None,
        sentence: str | None,
        panel: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio knows that it wants one)
    ) -> list:
        data, question = answer(service, Question.of(photo, sentence), lambda share, stage: progress(share, desc=stage))
        return [data, Asked(question), True, *fill(question, panel)]

    def correct(last: Asked, has_asked: bool, panel: str, event: gr.EventData) -> list:
        if forgotten(last, has_asked):
            return [message_data(FORGOTTEN), Asked(None), True, *fill(None, panel)]
        if last.question is None:  # the result is gone: nothing is left to correct
            return [gr.skip()] * len(result)
        data, question = answer(service, replace(last.question, spans=event.spans))
        return [data, Asked(question), True, *fill(question, panel)]

    def show_example(panel: str, event: gr.EventData) -> list:
        chosen = answers[event.index]
        example, data, question = chosen.example, chosen.data, chosen.question
        updates = fill(question, "boxes") if panel == "boxes" else on_gpu(fill)(question, panel)
        return [str(example.photo), example.sentence, data, Asked(question), True, *updates]

    def show_photo(file: Path, sentence: str, panel: str) -> list:
        file = _served(file, photo.GRADIO_CACHE)
        if not sentence:
            return [str(file), "", None, Asked(None), True, *fill(None, panel)]
        data, question = answer(service, Question(file, sentence))
        return [str(file), sentence, data, Asked(question), True, *fill(question, panel)]

    def remember_sliders(last: Asked, event: gr.EventData) -> Asked:
        shown = dict(threshold=float(event.threshold), top_k=int(event.top_k))
        return replace(last, question=last.question and replace(last.question, **shown))

    def choose_phrase(last: Asked, has_asked: bool, event: gr.EventData) -> dict[str, Any]:
        return see_phrase(service, remembered(last, has_asked), int(event.index))

    def files(last: Asked, has_asked: bool) -> list:
        return take_away.files(remembered(last, has_asked))

    def opener(panel: str) -> Callable:
        return lambda last, has_asked: [panel, *fill(remembered(last, has_asked), panel)]

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    asked, result = [last, has_asked], [view, last, has_asked, *panels]
    gr.on(
        [button.click, sentence.submit],
        on_gpu(localize_page),
        [photo, sentence, open_panel],
        result,
        show_progress_on=[view, seeing],
        api_visibility="private",
        **MODEL_EVENTS,
    )
    view.edit(on_gpu(correct), [*asked, open_panel], result, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    # In turn with the others: a panel opened next knows of it.
    view.release(remember_sliders, last, last, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    strip.select(show_example, open_panel, [photo, sentence, *result], queue=False, trigger_mode="multiple", **quiet)
    seeing.select(on_gpu(choose_phrase), asked, seeing, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    take_away.snippets.select(on_gpu(files), asked, take_away.outputs, **quiet, **MODEL_EVENTS)
    boxes_tab.select(lambda: "boxes", None, open_panel, queue=False, **quiet)  # every page begins with it
    for tab, panel in ((seeing_tab, "seeing"), (taking_tab, "taking")):
        tab.select(on_gpu(opener(panel)), asked, [open_panel, *panels], **quiet, **MODEL_EVENTS)
    add_endpoint(service, photo, sentence)
    return LocalizeTab(open_panel, [photo, sentence, *result], show_photo)


def _served(file: Path, cache: str) -> Path:
    """A copy of a photo from which the page may show it, in a format that browsers know. Raises PhotoError."""
    if file.suffix.lower() not in BROWSERS_SHOW:
        return Path(save_pil_to_cache(Image.fromarray(open_photo(file)), cache, format="jpeg"))
    try:
        return Path(save_file_to_cache(file, cache))
    except OSError as error:
        raise PhotoError(f"{file.name} could not be read ({error.strerror}); index the photos again.") from None
