"""How cost grows: with photos, their size, a sentence's words, proposals, phrases, a training batch, processes.

    python benchmarks/scaling.py                       # all of it, about two hours
    python benchmarks/scaling.py --only words phrases
    python benchmarks/scaling.py --quick               # small numbers of everything, to see that it runs

Each line of the table is a series: what was varied, the times, and the slope of a straight line through them where both
axes are logarithmic: 1 is "twice as much takes twice as long", 0 "it makes no difference". The output folder gets a
plot of each. Answers are those of the shipped configuration; photos are made of an example photo, training photos are
drawn scenes. Two series are of memory: what a photo takes that is kept for further sentences, and what the process has
while thousands go through ``Localizer.batch``, a few over and over. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from latency import PHOTO, SENTENCE, clock_of, timed
from PIL import Image

from sspe import Localizer
from sspe.phrases.chunker import extract_phrases
from sspe.vision.edge_boxes import EdgeBoxes

THINGS = (
    "a man in a black coat", "the camera", "a tripod", "green grass", "a tall building", "the grey sky", "dark hair",
    "a woman with a red umbrella", "two dogs", "an old bench", "the wet street", "a white van",
)  # fmt: skip
DIFFERENT = 8  # photos that go through a batch over and over
TRAINED_ON = 64  # drawn scenes


@dataclass(frozen=True)
class Series:
    """What was measured.

    Attributes:
        varied, measured: names of the axes, with units.
        points: (varied, measured), both above 0.
        flat: the slope is of plain axes, in units of ``measured`` per unit of ``varied``.
    """

    varied: str
    measured: str
    points: list[tuple[float, float]]
    flat: bool = False

    @property
    def slope(self) -> float:
        """Of the straight line through the points, of their logarithms unless ``flat``; nan of one point."""
        if len(self.points) < 2:
            return float("nan")
        x, y = np.array(self.points).T
        return float(np.polyfit(x, y, 1)[0] if self.flat else np.polyfit(np.log(x), np.log(y), 1)[0])


SERIES = ("photos", "pixels", "words", "phrases", "proposals", "batch", "processes", "memory", "flat")


class Bench:
    """The series, a method of its name each."""

    def __init__(self, localizer: Localizer, folder: Path, quick: bool, through: int):
        """``folder`` is for the photos made; ``through`` is how many of them go through a batch."""
        self.localizer, self.folder, self.quick, self.through = localizer, folder, quick, through
        self.trained_on = 16 if quick else TRAINED_ON
        self.clock = clock_of(localizer.model.device)
        self.view = localizer.see(self.photo(640, 480))

    def run(self, name: str) -> Series:
        """Measure one series."""
        return getattr(self, name)()

    def photos(self) -> Series:
        """Photos of one batch."""
        file = self.photo(640, 480)
        return self.milliseconds(
            "photos", (4, 8, 16, 32, 64), lambda n: lambda: list(self.localizer.batch([file] * n, SENTENCE)), repeats=2
        )

    def pixels(self) -> Series:
        """The size of a photo, opened from disk."""
        files = {
            w * h / 1e6: self.photo(w, h) for w, h in ((320, 240), (640, 480), (1280, 960), (2560, 1920), (5120, 3840))
        }

        def answered(size: float) -> Callable[[], object]:
            return lambda: self.localizer(files[size], SENTENCE)

        return self.milliseconds("megapixels of the photo", tuple(files), answered)

    def words(self) -> Series:
        """The words of a sentence about a photo that was seen; its phrases grow with it."""

        def grounded(n: int) -> Callable[[], object]:
            sentence = " ".join(islice(cycle(" and ".join(THINGS).split()), n))
            return lambda: self.localizer.ground(self.view, sentence)

        return self.milliseconds("words of a further sentence", (4, 8, 16, 32, 64, 128, 256, 512), grounded)

    def phrases(self) -> Series:
        """The phrases sought in one sentence of 48."""
        sentence = ", ".join([*THINGS] * 4)
        found = extract_phrases(sentence, pronouns=False)

        def grounded(n: int) -> Callable[[], object]:
            return lambda: self.localizer.ground(self.view, sentence, found[:n])

        return self.milliseconds("phrases sought in a photo that was seen", (1, 2, 4, 8, 16, 32), grounded)

    def proposals(self) -> Series:
        """The regions of a photo."""
        model, file = self.localizer.model, self.photo(640, 480)
        usual = model.edge_boxes

        def seen(n: int) -> Callable[[], object]:
            def see() -> None:
                model.edge_boxes = EdgeBoxes(replace(usual.settings, count=n))
                self.localizer.see(file)

            return see

        try:
            return self.milliseconds("proposals of a first answer", (25, 50, 100, 200, 400, 800), seen)
        finally:
            model.edge_boxes = usual

    def batch(self) -> Series:
        """The photos of a training step."""
        points = []
        for photos in self.sizes((2, 4, 8, 16, 32)):
            seconds = self.epoch(f"batch-{photos}", 1, f"batch={photos}")
            points.append((photos, 1000 * seconds / (self.trained_on // photos)))
        return Series("photos of a training step", "ms", points)

    def processes(self) -> Series:
        """The processes that share a training step, one thread each."""
        most = os.cpu_count() or 1
        counts = [count for count in (1, 2, 4, 8, 16) if count <= most]
        points = [(count, self.epoch(f"processes-{count}", count, "batch=16")) for count in counts]
        return Series(f"processes, one thread each, on {most} cores", "s per epoch", points)

    def memory(self) -> Series:
        """What the process has more with every photo that is kept for further sentences."""
        files = [self.photo(640 + i, 480) for i in range(DIFFERENT)]
        for file in files:  # what stays once and for all, is there
            self.localizer.ground(self.localizer.see(file), SENTENCE)
        kept, points, before = [], [], resident()
        for number, file in enumerate(islice(cycle(files), self.sizes((100,))[0]), 1):
            kept.append(self.localizer.see(file))
            if number % 10 == 0:
                points.append((number, max(resident() - before, 1) / 1e6))
        photo, regions = kept[0].photo.nbytes / 1e6, kept[0].regions.nbytes / 1e6
        about = f"photos of 640 x 480 kept ({photo:.2f} MB of pixels, {regions:.2f} MB of regions each)"
        return Series(about, "MB resident beyond the model", points, flat=True)

    def flat(self) -> Series:
        """What the process has while photos go through a batch, a few over and over, from a generator."""
        files = [self.photo(640 + i, 480) for i in range(DIFFERENT)]
        points = []
        every = max(self.through // 100, 1)
        answers = self.localizer.batch(islice(cycle(files), self.through), SENTENCE)
        for number, _ in enumerate(answers, 1):
            if number % every == 0 and number > self.through // 10:  # the first ones fill what stays
                points.append((number, resident() / 1e6))
        return Series("photos that have gone through a batch", "MB resident", points, flat=True)

    def photo(self, width: int, height: int) -> Path:
        """A JPEG of this size."""
        file = self.folder / f"{width}x{height}.jpg"
        if not file.exists():
            with Image.open(PHOTO) as photo:
                photo.convert("RGB").resize((width, height)).save(file, quality=90)
        return file

    def sizes(self, points: Sequence) -> Sequence:
        """The points to be measured; of a quick run the two smallest, or a third of the only one."""
        if not self.quick:
            return points
        return points[:2] if len(points) > 1 else (points[0] // 3,)

    def milliseconds(
        self, varied: str, points: Sequence[float], call: Callable[[float], Callable[[], object]], repeats: int = 10
    ) -> Series:
        """The median time of ``call(point)()`` for every point."""
        repeats = 1 if self.quick else repeats
        times = [statistics.median(timed(call(point), repeats, self.clock, warm=1)) for point in self.sizes(points)]
        return Series(varied, "ms", list(zip(self.sizes(points), times, strict=True)))

    def epoch(self, name: str, processes: int, *changes: str) -> float:
        """Seconds of an epoch of training on drawn scenes by processes of one thread each: the best but the first."""
        output = self.folder / name
        line = [sys.executable, "-m"]
        if processes > 1:
            line += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
        line += ["sspe.train", "--data", "synthetic", "--limit", str(self.trained_on), "--val-limit", "2"]
        line += ["--device", self.localizer.model.device.type, "--output", str(output), "--quiet"]
        for change in (f"epochs={2 if self.quick else 4}", "calibrated=false", "regions.side=320", *changes):
            line += ["--set", change]
        done = subprocess.run(line, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        with (output / "log.csv").open(newline="") as log:
            return min(float(row["seconds"]) for row in list(csv.DictReader(log))[1:])


def resident() -> int:
    """Bytes of memory that this process has now; Linux alone counts them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def draw(name: str, series: Series, path: Path) -> None:
    """A plot of a series with its straight line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    x, y = np.array(series.points).T
    axes.plot(x, y, "o")
    if len(x) > 1:
        if series.flat:
            line = np.polyval(np.polyfit(x, y, 1), x)
        else:
            line = np.exp(np.polyval(np.polyfit(np.log(x), np.log(y), 1), np.log(x)))
        axes.plot(x, line)
    axes.set(xlabel=series.varied, ylabel=series.measured, title=f"{name}: slope {series.slope:.3g}")
    if not series.flat:
        axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=120)


def row(name: str, series: Series) -> str:
    """A series as a line of Markdown: at most six of its points."""
    points = series.points[:: max(1, -(-len(series.points) // 6))]
    shown = ", ".join(f"{x:.3g}: {y:.3g}" for x, y in points)
    slope = f"{1000 * series.slope:.1f} kB per photo" if series.flat else f"{series.slope:.2f}"
    return f"| {name} | {series.varied} | {shown} {series.measured} | {slope} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, draw and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=SERIES, metavar="NAME", help=", ".join(SERIES))
    parser.add_argument("--quick", action="store_true", help="two small points of each series, measured once")
    parser.add_argument("--through", type=int, help="photos of the series `flat` (default: 10000; quick: 40)")
    parser.add_argument("--checkpoint", help="a .safetensors file or a name (default: the shipped one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/scaling"), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    localizer = Localizer.from_pretrained(options.checkpoint, options.device)
    print(f"{localizer.model.device}, {localizer.model.precision}, {torch.get_num_threads()} threads\n")
    print("| series | varied | measured | slope |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(localizer, Path(folder), options.quick, options.through or (40 if options.quick else 10_000))
        for name in options.only:
            series = bench.run(name)
            draw(name, series, options.output / f"{name}.png")
            print(row(name, series), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
