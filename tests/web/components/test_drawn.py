"""Classes of components: Gradio writes a file of types beside their modules, and here it does not."""

import importlib
from collections.abc import Iterator

import gradio as gr
import pytest

import sspe.web.page  # noqa: F401 (every component of ours)
from sspe.web.components.drawn import OwnComponent


@pytest.mark.parametrize(
    ("base", "written"), [("sspe.web.components.drawn.DrawnComponent", False), ("gradio.HTML", True)]
)
def test_making_a_class_writes_nothing_beside_its_module(tmp_path, monkeypatch, base, written):
    module, _, name = base.rpartition(".")
    (tmp_path / "own_part.py").write_text(f"from {module} import {name}\n\n\nclass Part({name}):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(importlib.sys.modules, "own_part", raising=False)
    importlib.import_module("own_part")
    assert (tmp_path / "own_part.pyi").exists() == written


def test_every_component_of_the_package_is_made_so():
    def below(cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    ours = {cls for cls in below(gr.components.Component) if cls.__module__.startswith("sspe.")}
    assert {cls.__name__ for cls in ours} >= {"DrawnComponent", "LinkedView", "PhotoInput", "SearchView"}
    assert all(isinstance(cls, OwnComponent) for cls in ours)
