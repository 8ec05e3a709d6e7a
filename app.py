"""The page: `python app.py`.

SSPE_CHECKPOINT names another checkpoint, GRADIO_SERVER_NAME and GRADIO_SERVER_PORT another address. With `--mcp`, or
SSPE_MCP=1, `/localize` is a tool of the Model Context Protocol, too (`pip install "sspe[mcp]"`).
"""

import os
import sys
from importlib.util import find_spec

from sspe.errors import SspeError
from sspe.localizer import Localizer
from sspe.web.page import build_app, launch_settings


def main() -> None:
    """Build the page and launch it; where the localizer cannot be loaded the page says why."""
    mcp = "--mcp" in sys.argv[1:] or os.environ.get("SSPE_MCP", "0") not in ("", "0")
    if mcp and find_spec("mcp") is None:
        sys.exit('MCP was asked for and its package is not here: pip install -e ".[mcp]"')
    try:
        app = build_app(Localizer.from_pretrained(os.environ.get("SSPE_CHECKPOINT") or None))
    except SspeError as error:  # no checkpoint, or an OpenCV without ximgproc
        app = build_app(error=str(error))
    app.launch(**launch_settings(mcp))


if __name__ == "__main__":
    main()
