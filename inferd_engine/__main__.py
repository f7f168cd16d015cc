"""Run the command line as ``python -m inferd_engine``."""

import sys

from inferd_engine.cli import main

sys.exit(main())
