"""Python's garbage collector at rest while many objects are made that all stay.

It looks through them again and again as there come to be more: a fifth of the time that torch, torchvision, timm and
transformers take to import, half of the time that WordNet takes to read, and nothing is found.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without_collections() -> Iterator[None]:
    """No garbage is collected within, by any thread; afterwards as before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def import_for_good() -> None:
    """Import what models need, in a process that is there for a model alone: none of it is ever searched for garbage.

    What else is alive by then stays out of the search too, so this is for programs, at their start, and done once.
    """
    if "zgcore.build" in sys.modules:
        return
    with without_collections():
        import zgcore.build  # noqa: F401

        gc.freeze()
