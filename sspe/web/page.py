"""The page: `build_app(localizer)` puts it together, `launch_settings()` says how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.middleware import Middleware

from sspe.web.blocks import PageBlocks
from sspe.web.example_answers import ExampleAnswers
from sspe.web.examples import ASSETS
from sspe.web.limits import Limits
from sspe.web.service import LocalizeService
from sspe.web.shelves import Shelves
from sspe.web.tabs.about import build_about
from sspe.web.tabs.localize import build_localize
from sspe.web.tabs.search import build_search

if TYPE_CHECKING:
    from sspe.localizer import Localizer

TITLE = "Phrase localization"
CLAIM = "Give it a photo and a sentence: every noun phrase of the sentence gets its box in the photo."
MAX_UPLOAD = "25mb"
MAX_WAITING = 16  # visitors; one more is told that the queue is full, instead of waiting unseen
MAX_SESSIONS = 400  # visitors and calls of which Gradio remembers 50 KB each; by default it is 10,000, half a gigabyte


def build_app(
    localizer: Localizer | None = None,
    error: str = "",
    shelves: Shelves | None = None,
    answers: ExampleAnswers | None = None,
) -> gr.Blocks:
    """The page around ``localizer``; without one, a page that shows ``error``, a sentence saying why there is none.

    The first example is localized here, so that the page opens on a finished result and no result is ever older than
    the code or the checkpoint; the others when they are chosen, or ahead of that. Serve it with
    ``build_app(...).launch(**launch_settings())``.

    Args:
        localizer: answers both tabs.
        error: shown where there is no localizer.
        answers: on the examples, whose ``begin`` the caller may call when the page is up; None: made when chosen.
        shelves: the photos of the tab "Search"; None: the examples, embedded when the tab is first looked at.
    """
    with PageBlocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as app:
        # Not Markdown, whose code would have to be fetched; that of gr.HTML draws the result, too, and so comes early.
        gr.HTML(f"<h1>{TITLE}</h1><p>{CLAIM}</p>", elem_id="title", apply_default_css=False)
        if localizer is None:
            gr.HTML(value={"error": error}, html_template="<p id='notice' role='alert'></p>", js_on_load=_NOTICE_JS)
        else:
            with gr.Tabs(elem_id="tabs") as tabs:
                with gr.Tab("Localize", id="localize"):
                    localize = build_localize(answers or ExampleAnswers(LocalizeService(localizer)))
                with gr.Tab("Search", id="search"):
                    build_search(shelves or Shelves(localizer), localize, tabs)
                with gr.Tab("About"):
                    build_about()
    return app.queue(max_size=MAX_WAITING, default_concurrency_limit=4)


def launch_settings(mcp: bool = False) -> dict[str, Any]:
    """Keyword arguments for ``Blocks.launch``: looks, limits, no sharing, nothing kept in a visitor's browser.

    With ``mcp`` the endpoint is a tool of the Model Context Protocol, too.
    """
    return {
        "theme": _theme(),
        "css": Path(__file__).with_name("page.css").read_text(encoding="utf-8"),
        "footer_links": ["api"],
        "state_session_capacity": MAX_SESSIONS,
        "max_file_size": MAX_UPLOAD,
        "allowed_paths": [str(ASSETS)],  # so that the examples open whatever folder the page was started from
        "run_history": False,
        "share": False,
        "ssr_mode": False,
        "mcp_server": mcp,
        "app_kwargs": {"middleware": [Middleware(Limits)]},
    }


def _theme() -> gr.themes.Base:
    """Gradio's own in one quiet hue, in the fonts of the visitor's system.

    A font that is fetched comes late on a slow machine, and then moves everything below the first words.
    """
    return gr.themes.Default(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700")


# textContent, because a rendered template is run as JavaScript; see sspe/web/components/drawn.py.
_NOTICE_JS = "element.querySelector('#notice').textContent = props.value.error;"
