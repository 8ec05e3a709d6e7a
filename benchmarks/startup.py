"""How soon the programs are there: `sspe --help`, `sspe localize` on one photo, and the page, each in a fresh Python.

    python benchmarks/startup.py

Prints the median and the longest of ten starts, in seconds: until the help is printed (goal: 0.3), until the answer is
(3), until `python app.py` says what it does, and until its page can be fetched (5). A first round warms the disk and is
not counted. Run it on a machine that does nothing else; ``--cpu`` counts the processor's seconds, of all cores.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALIZE = ("localize", "assets/cat.jpg", "A ginger cat with green eyes.")
PATIENCE = 300  # seconds for a page


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=10, help="measured starts of each (default: %(default)s)")
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor instead of those that pass")
    options = parser.parse_args()
    times: dict[str, list[float]] = {}
    for start in range(options.starts + 1):
        for name, seconds in (*commands(options.cpu), *page(options.cpu)):
            if start:
                times.setdefault(name, []).append(seconds)
    print(f"{'seconds':34}{'median':>8}{'longest':>9}")
    for name, taken in times.items():
        print(f"{name:34}{statistics.median(taken):8.2f}{max(taken):9.2f}")


def commands(processor: bool) -> Iterator[tuple[str, float]]:
    """Name and seconds of a start of each command. Raises CalledProcessError where one fails."""
    for arguments in (("--help",), LOCALIZE):
        begun, used = time.perf_counter(), _used_by_children()
        subprocess.run([sys.executable, "-m", "sspe.cli", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        yield f"sspe {arguments[0]}", _used_by_children() - used if processor else time.perf_counter() - begun


def page(processor: bool) -> Iterator[tuple[str, float]]:
    """Seconds until the page says what it does, and until it is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    begun = time.perf_counter()
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        app.stdout.readline()
        yield "page: a first word", _used_by(app.pid) if processor else time.perf_counter() - begun
        _wait_for(f"http://127.0.0.1:{port}/", app)
        yield "page: usable", _used_by(app.pid) if processor else time.perf_counter() - begun
    finally:
        app.terminate()
        app.wait()


def _wait_for(address: str, app: subprocess.Popen) -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < PATIENCE:
        if app.poll() is not None:
            sys.exit(f"app.py ended with {app.returncode}.")
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).read()
            return
        except (urllib.error.URLError, OSError):  # nobody listens yet
            time.sleep(0.02)
    sys.exit(f"The page was not there after {PATIENCE} seconds.")


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used_by(process: int) -> float:
    """Seconds of the processor that a running process has used; Linux alone tells."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
