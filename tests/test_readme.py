"""README, model card and docs: links that lead somewhere, a length that is read, every dependency with its reason."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "MODEL_CARD.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [
        target
        for target in targets
        if not target.startswith(("http", "#")) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not missing


def test_the_readme_has_at_most_about_1900_words():
    text = README.split("---\n", 2)[2]
    assert len([word for word in text.split() if re.search("[A-Za-z]{2}", word)]) <= 1950  # figures are no words


def test_every_dependency_earns_its_place_in_the_readme():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    section = README.partition("## Dependencies")[2].partition("\n## ")[0]
    named = set(re.findall(r"\*\*(.+?)\*\*", section))
    for requirement in map(Requirement, lines):
        name = re.sub("lite[012]", "lite0/1/2", requirement.name) + "".join(f"[{e}]" for e in requirement.extras)
        assert name in named or requirement.name == "sspe", f"{requirement} has no reason in the README"


def test_the_commands_of_the_readme_and_the_docs_are_files_of_the_repository():
    for page in PAGES:
        for command in re.findall(r"^ {4}python (\S+\.py)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert (ROOT / command).is_file(), f"{page.name}: {command}"
