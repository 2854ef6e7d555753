"""`python -m ls_backend` is the command `zeroguide`."""

from ls_backend.cli import run

run()
