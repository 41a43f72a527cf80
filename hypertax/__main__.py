"""`python -m hypertax`: the command of the library."""

import sys

from hypertax.identify.command import main

sys.exit(main())
