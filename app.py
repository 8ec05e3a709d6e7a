"""The page: `python app.py`. SSPE_CHECKPOINT names another checkpoint, GRADIO_SERVER_NAME and _PORT another address."""

import os

from sspe.errors import CheckpointError
from sspe.localizer import Localizer
from sspe.web.page import build_app, launch_settings


def main() -> None:
    """Build the page and launch it; without a usable checkpoint the page says so."""
    try:
        app = build_app(Localizer.from_pretrained(os.environ.get("SSPE_CHECKPOINT") or None))
    except CheckpointError as error:
        app = build_app(error=str(error))
    app.launch(**launch_settings())


if __name__ == "__main__":
    main()
