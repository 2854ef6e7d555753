"""A GPU that is not there: tensors stay in the CPU's memory and carry the device they are asked to be on.

Everything is computed for real, so code that looks at values runs as it does on a GPU; what a GPU refuses is refused:
operands on two devices, and NumPy's look at memory that it cannot reach. A CPU index into a tensor on the GPU, which
torch would copy over in silence, is refused too. Kernels that a GPU lacks, and its rounding, cannot be seen this way.

torch's own FakeTensorMode needs a build with CUDA for this: without one, products and gradients end the process.
"""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
PACKAGE = str(Path(__file__).parents[2] / "zgcore")

_MARK = "pretended_device"
_CONVERSIONS = {Tensor.to, torch.as_tensor, Tensor.cpu, Tensor.type_as}
_ACROSS = {Tensor.copy_, Tensor.data.__set__, torch._has_compatible_shallow_copy_type}
_NUMPY = {Tensor.numpy, Tensor.__array__}
_WAITS = {
    Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__,
    Tensor.nonzero, torch.nonzero, torch.unique, torch.equal, torch.bincount, Tensor.bincount,
}  # fmt: skip


def place(tensor: Tensor) -> torch.device:
    """Where a tensor is taken to be."""
    return tensor.__dict__.get(_MARK, CPU)


class PretendedGpu(TorchFunctionMode):
    """Use as a context manager around everything, building of the models included.

    waits: (kind, where in the package) -> how often the CPU waited there for the GPU, or handed it something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return place(args[0])
        if func == Tensor.is_cuda.__get__:
            return place(args[0]).type == "cuda"
        if func == Tensor.__iter__:
            return iter(self._run(Tensor.unbind, args, {}))
        if func in _NUMPY and place(args[0]) != CPU:
            raise TypeError("can't convert a cuda tensor to numpy: use Tensor.cpu() first")
        if func in _CONVERSIONS:
            return self._convert(func, args, kwargs)
        return self._run(func, args, kwargs)

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tensors = _tensors((args, kwargs))
        found = {place(tensor) for tensor in tensors if tensor.ndim} or {place(tensor) for tensor in tensors}
        if len(found) > 1 and func not in _ACROSS:
            shapes = ", ".join(f"{place(tensor)} {tuple(tensor.shape)}" for tensor in tensors)
            raise RuntimeError(f"{getattr(func, '__name__', func)}: operands on several devices: {shapes}")
        target = place(args[0]) if func in _ACROSS else next(iter(found), CPU)
        if kwargs.get("device") is not None:
            target, kwargs["device"] = _device(kwargs["device"]), CPU
        if target != CPU and (func in _WAITS or func == torch.tensor or _selects_by_value(func, args)):
            self._note(getattr(func, "__name__", str(func)))
        result = func(*args, **kwargs)
        if func == Tensor.data.__set__:
            target = place(args[1])
            args[0].__dict__[_MARK] = target
        for tensor in _tensors(result):
            tensor.__dict__[_MARK] = target
        return result

    def _convert(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        """`to` and its like, which must not hand out the same memory as a tensor of another device."""
        source, args = args[0], list(args)
        target = place(source) if isinstance(source, Tensor) else CPU
        if func == Tensor.cpu:
            target = CPU
        for number, value in enumerate(args[1:], 1):
            if isinstance(value, Tensor):
                target = place(value)
            elif isinstance(value, torch.device | str):
                target, args[number] = _device(value), CPU
        if kwargs.get("device") is not None:
            target, kwargs["device"] = _device(kwargs["device"]), CPU
        result: Tensor = func(*args, **kwargs)
        if isinstance(source, Tensor) and place(source) != target:
            self._note("to the CPU" if target == CPU else "to the GPU")
            result = result.clone() if result is source else result
        result.__dict__[_MARK] = target
        return result

    def _note(self, kind: str) -> None:
        frames = traceback.extract_stack()
        inside = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
        where = f"{Path(inside[-1].filename).name}:{inside[-1].lineno}" if inside else "outside"
        self.waits[kind, where] += 1


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple | list):
        return []
    return [tensor for part in value for tensor in _tensors(part)]


def _device(value: torch.device | str) -> torch.device:
    device = torch.device(value)
    return GPU if device.type == "cuda" else device


def _selects_by_value(func: Any, args: Any) -> bool:
    """Indexing by a mask or by a list: the number of results is only known on the GPU, or the list must get there."""
    if func not in (Tensor.__getitem__, Tensor.__setitem__):
        return False
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    return any(isinstance(part, list) or (isinstance(part, Tensor) and part.dtype == torch.bool) for part in index)
