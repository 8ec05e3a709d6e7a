"""Base of the components that a script of ours draws in the browser."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gradio as gr


class DrawnComponent(gr.HTML):
    """A component whose value is plain, JSON-like data, drawn in the browser by its own script.

    Script and style sheet lie beside the module of the class and have its name; common.js comes before every script.
    Gradio wraps the style sheet in the id of the component. User text reaches the page through ``textContent`` only:
    Gradio runs a rendered ``html_template`` as a JavaScript template literal, so a sentence put there, even one escaped
    as HTML, could run code through ``${...}``.

    Attributes:
        frame: the HTML that the script fills.
    """

    frame = ""

    def __init__(self, value: Any = None, **settings: Any) -> None:
        module = Path(inspect.getfile(type(self)))
        script = module.with_name("common.js").read_text(encoding="utf-8")
        script += module.with_suffix(".js").read_text(encoding="utf-8")
        drawing = {
            "html_template": self.frame,
            "css_template": module.with_suffix(".css").read_text(encoding="utf-8"),
            "js_on_load": script,
            "apply_default_css": False,
        }
        super().__init__(value=value, **drawing | settings)

    def postprocess(self, value: Any) -> Any:
        """The data as it is."""
        return value
