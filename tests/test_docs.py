"""docs/paper_to_code.md names only what exists."""

import ast
import re
from pathlib import Path

import pytest

from sspe.training.recipes import RECIPES

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "paper_to_code.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\]\((\.\./[^)]+|\w[^)/]*\.md)\)(?:: ((?:`[^`]+`(?:, )?)+))?", DOCUMENT)
CODE = sorted(set(re.findall(r"`([^`]+)`", DOCUMENT)))


def defined(path: Path) -> set[str]:
    """Every class, function, argument-free constant and field that a file defines, methods also as Class.method."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


EVERYTHING = set().union(*(defined(path) for path in (ROOT / "sspe").rglob("*.py")))


def is_setting(key: str) -> bool:
    """Whether some recipe has the setting: "loss.margin", or "margin" without its group."""

    def keys(values: dict, before: str = "") -> set[str]:
        inner = [keys(value, f"{before}{name}.") for name, value in values.items() if isinstance(value, dict)]
        return {f"{before}{name}" for name in values}.union(*inner)

    return any(key in keys(recipe.as_dict()) for recipes in RECIPES.values() for recipe in recipes.values())


@pytest.mark.parametrize(("path", "names"), LINKS, ids=[path for path, _ in LINKS])
def test_a_linked_file_exists_and_defines_what_is_said_to_be_in_it(path, names):
    file = (ROOT / "docs" / path).resolve()
    assert file.is_file(), path
    for name in re.findall(r"`(\w+)[`[]", names):
        assert name in defined(file), f"{path} defines no {name}"


@pytest.mark.parametrize("code", CODE)
def test_a_name_exists(code):
    if code.endswith(".md"):
        assert (ROOT / "docs" / code).is_file()
    elif "/" in code and " " not in code:
        assert (ROOT / code).is_file()
    elif code.startswith("sspe "):  # a command
        assert (ROOT / "sspe" / f"{code.split()[1]}.py").is_file()
    elif code.startswith("--") and not code.startswith("--set "):  # an option of one
        assert any(f'"{code.split()[0]}"' in path.read_text(encoding="utf-8") for path in ROOT.glob("*/*.py"))
    elif "=" in code or "." in code:
        key = code.removeprefix("--set ").partition("=")[0]
        assert is_setting(key) or key in EVERYTHING
    else:
        name = re.sub(r"\[.*\]$", "", code)
        assert name in EVERYTHING or any(name in recipes for recipes in RECIPES.values()) or is_setting(name)
