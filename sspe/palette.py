"""The one palette of the project: a colour a phrase, on the page and in drawn pictures alike.

The seven hues of Okabe and Ito ("Color Universal Design", 2008) stay apart for readers with any common colour vision
deficiency. Colour is never the only sign: every phrase also carries its number, and a doubtful one a question mark.
"""

PALETTE = ("#E69F00", "#56B4E9", "#D55E00", "#009E73", "#F0E442", "#0072B2", "#CC79A7")
DOUBTFUL = "#707070"  # of a phrase probably not in the photo; apart from the hues for colour blind eyes, too
DARK_INK = "#111111"
LIGHT_INK = "#FFFFFF"


def phrase_color(index: int) -> str:
    """Colour of the phrase at ``index`` (from 0) as "#RRGGBB"; the palette starts over after its last colour."""
    return PALETTE[index % len(PALETTE)]


def ink_on(color: str) -> str:
    """Whichever of the two inks is easier to read on ``color`` ("#RRGGBB")."""
    return max((DARK_INK, LIGHT_INK), key=lambda ink: contrast(ink, color))


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two "#RRGGBB" colours as WCAG 2 defines it, 1 (equal) to 21 (black on white)."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def rgb(color: str) -> tuple[int, int, int]:
    """ "#RRGGBB" as red, green, blue in 0..255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
