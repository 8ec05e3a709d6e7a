"""The tab that searches a collection of photos, or photos of the visitor's own, by phrases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from sspe.errors import SspeError
from sspe.web.components.search_view import SearchView
from sspe.web.endpoint import add_search_endpoint
from sspe.web.events import MODEL_EVENTS, on_gpu
from sspe.web.panels.export import Packer, export
from sspe.web.search_service import SearchService
from sspe.web.shelves import MAX_DROPPED, SHARED, Shelves
from sspe.web.tabs.localize import LocalizeTab

OWN_PHOTOS = f"Up to {MAX_DROPPED}. Only this page of yours searches them, and they are deleted after an hour."


def build_search(shelves: Shelves, localize: LocalizeTab, tabs: gr.Tabs) -> None:
    """Components and the listeners between them.

    A visitor's own photos are known by a key, which only the visitor's page holds.
    """
    service = SearchService(shelves)
    own = gr.State(SHARED)

    def save(asked: dict[str, Any]) -> dict[str, str]:
        try:
            saved = export(shelves, packer, asked)
        except (SspeError, AttributeError, KeyError, TypeError, ValueError) as error:
            problem = str(error) if isinstance(error, SspeError) else "The export was not understood; search again."
            return {"problem": problem}
        if "file" in saved:
            view.temp_files.add(saved["file"])  # Gradio deletes it after an hour
        return saved

    with gr.Row(elem_id="searching"):
        with gr.Column(elem_id="found", min_width=0):
            view = SearchView(service.picture, save, elem_id="search")
            packer = Packer(Path(view.GRADIO_CACHE))
        with gr.Column(elem_id="yours", min_width=0):
            files = gr.File(
                label="Search your own photos", file_count="multiple", type="filepath", height=170, elem_id="drop"
            )
            gr.HTML(f"<p>{OWN_PHOTOS}</p>", elem_id="private", apply_default_css=False)

    def ask(event: gr.EventData) -> dict[str, Any]:
        asked = event._data
        return service.answer(asked) | {"number": asked.get("number") if isinstance(asked, dict) else None}

    def drop(
        dropped: list[str] | None,
        key: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how Gradio knows that it wants one)
    ) -> list:
        def report(done: int, total: int) -> None:
            progress((done, total), desc="Embedding your photos", unit="photos")

        try:
            key = shelves.drop(key, [Path(file) for file in dropped or ()], report)
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return [service.answer({"key": key}) | {"dropped": True}, key, None]

    def open_photo(panel: str, event: gr.EventData) -> list:
        try:
            _, file = shelves.shelf(str(event.key or SHARED)).photo(event.photo)
            shown = localize.show(file, str(event.sentence or ""), panel)
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return [gr.Tabs(selected="localize"), *shown]

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    view.submit(on_gpu(ask), None, view, trigger_mode="multiple", **quiet, **MODEL_EVENTS)
    view.select(on_gpu(open_photo), localize.open_panel, [tabs, *localize.outputs], **quiet, **MODEL_EVENTS)
    files.upload(
        on_gpu(drop),
        [files, own],
        [view, own, files],
        show_progress_on=files,
        api_visibility="private",
        concurrency_id="dropped photos",  # beside the others: it takes a minute or two
        concurrency_limit=1,
    )
    add_search_endpoint(service)
