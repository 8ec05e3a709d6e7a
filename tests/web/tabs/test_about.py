"""The tab "About": its numbers are the README's."""

import re
from pathlib import Path

from sspe.web.tabs.about import about_html

ROOT = Path(__file__).resolve().parents[3]


def test_every_number_stands_in_the_readme():
    text = about_html().partition("<svg")[0] + about_html().partition("</svg>")[2]
    text = re.sub(r"<[^>]+>", " ", text.replace("&nbsp;", " "))
    numbers = set(re.findall(r"\d[\d,.]*\d|\d", text)) - {"30"}  # 30: of the data set's name, and the threshold of 0.3
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"71.7", "6,409"} <= numbers
    for number in numbers:
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d)", readme), f"{number} is not in the README"


def test_the_figure_needs_nothing_from_elsewhere():
    figure = re.search(r"<svg.*</svg>", about_html(), re.DOTALL)[0]
    assert "http" not in figure and "<image" not in figure
    assert "<title" in figure and "<desc" in figure
