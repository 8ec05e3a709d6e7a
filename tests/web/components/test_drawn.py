"""Classes of components: Gradio writes a stub beside their modules, and here it does not."""

import importlib
import subprocess
import sys
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
    monkeypatch.delitem(sys.modules, "own_part", raising=False)
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


def test_gradio_is_imported_without_looking_at_stubs():
    program = """
import ast, inspect, sys
parse, file_of = ast.parse, inspect.getfile
def watched(*arguments, **settings):
    assert sys._getframe(1).f_globals["__name__"] != "gradio.component_meta"
    return parse(*arguments, **settings)
ast.parse = watched
import sspe.web
assert inspect.getfile is file_of
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
