"""The wall of a search: query, photos cropped around what was found, selection and export.

Pictures are asked for tile by tile as they come into sight, so that an answer to a letter typed is small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sspe.web.components.drawn import DrawnComponent


class SearchView(DrawnComponent):
    """Shows what :meth:`sspe.web.search_service.SearchService.answer` built; None asks for it.

    Events:
        submit: the visitor looks for something; the event's data are what ``answer`` takes.
        select: a tile was chosen; ``key``, ``photo``, its place in the collection, and ``sentence``.

    Args:
        picture: called for the picture of a tile, see ``SearchService.picture``.
        save: called for an export, with what :func:`sspe.web.panels.export.export` takes; returns its answer, or
            {"problem": a sentence}.
    """

    frame = '<div class="se"></div>'
    before = ("common.js", "search_tiles.js")

    def __init__(
        self,
        picture: Callable[[dict[str, Any]], str] | None = None,
        save: Callable[[dict[str, Any]], dict[str, str]] | None = None,
        **settings: Any,
    ) -> None:
        # Gradio calls them by their names, and marks the functions it is given.
        def draw(asked: dict[str, Any]) -> str:
            return picture(asked)

        def take_away(asked: dict[str, Any]) -> dict[str, str]:
            return save(asked)

        super().__init__(None, server_functions=[draw, take_away], **settings)
