"""The page: `python app.py`, after `pip install -r requirements.txt`.

SSPE_CHECKPOINT names another checkpoint, GRADIO_SERVER_NAME and GRADIO_SERVER_PORT another address. With `--collection
DIR` the tab "Search" opens on that folder's index, made by `sspe index DIR`, instead of the example photos. With
`--mcp`, or SSPE_MCP=1, `/localize` and `/search` are tools of the Model Context Protocol, too (`pip install -e
".[mcp]"`).
"""

import argparse
import os
import sys

from sspe.errors import CollectionError, MissingPackageError, SspeError
from sspe.extras import import_extra, start_fast


def main() -> None:
    """Build the page and launch it; where the localizer cannot be loaded the page says why."""
    parser = argparse.ArgumentParser(description="Open the page.")
    parser.add_argument("--collection", metavar="DIR", help="photos to search: a folder that was indexed, or its index")
    parser.add_argument("--mcp", action="store_true", help="serve the endpoints as tools for agents, too")
    options = parser.parse_args()
    print("Starting the page: loading the model and the interface takes a few seconds.", flush=True)
    start_fast()
    mcp = options.mcp or os.environ.get("SSPE_MCP", "0") not in ("", "0")
    try:
        if mcp:
            import_extra("mcp", "mcp", "A tool for agents")
        from sspe.web.example_answers import ExampleAnswers
        from sspe.web.page import build_app, launch_settings
        from sspe.web.service import LocalizeService
        from sspe.web.shelves import Shelves
    except MissingPackageError as error:
        sys.exit(str(error))
    from sspe.collection import Collection
    from sspe.localizer import Localizer

    try:
        localizer = Localizer.from_pretrained(os.environ.get("SSPE_CHECKPOINT") or None)
        collection = Collection.open(options.collection, localizer) if options.collection else None
        shelves = Shelves(localizer, collection)
        answers = ExampleAnswers(LocalizeService(localizer))
        app = build_app(localizer, shelves=shelves, answers=answers)
    except CollectionError as error:  # whoever starts the page named it, and can name another
        sys.exit(str(error))
    except SspeError as error:  # no checkpoint, or an OpenCV without ximgproc
        app, answers = build_app(error=str(error)), None
    app.launch(**launch_settings(mcp), prevent_thread_lock=True)
    if answers is not None:  # what can wait until the page is up
        answers.begin(then=shelves.begin)
    app.block_thread()


if __name__ == "__main__":
    main()
