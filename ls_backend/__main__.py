"""`python -m ls_backend` is the command `zeroguide`."""

import sys

from ls_backend.cli import main

sys.exit(main())
