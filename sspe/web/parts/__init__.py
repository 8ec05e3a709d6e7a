"""Scripts and style sheets of the page's own components, and `part`, which reads one."""

from pathlib import Path


def part(name: str) -> str:
    """The text of a file of this folder; a script comes with what all of them share."""
    folder = Path(__file__).parent
    text = (folder / name).read_text(encoding="utf-8")
    return (folder / "common.js").read_text(encoding="utf-8") + text if name.endswith(".js") else text
