"""How fast the page is: until its first result is seen, and for a second sentence on the same photo.

    python benchmarks/page.py

Needs Chromium and the dev extra. In turns, the browser opens an empty Gradio page and this one, both served here with
the shipped checkpoint behind the latter; times run from the start of the navigation. Printed are medians in
milliseconds, and by how much the first result comes after the empty page's load event (goal: at most 700). Then the
time that the server takes for a second sentence on a photo it has seen (goal: at most 150). Run it on a machine that
does nothing else.
"""

import argparse
import os
import shutil
import statistics
import time

from sspe import Localizer
from sspe.web.examples import examples
from sspe.web.page import build_app, launch_settings
from sspe.web.service import LocalizeService

FURTHER = "A photographer with dark hair stands on the grass before tall buildings."
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
# Counted from the start of the navigation: the moment when the box is there and its picture decoded.
FIRST_RESULT = """() => new Promise(done => {
  const look = () => {
    const image = document.querySelector('.lv-photo img');
    if (document.querySelector('.lv-box') && image && image.complete) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15, help="measured visits and sentences (default: %(default)s)")
    options = parser.parse_args()
    service = LocalizeService(Localizer.from_pretrained())
    _visits(service.localizer, options.repeats)
    _sentences(service, options.repeats)


def _visits(localizer: Localizer, repeats: int) -> None:
    import gradio as gr
    from playwright.sync_api import sync_playwright

    with gr.Blocks(analytics_enabled=False) as empty:
        pass
    settings = {"server_name": "127.0.0.1", "prevent_thread_lock": True, "quiet": True}
    _, empty_url, _ = empty.launch(**settings, ssr_mode=False)
    app = build_app(localizer)
    _, url, _ = app.launch(**launch_settings(), **settings)
    browser = os.environ.get("SSPE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)))
    loaded, first = [], []
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=browser, args=flags)
        for visit in range(repeats + 1):
            for address, script, times in ((empty_url, LOADED, loaded), (url, FIRST_RESULT, first)):
                context = chromium.new_context()  # nothing is cached from the visit before
                page = context.new_page()
                page.goto(address, wait_until="load")
                taken = page.evaluate(script)
                if visit:  # the first visit warms the servers up
                    times.append(taken)
                context.close()
        chromium.close()
    for running in (empty, app):
        running.close()
    print(f"{'empty Gradio page, load event':44}{statistics.median(loaded):8.0f} ms")
    print(f"{'this page, first result':44}{statistics.median(first):8.0f} ms")
    print(f"{'after it':44}{statistics.median(first) - statistics.median(loaded):8.0f} ms")


def _sentences(service: LocalizeService, repeats: int) -> None:
    example = examples()[0]
    service(example.photo, example.sentence)
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        service(example.photo, FURTHER)
        taken.append(1000 * (time.perf_counter() - begun))
    print(f"{'second sentence on the same photo, server':44}{statistics.median(taken):8.1f} ms")


if __name__ == "__main__":
    main()
