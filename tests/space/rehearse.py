"""The inner half of rehearse.sh: start app.py as a Space does, ask it as a visitor's program does, and stop it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = f"http://127.0.0.1:{os.environ['GRADIO_SERVER_PORT']}/"
ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "A man in a black coat looks through a camera on a tripod."


def main() -> None:
    """Exit with 1 and a sentence where the rehearsal fails."""
    _check_the_stage()
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT)
    try:
        _wait(app)
        from gradio_client import Client, handle_file

        client = Client(ADDRESS, verbose=False)
        found = client.predict(handle_file(ROOT / "assets" / "photographer.jpg"), SENTENCE, api_name="/localize")
    finally:
        app.terminate()
        app.wait(20)
    texts = [phrase["text"] for phrase in found["phrases"]]
    if texts != ["A man", "a black coat", "a camera", "a tripod"]:
        sys.exit(f"The page answered with the phrases {texts}.")
    print("The page localizes:", *(f"{p['text']} {[round(x) for x in p['box']]}" for p in found["phrases"]), sep="\n  ")


def _check_the_stage() -> None:
    """That this is the rehearsal: no privilege, no network, code that cannot be written."""
    if os.geteuid() == 0:
        sys.exit("This runs as root; start it through rehearse.sh.")
    if os.access(ROOT, os.W_OK) or os.access(ROOT / "sspe", os.W_OK):
        sys.exit(f"{ROOT} can be written; start it through rehearse.sh.")
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=2)  # an address that belongs to nobody
    except OSError as error:
        if isinstance(error, TimeoutError):
            sys.exit("There is a network here; start it through rehearse.sh.")


def _wait(app: subprocess.Popen) -> None:
    for _ in range(120):
        if app.poll() is not None:
            sys.exit(f"app.py ended with {app.returncode}.")
        try:
            urllib.request.urlopen(ADDRESS, timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    sys.exit("The page did not answer within two minutes.")


if __name__ == "__main__":
    main()
