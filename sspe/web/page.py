"""The page: `build_app(localizer)` puts it together, `launch_settings()` says how it is served."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache

from sspe.errors import SspeError
from sspe.web.examples import ASSETS, examples
from sspe.web.gallery import ExampleStrip
from sspe.web.service import MAX_CHARACTERS, LocalizeService, no_phrase_message
from sspe.web.view import LinkedView
from sspe.web.view_data import message_data, view_data

if TYPE_CHECKING:
    from sspe.localizer import Localizer

TITLE = "Phrase localization"
CLAIM = "Give it a photo and a sentence: every noun phrase of the sentence gets its box in the photo."
MODEL_EVENTS = {"concurrency_id": "localizer", "concurrency_limit": 1}  # one request at a time holds the network
MAX_UPLOAD = "25mb"

CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
#title h1 { margin: 4px 0 2px; font-size: 26px; }
#title p { margin: 0; }
#localize { min-height: 44px; }
@supports (field-sizing: content) { #sentence textarea { field-sizing: content; height: auto !important; } }
#view .progress-level { width: fit-content; margin: 14px auto; padding: 12px 20px; border-radius: 8px;
  background: var(--background-fill-primary); }
#stage { display: grid; gap: 18px 28px; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
  grid-template-areas: "inputs result" "examples result"; grid-template-rows: auto 1fr; }
#inputs { grid-area: inputs; } #result { grid-area: result; } #examples { grid-area: examples; }
#stage .html-container { padding: 0; }
footer .divider { display: none; }
footer button { color: var(--body-text-color) !important; }
@media (max-width: 820px) {
  #stage { grid-template-columns: minmax(0, 1fr); grid-template-areas: "inputs" "result" "examples";
    grid-template-rows: auto; }
}
#notice { margin: 10vh auto; max-width: 44em; padding: 16px 20px; border-radius: 8px; line-height: 1.6;
  border: 1px solid var(--error-border-color); background: var(--error-background-fill); overflow-wrap: anywhere; }
"""


class PhotoInput(gr.Image):
    """A photo as the path of its file, unopened: the library opens it, and says in one sentence why it cannot."""

    is_template = True  # the browser shows it with Gradio's own image code

    def preprocess(self, payload: ImageData | None) -> Path | None:
        """The uploaded file as it came; a data URI sent through the API becomes a file first."""
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                content = base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error:
                raise gr.Error(
                    "The data URI of the photo is not valid base64; send it again.", print_exception=False
                ) from None
            return Path(save_bytes_to_cache(content, "photo", self.GRADIO_CACHE))
        return Path(payload.path) if payload.path else None


def build_app(localizer: Localizer | None = None, error: str = "") -> gr.Blocks:
    """The page around ``localizer``; without one, a page that shows ``error``, a sentence saying why there is none.

    Every example is localized here, once, so that the page opens on a finished result and no result is ever older
    than the code or the checkpoint. Serve it with ``build_app(...).launch(**launch_settings())``.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as app:
        gr.Markdown(f"# {TITLE}\n{CLAIM}", elem_id="title")
        if localizer is None:
            gr.HTML(value={"error": error}, html_template="<p id='notice' role='alert'></p>", js_on_load=_NOTICE_JS)
        else:
            _build_localize(LocalizeService(localizer))
    # A visitor past this many waiting is told that the page is busy, instead of waiting unseen.
    return app.queue(max_size=16, default_concurrency_limit=4)


def launch_settings() -> dict[str, Any]:
    """Keyword arguments for ``Blocks.launch``: looks, limits, no sharing, nothing kept in a visitor's browser."""
    return {
        "theme": _theme(),
        "css": CSS,
        "footer_links": ["api"],
        "max_file_size": MAX_UPLOAD,
        "allowed_paths": [str(ASSETS)],  # so that the examples open whatever folder the page was started from
        "run_history": False,
        "share": False,
        "ssr_mode": False,
    }


def _theme() -> gr.themes.Base:
    """Gradio's own in one quiet hue, its font from this server and bold, as its semibold file has few letters."""
    sans = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))
    return gr.themes.Default(
        primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", font=(sans, "system-ui", "sans-serif")
    ).set(button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700")


# textContent, because a rendered template is run as JavaScript; see sspe/web/view.py.
_NOTICE_JS = "element.querySelector('#notice').textContent = props.value.error;"


def _build_localize(service: LocalizeService) -> None:
    """Inputs, linked view and examples, and the listeners between them."""
    ready = [(example, *_page_result(service, example.photo, example.sentence)) for example in examples()]
    first, first_view, first_json = ready[0] if ready else (None, None, None)
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
        with gr.Column(elem_id="result", min_width=0):
            view = LinkedView(first_view, elem_id="view")
            with gr.Accordion("JSON", open=False):
                found = gr.JSON(first_json, show_label=False, elem_id="json", max_height=420)
        with gr.Column(elem_id="examples", min_width=0, visible=bool(ready)):
            strip = ExampleStrip([example for example, _, _ in ready])

    def localize_page(
        photo: Path | None,
        sentence: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio knows that it wants one)
    ) -> tuple:
        return _page_result(service, photo, sentence, lambda share, stage: progress(share, desc=stage))

    def localize(photo: Path | None, sentence: str | None) -> dict[str, Any]:
        """Localize every noun phrase of a sentence in a photo.

        Args:
            photo: The picture, JPEG, PNG, WebP, GIF, BMP or TIFF, of at most 64 megapixels.
            sentence: English, at most 1,000 characters.

        Returns:
            width and height of the photo in pixels, the sentence, and its phrases: text, start and end (characters of
            the sentence), head (the head noun), box (x1, y1, x2, y2 in pixels of the photo), score (cosine, -1 to 1),
            present (probability, 0 to 1, that the photo shows the phrase), confidence (probability that the box is
            right if it does; both null without calibration) and candidates (boxes, best first). No noun phrase in the
            sentence: an empty list of phrases.
        """
        try:
            return service(photo, sentence)[0].to_dict()
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def show_example(chosen: gr.EventData) -> tuple:
        example, shown, plain = ready[chosen.index]
        return str(example.photo), example.sentence, shown, plain

    gr.on(
        [button.click, sentence.submit],
        _on_gpu(localize_page),
        [photo, sentence],
        [view, found],
        show_progress_on=view,
        api_visibility="private",
        **MODEL_EVENTS,
    )
    strip.select(
        show_example,
        None,
        [photo, sentence, view, found],
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    endpoint = gr.Button(visible=False)  # a listener on real components: Gradio checks the files it is sent
    endpoint.click(_on_gpu(localize), [photo, sentence], found, api_name="localize", **MODEL_EVENTS)


def _page_result(
    service: LocalizeService,
    photo: Path | None,
    sentence: str | None,
    report: Callable[[float, str], object] | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What the view and the JSON panel show; bad input becomes its sentence in the view."""
    try:
        localization, seen = service(photo, sentence, report)
    except SspeError as error:
        return message_data(str(error)), None
    message = "" if localization.phrases else no_phrase_message(localization.sentence)
    return view_data(localization, seen.preview, message), localization.to_dict()


def _on_gpu(function: Callable) -> Callable:
    """The function as a Hugging Face Space with shared GPUs wants it; elsewhere the function itself."""
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(function)
