"""zeroguide: every segment of a photo, named in free text, without a prompt, a class list or training.

The heavy libraries load on first use of a model, not on import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zgcore import _threads as _threads  # first: it sets what numpy and torch read when they are loaded
from zgcore import _torchvision
from zgcore.garbage import without_collections
from zgcore.segmentation import Segment, Segmentation, SegmentTree

if TYPE_CHECKING:
    from zgcore.images import load_image
    from zgcore.pipeline import ZeroGuidance

__version__ = "0.1.0"
__all__ = ["Segment", "SegmentTree", "Segmentation", "ZeroGuidance", "__version__", "load_image"]

_torchvision.install()

_LAZY = {"ZeroGuidance": "zgcore.pipeline", "load_image": "zgcore.images"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    with without_collections():
        return getattr(importlib.import_module(_LAZY[name]), name)
