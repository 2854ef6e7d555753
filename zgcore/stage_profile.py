"""Where the time goes: seconds and floating-point operations of every stage, against what the device can do.

Measuring is off until a `StageProfile` is made active; then a stage of the pipeline costs a clock reading, a
synchronisation on a GPU, and the counting of its matrix products, convolutions and attention.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

STAGES: Final = ("decode", "features", "Ward", "CRF", "embedding", "text", "merging")
PEAK_SIZE: Final = {"cpu": 1024, "cuda": 8192}  # side of the square matrices whose product is timed

_active: ContextVar[StageProfile | None] = ContextVar("active stage profile", default=None)


@dataclass
class StageCost:
    """seconds: added up over runs, in whatever process or thread. flops: None where they were not counted."""

    seconds: float = 0.0
    flops: int | None = None
    runs: int = 0


class StageProfile:
    """What the stages cost while it was active.

    device: where the models are. count: whether operations are counted, which slows the stages down.
    """

    def __init__(self, device: torch.device, *, count: bool = True) -> None:
        self.device = device
        self.count = count
        self.costs: dict[str, StageCost] = {}
        self._lock = threading.Lock()  # images are decoded in threads

    @contextmanager
    def active(self) -> Iterator[StageProfile]:
        """Measure every stage that this thread runs within the block, and threads it hands its context to."""
        token = _active.set(self)
        try:
            yield self
        finally:
            _active.reset(token)

    def add(self, name: str, seconds: float, flops: int | None = None) -> None:
        """Add one run of a stage."""
        with self._lock:
            cost = self.costs.setdefault(name, StageCost())
            cost.seconds += seconds
            cost.runs += 1
            if flops is not None:
                cost.flops = (cost.flops or 0) + flops

    @contextmanager
    def measure(self, name: str, flops: bool) -> Iterator[None]:
        """Add the block to a stage. A block that fails is not added.

        flops: as for `stage`. Without, it neither waits for a GPU nor is charged for what that is at.
        """
        if flops:
            self._synchronise()
        start = time.perf_counter()
        if flops and self.count:
            with _flop_counter() as counter:
                yield
            counted = counter.get_total_flops()
        else:
            yield
            counted = None
        if flops:
            self._synchronise()
        self.add(name, time.perf_counter() - start, counted)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)

    def document(self, precision: dict[str, torch.dtype], seconds: float = 1.0) -> dict[str, Any]:
        """The costs for programs, with each stage's share of the peak that is measured now.

        precision: the number format a stage computes in, by its name; stages without one have no share.
        seconds: how long the peak of each format is measured.
        """
        formats = {precision[name] for name, cost in self.costs.items() if cost.flops and name in precision}
        peaks = {form: measured_peak(self.device, form, seconds) for form in sorted(formats, key=str)}
        rows = []
        for name in sorted(self.costs, key=_position):
            cost, peak = self.costs[name], peaks.get(precision.get(name))  # type: ignore[arg-type]  # None: no peak
            share = cost.flops / cost.seconds / peak if cost.flops and peak and cost.seconds else None
            rows.append(
                {
                    "stage": name,
                    "runs": cost.runs,
                    "seconds": round(cost.seconds, 4),
                    "flops": cost.flops,
                    "share_of_peak": None if share is None else round(share, 4),
                }
            )
        named = {str(form).removeprefix("torch."): round(peak) for form, peak in peaks.items()}
        return {"device": str(self.device), "peak_flops_per_second": named, "stages": rows}


def _position(name: str) -> tuple[int, str]:
    return (STAGES.index(name) if name in STAGES else len(STAGES), name)


@contextmanager
def stage(name: str, *, flops: bool = True) -> Iterator[None]:
    """Measure the block as a stage if a profile is active.

    flops: False where it does not run on the models' device through torch, so that operations cannot be counted.
    """
    profile = _active.get()
    if profile is None:
        yield
        return
    with profile.measure(name, flops):
        yield


def add_to_stage(name: str, seconds: float) -> None:
    """Add time that was measured elsewhere, as in another process, if a profile is active."""
    if (profile := _active.get()) is not None:
        profile.add(name, seconds)


def _flop_counter() -> Any:
    """torch's counter, taught the kernels that it would take to cost nothing: attention on CPUs, whole attention
    layers in inference.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_backward_flop_count(gradient, query, key, value)

    def layer(query: Any, key: Any, value: Any, width: int, *_: Any, **__: Any) -> int:
        b, t = query[:2]
        return 8 * b * t * width**2 + sdpa_flop_count((b, 1, t, width), (b, 1, t, width), (b, 1, t, width))

    aten = torch.ops.aten
    known = {
        aten._native_multi_head_attention: layer,
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    return FlopCounterMode(display=False, custom_mapping=known)


def measured_peak(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Operations a second in the fastest product of large square matrices among those made in about `seconds`."""
    import torch

    n = PEAK_SIZE.get(device.type, PEAK_SIZE["cpu"])
    one, other = torch.randn(2, n, n, device=device).to(dtype)
    product = torch.empty_like(one)

    def once() -> float:
        start = time.perf_counter()
        torch.mm(one, other, out=product)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    once()  # the first call sets up the library
    fastest, end = once(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        fastest = min(fastest, once())
    return 2 * n**3 / fastest
