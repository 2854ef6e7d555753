"""Curves and histograms as SVG: text stays text, colours follow the reader's light or dark mode, bytes are the same.

Drawn with matplotlib; then each of its colours becomes a CSS variable with that colour behind it for viewers that know
none. Lines differ by dash and marker too, so that nothing rests on colour alone. Two colours stand for ours, never more
than six in one plot (Wong, "Points of view: Color blindness", Nature Methods 2011, darker for white paper).
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zgcore.placement import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.9, 3.3  # inches of 100 pixels: a plot that still reads when a phone shows it at three quarters
_PAPER, _INK, _SOFT, _GRID = "#fefefe", "#161922", "#5d6475", "#dfe2ea"  # follow the mode; pure white never does
SERIES: Final = ("#0062ab", "#b84a00", "#00785a", "#a3417f", "#6b5900", "#3f6f9e")
_DARK: Final = dict(zip(
    (_PAPER, _INK, _SOFT, _GRID, *SERIES),
    ("#171a21", "#eceef4", "#9aa2b5", "#2d333f", "#66b6ff", "#ff9d4d", "#3fd6ab", "#f09ad0", "#d9c53f", "#9cc4ea"),
    strict=True,
))  # fmt: skip
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
_DASHES: Final = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), (0, (6, 2)), (0, (2, 1)))
_FONTS: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_LONGEST: Final = 34  # characters of a name in a plot; tables have it in full
_RC: Final[Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "zeroguide", "font.family": ["DejaVu Sans"], "font.size": 9.5,
    "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _SOFT, "xtick.color": _SOFT, "ytick.color": _SOFT,
    "axes.facecolor": "none", "axes.grid": True, "grid.color": _GRID, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False, "legend.frameon": False,
    "legend.fontsize": 9,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve. x, y: as many each. low, high: its interval, drawn as a band. published: dotted and grey."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    published: bool = False


def curves(lines: Sequence[Line], *, title: str, x: str, y: str, log: bool = False, mark: float | None = None) -> bytes:
    """Lines over numbers. title: for readers who do not see it. log: x in powers of two. mark: the default's x."""
    with drawing(title, x, y) as (axes, out):
        for number, line in enumerate(line for line in lines if not line.published):
            _draw(axes, line, number)
        for number, line in enumerate(line for line in lines if line.published):
            axes.plot(line.x, line.y, color=_SOFT, linestyle=":", linewidth=1.8, label=plain(line.name),
                      marker=(None, "x", "+")[number % 3], markersize=4)  # fmt: skip
        if log:
            axes.set_xscale("log", base=2)
            ticks = sorted({value for line in lines for value in line.x})
            axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
            axes.minorticks_off()
        if mark is not None:
            axes.axvline(mark, color=_SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set_ylim(bottom=0)
        if len(lines) > 1:
            axes.figure.legend(loc="outside upper left", ncols=2, borderaxespad=0)  # beside no curve
    return out.getvalue()


def histogram(edges: Sequence[float], counts: Sequence[float], *, title: str, x: str, y: str) -> bytes:
    """Bars between edges (one more than counts)."""
    with drawing(title, x, y) as (axes, out):
        axes.stairs(counts, edges, fill=True, color=SERIES[0], alpha=0.35, linewidth=0)
        axes.stairs(counts, edges, color=SERIES[0], linewidth=1.4)
        axes.grid(visible=False, axis="x")
        axes.set_ylim(bottom=0)
    return out.getvalue()


def intervals(rows: Sequence[tuple[str, float, float, float]], *, title: str, x: str) -> bytes:
    """One row a run: name, value, low, high; the first row on top."""
    with drawing(title, x, "", height=0.9 + 0.36 * len(rows)) as (axes, out):
        for number, (_, value, low, high) in enumerate(rows):
            axes.plot([low, high], [number, number], color=SERIES[0], linewidth=2.2, solid_capstyle="round")
            axes.plot([value], [number], marker="o", color=SERIES[0], markersize=6)
        axes.set_yticks(range(len(rows)), [plain(row[0]) for row in rows], color=_INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=min(0.0, *(row[2] for row in rows)))
        axes.grid(visible=False, axis="y")
    return out.getvalue()


def _draw(axes: Axes, line: Line, number: int) -> None:
    colour = SERIES[number % len(SERIES)]
    dash: Any = _DASHES[number % len(_DASHES)]
    axes.plot(line.x, line.y, color=colour, linestyle=dash, marker=_MARKERS[number % len(_MARKERS)], markersize=4.5,
              linewidth=1.7, label=plain(line.name))  # fmt: skip
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.14, linewidth=0)


def plain(text: str) -> str:
    """A name in one short line, which matplotlib takes as it is: one that starts with _ would vanish from legends."""
    text = clean_text(text)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return " " + text if text.startswith("_") else text


@contextmanager
def drawing(title: str, x: str, y: str, height: float = HEIGHT) -> Iterator[tuple[Axes, io.BytesIO]]:
    """Axes to draw on, and the SVG that is there once the block ends. No global state of matplotlib is touched."""
    import matplotlib
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield axes, out
        raw = io.BytesIO()
        metadata = {"Title": title, "Date": None, "Creator": None}
        figure.savefig(raw, format="svg", facecolor=_PAPER, dpi=72, metadata=metadata)
    out.write(_follow_mode(raw.getvalue().decode("utf-8")).encode())


def _follow_mode(svg: str) -> str:
    """Colours as variables with a value for dark readers, and the reader's own font."""
    for number, colour in enumerate(_DARK):
        svg = re.sub(rf"(fill|stroke): {colour}", rf"\1: {colour}; \1: var(--c{number})", svg)
    svg = svg.replace("'DejaVu Sans'", _FONTS)
    light = "; ".join(f"--c{number}: {colour}" for number, colour in enumerate(_DARK))
    dark = "; ".join(f"--c{number}: {colour}" for number, colour in enumerate(_DARK.values()))
    style = f"<style>:root {{ {light} }} @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}</style>"
    head, tag, rest = svg.partition("<defs>")
    return head + style + tag + rest
