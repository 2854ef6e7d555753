"""`zeroguide weights`: fetch, check and list model weights."""

from __future__ import annotations

import click

from ls_backend.cli_params import SuggestingGroup


@click.group(cls=SuggestingGroup)
def weights() -> None:
    """Fetch, check and list model weights."""
