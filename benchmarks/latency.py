"""How long an answer takes: the first on a photo, and a further sentence on the same photo.

    python benchmarks/latency.py

One warm process; a JPEG of 640 x 480 made from an example photo, opened from disk each time. Prints medians and 90th
percentiles in milliseconds, stage by stage. Run it on a machine that does nothing else.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from sspe import Localizer
from sspe.vision.photo import open_photo

PHOTO = Path(__file__).resolve().parent.parent / "assets" / "photographer.jpg"
SENTENCE = "A man in a black coat looks through a camera on a tripod."
FURTHER = "A photographer with dark hair stands on the grass before tall buildings."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", help="a .safetensors file or a name (default: the shipped one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=40, help="measured runs (default: %(default)s)")
    options = parser.parse_args()
    localizer = Localizer.from_pretrained(options.checkpoint, options.device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.jpg"
        with Image.open(PHOTO) as photo:
            photo.convert("RGB").resize((640, 480)).save(file, quality=90)
        pixels = open_photo(file)
        detector = localizer.model.detector
        proposals = localizer.model.propose(pixels)
        view = localizer.see(file)
        work: dict[str, Callable[[], object]] = {
            "first answer": lambda: localizer(file, SENTENCE),
            "  open the photo": lambda: open_photo(file),
            "  Edge Boxes": lambda: localizer.model.edge_boxes(pixels),
            **({"  detector": lambda: detector.detect(pixels)} if detector else {}),
            "  embed the regions": lambda: localizer.model.embed_regions(pixels, proposals.boxes, proposals.detections),
            "  ground the sentence": lambda: localizer.ground(view, SENTENCE),
            "a further sentence": lambda: localizer.ground(view, FURTHER),
        }
        print(f"{localizer.model.device}, {localizer.model.precision}, {len(proposals.boxes)} regions, ms")
        print(f"{'':24}{'median':>8}{'90 %':>8}")
        for name, call in work.items():
            milliseconds = _timed(call, options.repeats)
            print(f"{name:24}{statistics.median(milliseconds):8.1f}{statistics.quantiles(milliseconds, n=10)[-1]:8.1f}")


def _timed(call: Callable[[], object], repeats: int) -> list[float]:
    for _ in range(5):
        call()
    milliseconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        milliseconds.append(1000 * (time.perf_counter() - begun))
    return milliseconds


if __name__ == "__main__":
    main()
