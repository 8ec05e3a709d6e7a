"""What our components are made of: the base of those that a script of ours draws in the browser."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gradio as gr

from sspe.web.stubs import without_stubs


class OwnComponent(type(gr.HTML)):
    """Makes the class of a component without the stub that Gradio would write beside its module."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        with without_stubs():
            return super().__new__(cls, name, bases, attributes)


class DrawnComponent(gr.HTML, metaclass=OwnComponent):
    """A component whose value is plain, JSON-like data, drawn in the browser by its own script.

    Script and style sheet lie beside the module of the class and have its name; ``before`` names scripts that come
    before it.
    Gradio wraps the style sheet in the id of the component. User text reaches the page through ``textContent`` only:
    Gradio runs a rendered ``html_template`` as a JavaScript template literal, so a sentence put there, even one escaped
    as HTML, could run code through ``${...}``.

    Attributes:
        frame: the HTML that the script fills.
        before: scripts that are run before the component's own, in the same scope.
    """

    frame = ""
    before: tuple[str, ...] = ("common.js",)

    def __init__(self, value: Any = None, **settings: Any) -> None:
        module = Path(inspect.getfile(type(self)))
        scripts = [*(module.with_name(name) for name in self.before), module.with_suffix(".js")]
        script = "".join(path.read_text(encoding="utf-8") for path in scripts)
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
