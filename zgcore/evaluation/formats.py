"""Numbers as a report prints them; fractions come in, percent go out, so that no table rounds by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING: Final = "\N{EN DASH}"  # a figure that does not exist, which is not 0
SMALLEST_P: Final = 0.001


def percent(fraction: float | None, *, signed: bool = False) -> str:
    """0.1754 -> "17.5"; with `signed` "+17.5". NOTHING for None and what is not a number."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    text = f"{abs(100 * fraction):.1f}"
    if float(text) == 0:  # no "-0.0"
        return text
    return ("-" if fraction < 0 else "+" if signed else "") + text


def interval(bounds: Sequence[float] | None, *, signed: bool = False) -> str:
    """(0.141, 0.209) -> "[14.1, 20.9]"; "" without one."""
    if bounds is None or not all(bound is not None and math.isfinite(bound) for bound in bounds):
        return ""
    return f"[{percent(bounds[0], signed=signed)}, {percent(bounds[1], signed=signed)}]"


def p_value(p: float | None) -> str:
    """0.0342 -> "0.034", anything below a thousandth "<0.001"."""
    if p is None or not math.isfinite(p):
        return NOTHING
    return f"<{SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def decimal(value: float | None, places: int = 2) -> str:
    """A plain number, a cosine say."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{places}f}"


def count(number: float | None) -> str:
    """1000 -> "1,000"."""
    return NOTHING if number is None else f"{number:,.0f}"


def seconds(value: float | None) -> str:
    """Three figures are enough: "0.008", "0.53", "12.3", "431"."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return (
        f"{value:.3f}"
        if value < 0.1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else count(value)
    )


def plural(number: int, noun: str) -> str:
    """(1, "image") -> "1 image", (28, "image") -> "28 images"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
