"""Make `import torchvision` work beside a CPU build of torch.

PyPI's torchvision wheel links CUDA libraries. Next to a CPU-only torch its operators do not load and the import ends
in "operator torchvision::nms does not exist", taking timm, open_clip and transformers with it. Declaring the missing
operators' schemas is enough for everything but calling them, and nothing here does.

The cure is applied when torchvision is imported, by whom ever, and only if that import fails in this way.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept_alive: list[Any] = []  # an operator goes when its library object does


class _CuringLoader(Loader):
    """torchvision's own loader, tried again after its operators have been declared."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]
            _declare_operators()
            self.loader.exec_module(module)


class _Finder(MetaPathFinder):
    """Hands out torchvision with the loader above; knows nothing else."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _CuringLoader(spec.loader)
        return spec


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    _kept_alive.append(library)


def install() -> None:
    """Watch for the import of torchvision, unless it is imported already."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
