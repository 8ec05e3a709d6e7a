"""The page. `build_app` in :mod:`sspe.web.page` puts it together; nothing here is imported by the library itself."""

import os

# Gradio reads these when it is first imported, so they are set before any module of this package imports it.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request leaves the machine
