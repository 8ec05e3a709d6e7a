"""docs/python.md: its snippet runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.mark.usefixtures("few_words")
def test_the_snippet_trains_and_localizes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith(("from", "import"))]) <= 10
    exec(code, {})
    printed = capsys.readouterr().out
    assert re.match(r"R@1 [01]\.\d\d; \('A red ball', .*'the grass'", printed, re.DOTALL)
    assert (tmp_path / "runs" / "first" / "metrics.json").exists()


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
