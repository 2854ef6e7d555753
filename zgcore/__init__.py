"""zeroguide: every segment of a photo, named in free text, without a prompt, a class list or training.

The heavy libraries load on first use of a model, not on import.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zgcore import _torchvision
from zgcore.garbage import without_collections
from zgcore.segmentation import Segment, Segmentation, SegmentTree

if TYPE_CHECKING:
    from zgcore.images import load_image
    from zgcore.pipeline import ZeroGuidance

__version__ = "0.1.0"
__all__ = ["Segment", "SegmentTree", "Segmentation", "ZeroGuidance", "__version__", "load_image"]

# torch's worker threads wait for each other awake unless told otherwise before it is loaded: on a machine with anything
# else to do, that made an image five times slower. Asleep they wake too late for small models. Some microseconds awake
# cost nothing on a busy machine, and on an idle one an image takes two thirds of the time.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
_torchvision.install()

_LAZY = {"ZeroGuidance": "zgcore.pipeline", "load_image": "zgcore.images"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    with without_collections():
        return getattr(importlib.import_module(_LAZY[name]), name)
