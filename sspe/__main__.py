"""``python -m sspe`` is the console command ``sspe``."""

import sys

from sspe.cli import main

sys.exit(main())
