"""Whether a summary.json holds what reports read of it: a file that somebody edited or cut is told, not stumbled on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation.scored import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

FIGURES: Final = ("iou", "recall", "iou_dataset", "recall_pooled", "pixel_accuracy")
_CURVES: Final = {"curve": ("similarity", "iou", "recall"), "recall_curve": ("iou", "recall")}


def check_summary(summary: Mapping[str, Any]) -> None:
    """ValueError, TypeError or KeyError for what no run writes."""
    for name in ("images", "segments"):
        _number(summary[name])
    _figure(summary.get("tgq"))
    _bounds(summary.get("tgq_interval"))
    for kind in KINDS:
        if found := summary.get(kind):
            _number(found["threshold"])
            _figures(found)
            for curve, names in _CURVES.items():
                _curve(found.get(curve), names)
    _figures(summary.get("upper_bound") or {})


def _figures(found: Mapping[str, Any]) -> None:
    for name in FIGURES:
        _figure(found.get(name))
        _bounds((found.get("interval") or {}).get(name))


def _curve(curve: Mapping[str, Any] | None, names: tuple[str, ...]) -> None:
    if curve is None:
        return
    if len({len(curve[name]) for name in names}) != 1:
        raise ValueError("a curve's lists differ in length")
    for name in names:
        for value in curve[name]:
            _figure(value)
    for bounds in (curve.get("interval") or {}).values():
        if len(bounds) != len(curve[names[0]]):
            raise ValueError("a curve's intervals are not as many as its points")
        for pair in bounds:
            _bounds(pair)


def _bounds(bounds: Any) -> None:
    if bounds is not None:
        low, high = bounds
        _figure(low)
        _figure(high)


def _figure(value: Any) -> None:
    if value is not None:
        _number(value)


def _number(value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is no number")
