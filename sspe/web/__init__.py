"""The page. `build_app` in :mod:`sspe.web.page` puts it together; the library itself imports nothing of this package.

Importing it raises MissingPackageError without Gradio.
"""

import os

from sspe.extras import import_extra
from sspe.web.stubs import without_stubs

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request leaves the machine; read at Gradio's import
# Gradio would keep the last 10,000 requests and count them anew after each one, which takes 10 to 40 ms.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
with without_stubs():
    import_extra("gradio", "app", "The page")
