"""The study's plots as SVG; drawn and coloured as the evaluation's are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation.plots import SERIES, drawing, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES: Final = ("0 incorrect", "1 partially correct", "2 too general or specific", "3 correct")
# Apart in lightness and in hue, on white and on black, also for the colour-blind; the shares stand in the bars.
_FILLS: Final = ("#c8553d", "#e9b44c", "#8fb8c9", "#2a7f9e")
_INKS: Final = ("#ffffff", "#161923", "#161923", "#ffffff")
_NARROW: Final = 0.06  # a share without room for its number
_LONGEST: Final = 30  # characters of a name beside its row; tables have it in full
_ROW, _AROUND = 0.42, 1.15  # inches


def score_bars(rows: Sequence[tuple[str, Sequence[float]]], *, title: str) -> bytes:
    """One bar a row, of the shares of scores 0 to 3; the first row on top."""
    with drawing(title, "share of answers, %", "", height=_AROUND + _ROW * len(rows)) as (axes, out):
        for number, (_, shares) in enumerate(rows):
            left = 0.0
            for score, share in enumerate(shares):
                axes.barh(number, 100 * share, left=left, height=0.72, color=_FILLS[score], linewidth=0,
                          label=NAMES[score] if number == 0 else None)  # fmt: skip
                if share >= _NARROW:
                    axes.text(
                        left + 50 * share, number, f"{100 * share:.0f}", color=_INKS[score], ha="center", va="center"
                    )
                left += 100 * share
        _rows(axes, [name for name, _ in rows])
        axes.set_xlim(0, 100)
        axes.grid(visible=False)
        axes.legend(
            ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, handlelength=1, columnspacing=1.2
        )
    return out.getvalue()


def spans(
    rows: Sequence[tuple[str, float, tuple[float, float] | None]], *, title: str, x: str, mark: float | None = None,
    limits: tuple[float, float] | None = None,
) -> bytes:  # fmt: skip
    """A point with its interval a row; the first row on top. mark: where there is no difference."""
    with drawing(title, x, "", height=0.8 + 0.36 * len(rows)) as (axes, out):
        for number, (_, value, bounds) in enumerate(rows):
            _span(axes, number, value, bounds, SERIES[0], 6)
        if mark is not None:
            axes.axvline(mark, color=SERIES[1], linewidth=1, linestyle=(0, (3, 3)))
        if limits is not None:
            axes.set_xlim(*limits)
        _rows(axes, [name for name, _, _ in rows])
        axes.grid(visible=False, axis="y")
    return out.getvalue()


def caterpillar(
    values: Sequence[float], bounds: Sequence[tuple[float, float] | None], marked: Sequence[bool], *, title: str, x: str
) -> bytes:
    """Many raters without their names, in the order given, each a point with its interval; some in another colour."""
    with drawing(title, x, "raters", height=3.6) as (axes, out):
        size = max(1.2, min(5.0, 120 / max(1, len(values))))
        for mark, colour, marker in ((False, SERIES[0], "o"), (True, SERIES[1], "D")):
            rows = [number for number, one in enumerate(marked) if one == mark]
            spans = [(number, *bound) for number in rows if (bound := bounds[number]) is not None]
            at, low, high = ([one[part] for one in spans] for part in range(3))
            axes.hlines(at, low, high, color=colour, linewidth=min(2.2, size / 2.5), alpha=0.6)
            axes.plot([values[row] for row in rows], rows, marker=marker, color=colour, markersize=size, linestyle="")
        axes.axvline(0, color=SERIES[4], linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
    return out.getvalue()


def _span(
    axes: Any, row: int, value: float, bounds: tuple[float, float] | None, colour: str, size: float, marker: str = "o"
) -> None:
    if bounds is not None:
        axes.plot(
            list(bounds), [row, row], color=colour, linewidth=min(2.2, size / 2.5), solid_capstyle="round", alpha=0.6
        )
    axes.plot([value], [row], marker=marker, color=colour, markersize=size)


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_cut(plain(name)) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
