"""The figures of the panel "What it sees": proposals, heat map, edge map and best crops of one phrase."""

from __future__ import annotations

from sspe.web.components.drawn import DrawnComponent


class SeeingView(DrawnComponent):
    """Shows what :func:`sspe.web.panels.what_it_sees.see_phrase` returned.

    Events:
        select: a phrase was chosen; ``index`` is its place among the phrases, 0 for the first.
    """

    frame = '<div class="sv"></div>'
