"""The package as it is installed: names that load late, commands that start fast, requirements that agree."""

import ast
import re
import subprocess
import sys
from importlib.metadata import distributions, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sspe

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "torchvision", "timm", "cv2", "gradio", "nltk", "spacy", "transformers", "matplotlib", "PIL")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh Python holds after running the code, which may exit."""
    watch = f"""
import sys
try:
    {code}
except SystemExit:
    pass
print("loaded", *(name for name in {HEAVY} if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", watch], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return set(found.stdout.splitlines()[-1].split()[1:])


def test_the_watch_sees_what_is_loaded():
    assert loaded_by("import PIL") == {"PIL"}


COMMANDS = ("", "localize", "train", "evaluate", "evaluate localization", "evaluate proposals", "evaluate phrases")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command):
    arguments = ["sspe", *command.split(), "--help"]
    assert loaded_by(f"sys.argv = {arguments}; from sspe.cli import main; main()") == set()


@pytest.mark.parametrize("module", ["sspe", "sspe.errors", "sspe.results", "sspe.files", "sspe.training.recipes"])
def test_light_modules_load_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


def test_sentences_need_no_network():
    assert loaded_by("from sspe import extract_phrases") <= {"nltk"}


def test_every_exported_name_is_there():
    assert set(sspe.__all__) == set(sspe._HOMES)
    for name in sspe.__all__:
        exported = getattr(sspe, name)
        assert exported.__name__ == name and exported.__module__ == sspe._HOMES[name]
        assert exported.__doc__
    for error in (sspe.PhotoError, sspe.DataError, sspe.CheckpointError):
        assert issubclass(error, sspe.SspeError)
    with pytest.raises(AttributeError, match="module 'sspe' has no attribute 'Detector'"):
        _ = sspe.Detector


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def required() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def extras(project: dict) -> list[Requirement]:
    return [Requirement(line) for lines in project["project"]["optional-dependencies"].values() for line in lines]


def plain(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_package_requires_what_requirements_txt_lists(project):
    assert "dependencies" in project["project"]["dynamic"] and "dependencies" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    assert project["project"]["version"] == sspe.__version__


def test_requirements_are_named_once_and_have_bounds(required, project):
    names = [plain(requirement.name) for requirement in required]
    assert len(set(names)) == len(names)
    assert all(
        requirement.specifier for requirement in [*required, *extras(project)] if plain(requirement.name) != "sspe"
    )
    # Weights and tools of training are no part of what the page installs; "gradio[mcp]" only adds to it.
    more = [requirement for requirement in extras(project) if plain(requirement.name) in names]
    bounds = {plain(requirement.name): requirement.specifier for requirement in required}
    assert all(requirement.extras and requirement.specifier == bounds[requirement.name] for requirement in more)


def test_what_is_installed_is_what_is_required(required):
    for requirement in required:
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


def test_there_is_one_opencv(required, project):
    """Two OpenCV wheels overwrite each other's files, and the one with ximgproc may lose."""
    named = {plain(r.name) for r in [*required, *extras(project)] if plain(r.name).startswith("opencv")}
    assert named == {"opencv-contrib-python-headless"}
    installed = {plain(d.metadata["Name"]) for d in distributions() if plain(d.metadata["Name"]).startswith("opencv")}
    assert installed == {"opencv-contrib-python-headless"}


def test_every_import_is_required(required, project):
    """What the library imports comes from requirements.txt or an extra."""
    imported = set()
    for file in (ROOT / "sspe").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    imported -= {*sys.stdlib_module_names, "sspe", "spaces"}  # Hugging Face Spaces bring their own package
    assert {"torch", "cv2"} <= imported
    homes = packages_distributions()
    known = {plain(requirement.name) for requirement in [*required, *extras(project)]}
    for module in sorted(imported):
        names = {plain(name) for name in homes.get(module, [module])}
        assert names & known, f"{module} is imported, and neither requirements.txt nor an extra names it"


def test_the_console_command(project):
    assert project["project"]["scripts"] == {"sspe": "sspe.cli:main"}
