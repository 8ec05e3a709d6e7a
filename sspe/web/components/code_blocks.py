"""Blocks of code to copy."""

from __future__ import annotations

from sspe.web.components.drawn import DrawnComponent


class CodeBlocks(DrawnComponent):
    """Shows a list of {"title": ..., "code": ...}, each with a button that copies the code; without code, a remark.

    Where a block has an "address", the browser writes the page's own address in place of its first occurrence in the
    code.

    Events:
        select: the component is looked at and still empty.
    """

    frame = '<div class="cb"></div>'
