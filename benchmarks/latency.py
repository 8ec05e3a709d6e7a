"""How long an answer takes, stage by stage, and how long what a user would pick instead.

    python benchmarks/latency.py

One warm process; JPEGs of 640 x 480 and 4000 x 3000 made from an example photo, opened from disk each time. Stages are
timed inside whole answers, and Edge Boxes run beside the detector, so stages may add up to more than the answer. Then
one more sentence, one more photo of a batch, and the peers of benchmarks/peers.py on the same photo and cores, each in
its faster precision. Run it on a machine that does nothing else; ``--cpu`` counts the processor's milliseconds, of all
cores together, which others on the machine disturb less.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from unittest.mock import patch

import torch
from PIL import Image

from sspe import Localizer
from sspe import localizer as localizer_file
from sspe.models import localization as model_file
from sspe.models.calibration import Calibration
from sspe.vision import region_encoder as region_file

PHOTO = Path(__file__).resolve().parent.parent / "assets" / "photographer.jpg"
SIZES = ((640, 480), (4000, 3000))
SENTENCE = "A man in a black coat looks through a camera on a tripod."
FURTHER = "A photographer with dark hair stands on the grass before tall buildings."
BATCH = 12  # photos
WARM = 3  # answers that are not measured

Clock = Callable[[], float]  # seconds
Times = dict[str, list[float]]  # by what was timed: milliseconds, one per answer


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", help="a .safetensors file or a name (default: the shipped one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=40, help="measured answers (default: %(default)s)")
    parser.add_argument("--cpu", action="store_true", help="milliseconds of the processor instead of those that pass")
    parser.add_argument("--no-peers", action="store_true", help="leave OWL-ViT and Grounding DINO out")
    options = parser.parse_args()
    localizer = Localizer.from_pretrained(options.checkpoint, options.device)
    clock = clock_of(localizer.model.device, options.cpu)
    print(f"{localizer.model.device}, {localizer.model.precision}, {torch.get_num_threads()} threads; milliseconds")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{width}.jpg" for width, _ in SIZES]
        for file, size in zip(files, SIZES, strict=True):
            with Image.open(PHOTO) as photo:
                photo.convert("RGB").resize(size).save(file, quality=90)
        first, large = (answers(localizer, file, options.repeats, clock) for file in files)
        for times, (width, height) in zip((first, large), SIZES, strict=True):
            _print_table(f"{width} x {height}", times)
        view = localizer.see(files[0])
        further = timed(lambda: localizer.ground(view, FURTHER), options.repeats, clock)
        batch = timed(
            lambda: list(localizer.batch(files[:1] * BATCH, SENTENCE)), max(2, options.repeats // BATCH), clock
        )
        more = {"a further sentence": further, "a further photo of a batch": [taken / BATCH for taken in batch]}
        _print_table("more of it", more)
        whole = statistics.median(first["first answer"])
        print(f"4000 x 3000 takes {statistics.median(large['first answer']) / whole:.2f} times as long as 640 x 480.")
        if not options.no_peers:
            _print_peers(files[0], whole, statistics.median(further), localizer, max(3, options.repeats // 8), clock)


def answers(localizer: Localizer, file: Path, repeats: int, clock: Clock) -> Times:
    """First answers on a photo, and what each of their stages takes."""
    times: Times = {"first answer": []}
    for run in range(repeats + WARM):
        with stages(localizer, clock) as taken:
            begun = clock()
            localizer(file, SENTENCE)
            whole = 1000 * (clock() - begun)
        if run >= WARM:
            times["first answer"].append(whole)
            for name, milliseconds in taken.items():
                times.setdefault(name, []).append(milliseconds)
    return times


@contextmanager
def stages(localizer: Localizer, clock: Clock) -> Iterator[dict[str, float]]:
    """Within the block what the localizer does is timed: milliseconds by stage, in the order in which they end."""
    model = localizer.model
    taken: dict[str, float] = defaultdict(float)
    watched = [
        ("open the photo", localizer_file, "open_photo"),
        ("proposals, side by side", model, "propose"),
        (". edge map", model.edge_boxes, "edges"),
        (". Edge Boxes, edge map included", model.edge_boxes, "scored"),
        (". detector", model.detector, "detect"),
        ("regions", model, "embed_regions"),
        (". backbone map", model.regions.map, "forward"),
        (". RoIAlign", region_file, "roi_align"),
        (". region head", model.regions.head, "forward"),
        (". branches", model, "embed_features"),
        ("noun phrases", localizer_file, "extract_phrases"),
        ("text", model, "read"),
        ("places", model, "locate_read"),
        (". ranking", model.network, "scores"),
        (". refinement", model.network.refiner, "forward"),
        (". consensus and suppression", model_file, "consensus"),
        (". consensus and suppression", model_file, "nms"),
        (". calibration", model_file, "evidence_of"),
        (". calibration", Calibration, "probabilities"),
    ]
    with ExitStack() as stack:
        for name, owner, function in watched:
            if owner is not None:  # a model without a detector, without a refinement
                stack.enter_context(
                    patch.object(owner, function, _watched(getattr(owner, function), name, taken, clock))
                )
        yield taken


def _watched(function: Callable, name: str, taken: dict[str, float], clock: Clock) -> Callable:
    @wraps(function)
    def call(*arguments, **keywords):
        begun = clock()
        try:
            return function(*arguments, **keywords)
        finally:
            taken[name] += 1000 * (clock() - begun)

    return call


def timed(call: Callable[[], object], repeats: int, clock: Clock, warm: int = WARM) -> list[float]:
    """Milliseconds of so many calls; ``warm`` more before them are not counted."""
    taken = []
    for run in range(warm + repeats):
        begun = clock()
        call()
        if run >= warm:
            taken.append(1000 * (clock() - begun))
    return taken


def clock_of(device: torch.device, processor: bool = False) -> Clock:
    """The seconds that pass, when the device has done what it was given; or those of the ``processor``, all cores."""
    read = time.process_time if processor else time.perf_counter
    if device.type != "cuda":
        return read

    def clock() -> float:
        torch.cuda.synchronize()
        return read()

    return clock


def _print_table(title: str, times: Times) -> None:
    print(f"\n{title:36}{'median':>8}{'95 %':>8}")
    for name, taken in times.items():
        ninety_five = statistics.quantiles(taken, n=20, method="inclusive")[-1]
        print(f"{name:36}{statistics.median(taken):8.1f}{ninety_five:8.1f}")


def _print_peers(file: Path, first: float, further: float, localizer: Localizer, repeats: int, clock: Clock) -> None:
    from peers import PEERS, faster_precision

    phrases = [phrase.text for phrase in localizer(file, SENTENCE).phrases]
    print(f"\n{'peers, random weights':36}{'median':>8}{'times the first answer':>26}{'of it a further sentence':>26}")
    for build in PEERS:
        peer = build()
        precision = faster_precision(peer, file, phrases, localizer.model.device, clock)
        median = statistics.median(timed(lambda peer=peer: peer(file, phrases), repeats, clock, 0))
        print(f"{peer.name + ', ' + precision:36}{median:8.0f}{median / first:26.1f}{further / median:26.2%}")


if __name__ == "__main__":
    main()
