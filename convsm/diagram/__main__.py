"""`python -m convsm.diagram`."""

import sys

from convsm.diagram.files import main

sys.exit(main())
