"""``python -m convsm``: the command line."""

import sys

from convsm.cli import main

sys.exit(main())
