"""The tab "About": its numbers are the README's."""

import re
from pathlib import Path

from sspe.web.parts import part

ROOT = Path(__file__).resolve().parents[2]


def test_every_number_stands_in_the_readme():
    shown = re.sub(r"<[^>]+>", " ", part("about.html").replace("&nbsp;", " "))
    numbers = set(re.findall(r"\d[\d,.]*\d|\d", shown)) - {"30"}  # 30: of the data set's name, and the threshold of 0.3
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"67.3", "291", "12,615"} <= numbers
    for number in numbers:
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d)", readme), f"{number} is not in the README"


def test_the_figure_needs_nothing_from_elsewhere():
    figure = part("how_it_works.svg")
    assert "http" not in figure and "<image" not in figure
    assert "<title" in figure and "<desc" in figure
