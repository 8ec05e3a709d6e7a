"""The page: `python app.py`, after `pip install -r requirements.txt`.

SSPE_CHECKPOINT names another checkpoint, GRADIO_SERVER_NAME and GRADIO_SERVER_PORT another address. With `--mcp`, or
SSPE_MCP=1, `/localize` is a tool of the Model Context Protocol, too (`pip install -e ".[mcp]"`).
"""

import os
import sys

from sspe.errors import MissingPackageError, SspeError
from sspe.extras import import_extra


def main() -> None:
    """Build the page and launch it; where the localizer cannot be loaded the page says why."""
    mcp = "--mcp" in sys.argv[1:] or os.environ.get("SSPE_MCP", "0") not in ("", "0")
    try:
        if mcp:
            import_extra("mcp", "mcp", "A tool for agents")
        from sspe.web.page import build_app, launch_settings
    except MissingPackageError as error:
        sys.exit(str(error))
    from sspe.localizer import Localizer

    try:
        app = build_app(Localizer.from_pretrained(os.environ.get("SSPE_CHECKPOINT") or None))
    except SspeError as error:  # no checkpoint, or an OpenCV without ximgproc
        app = build_app(error=str(error))
    app.launch(**launch_settings(mcp))


if __name__ == "__main__":
    main()
