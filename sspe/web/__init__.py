"""The page. `build_app` in :mod:`sspe.web.page` puts it together; the library itself imports nothing of this package.

Importing it raises MissingPackageError without Gradio.
"""

import os

from sspe.extras import import_extra

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request leaves the machine; read at Gradio's import
import_extra("gradio", "app", "The page")
