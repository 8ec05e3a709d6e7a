"""What a Hugging Face Space and a container read: the README's front matter, requirements.txt, Dockerfile."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}  # those that Spaces know


@pytest.fixture(scope="module")
def front_matter() -> dict[str, str]:
    """The lines between the two rules at the top of the README; lists as they stand."""
    _, matter, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return dict(line.split(": ", 1) for line in matter.splitlines() if ": " in line)


def requirement(name: str) -> Requirement:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (found,) = (Requirement(line) for line in lines if re.match(rf"{name}\b", line))
    return found


def test_the_space_starts_this_app(front_matter):
    assert front_matter["sdk"] == "gradio"
    assert (ROOT / front_matter["app_file"]).is_file()
    assert {"title", "emoji", "license", "pinned", "short_description", "python_version"} <= front_matter.keys()
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= COLORS
    assert len(front_matter["short_description"]) <= 60  # as many as Spaces take


def test_the_space_installs_the_gradio_that_is_required(front_matter):
    assert requirement("gradio").specifier.contains(Version(front_matter["sdk_version"]))


def test_the_python_of_space_and_container_is_one_that_the_package_takes(front_matter):
    python = front_matter["python_version"].strip('"')
    declared = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert Version(python) >= Version(declared[1])
    assert f"FROM python:{python}-slim" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_container_is_built_from_the_same_requirements_and_runs_unprivileged():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("RUN pip install") and "-r requirements.txt" in line for line in lines)
    assert "USER visitor" in lines and lines.index("USER visitor") < lines.index('CMD ["python", "app.py"]')
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_space_and_container_have_letters_beyond_english_ones():
    """matplotlib, which brings DejaVu elsewhere, is not among what they install; a Space reads packages.txt itself."""
    assert (ROOT / "packages.txt").read_text(encoding="utf-8").split() == ["fonts-dejavu-core"]
    container = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert (
        container.index("COPY packages.txt .") < container.index("apt-get install") < container.index("< packages.txt")
    )


def test_the_container_leaves_out_what_the_page_does_not_need():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", "runs", "tests"} <= set(ignored)
    assert not {"checkpoints", "assets", "sspe", "app.py", "requirements.txt"} & set(ignored)
