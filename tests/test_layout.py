"""The layout keeps its promise: imports run one way, from the commands down to settings, files and errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "sspe"
# From the top down; a module imports from rooms below its own, and within its room without a circle.
ROOMS = (
    ("sspe.__main__",),
    ("sspe.train", "sspe.evaluate", "sspe.localize", "sspe.index", "sspe.search"),
    ("sspe.cli",),
    ("sspe.training", "sspe.web"),
    ("sspe.evaluation",),
    ("sspe.retriever", "sspe.collection"),
    ("sspe.localizer",),
    ("sspe.checkpoint",),
    ("sspe.indexing", "sspe.searching"),  # the collection's inside: how it is kept, and how it is searched
    ("sspe.models",),
    ("sspe.data", "sspe.text", "sspe.phrases", "sspe.results"),
    ("sspe.drawing", "sspe.lettering", "sspe.coco", "sspe.vision"),
    ("sspe.settings", "sspe.files", "sspe.extras", "sspe.errors"),
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("sspe", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str, source: str) -> set[str]:
    """Modules of the package that a module imports anywhere in its code, for its types as well."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                full if (full := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return {module for module in found if module in MODULES} - {name}


def floor(module: str) -> int:
    """The place of a module's room, counted from the top."""
    for place, rooms in enumerate(ROOMS):
        if any(module == room or module.startswith(f"{room}.") for room in rooms):
            return place
    raise AssertionError(f"{module} belongs to no room; add it to ROOMS")


IMPORTS = {name: imported(name, path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"sspe"}))
def test_no_module_imports_upwards(name):
    upward = {other for other in IMPORTS[name] - {"sspe"} if floor(other) < floor(name)}
    assert not upward, f"{name} imports {sorted(upward)}, which stand above it"


def test_no_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for other in sorted(IMPORTS[name] - {"sspe"}):
                visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        if name != "sspe":
            visit(name, ())


def test_the_check_sees_imports_of_every_form():
    source = "import sspe.errors\nfrom sspe.vision import boxes\ndef f():\n    from sspe.models.losses import distances"
    assert imported("sspe.files", source) == {"sspe.errors", "sspe.vision.boxes", "sspe.models.losses"}
