"""Make `import torchvision` work beside a CPU build of torch.

PyPI's torchvision wheel links CUDA libraries. Next to a CPU-only torch its operators do not load and the import ends
in "operator torchvision::nms does not exist", taking timm, open_clip and transformers with it. Declaring the missing
operators' schemas is enough for everything but calling them, and nothing here does. Import this module before
those libraries; where torchvision loads, it does nothing.
"""

from __future__ import annotations

import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: torch.library.Library | None = None  # kept alive: the operators go when it does


def ensure_torchvision() -> None:
    """Import torchvision, declaring its missing operators first if that is what stops it."""
    global _library
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _library is not None:
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            _library.define(operator + _SCHEMA)
        import torchvision  # noqa: F401


ensure_torchvision()
