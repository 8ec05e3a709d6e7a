"""The linked view: photo with boxes, sentence with phrases, table of scores; pointing at one shows its counterparts.

Linking, greying, further boxes and scores all happen in the browser, by mouse, keyboard and touch; only a corrected
phrase goes to the server.
"""

from __future__ import annotations

from sspe.web.components.drawn import DrawnComponent


class LinkedView(DrawnComponent):
    """Shows what :func:`sspe.web.panels.boxes.view_data` or :func:`message_data` built; None shows an invitation.

    Events:
        edit: the visitor corrected the phrases; ``spans`` are their [start, end], None for those the chunker finds.
        release: a slider came to rest; ``threshold`` in 0..1, ``top_k`` boxes per phrase.
    """

    frame = '<div class="lv"></div>'
