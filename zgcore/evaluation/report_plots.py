"""The plots of a report (figures 11 to 16 of the paper's appendix): from the curves that a run's summary holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation import published
from zgcore.evaluation.plots import SERIES, Line, curves, histogram, intervals
from zgcore.evaluation.report_model import Plot
from zgcore.evaluation.report_run import KIND_TITLES
from zgcore.evaluation.report_tables import last_threshold
from zgcore.evaluation.scored import LEXICAL, ST, TT
from zgcore.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.report_run import Run

_LOG: Final = frozenset({"clip.sigma2"})  # settings that are swept by doubling
_COSINES: Final = {TT: "sentence cosine", ST: "CLIP cosine"}


def threshold_plots(runs: Sequence[Run]) -> list[Plot]:
    """IoU by the similarity a segment must reach, TT and ST, the published curves dotted (figures 11 and 12)."""
    plots = []
    for kind in (TT, ST):
        lines = [line for run in runs if (line := _threshold_line(run, kind, band=len(runs) == 1))]
        if lines:
            lines += [Line(f"paper, {published.DATA_TITLES[data]}", curve.thresholds, curve.percent, published=True)
                      for (by, data), curve in published.CURVES.items() if by == kind]  # fmt: skip
            title = f"{KIND_TITLES[kind]}: IoU by threshold"
            text = f"IoU when segments below a {_COSINES[kind]} are dropped; dotted: the paper's models on its data."
            mark = runs[0].figure(kind, "threshold")
            svg = curves(lines, title=title, x=f"threshold ({_COSINES[kind]})", y="IoU, %", mark=mark)
            plots.append(Plot(f"{kind}_threshold", title, svg, text))
    return plots


def _threshold_line(run: Run, kind: str, *, band: bool) -> Line | None:
    curve = (run.summary.get(kind) or {}).get("curve")
    if not curve:
        return None
    end = max(published.CURVES[kind, "pc59"].thresholds[-1], last_threshold(curve))
    keep = [n for n, x in enumerate(curve["similarity"]) if x < end + 0.051 and curve["iou"][n] is not None]
    bounds = (curve.get("interval") or {}).get("iou") if band else None
    low, high = ([100 * bounds[n][side] for n in keep] for side in (0, 1)) if bounds else (None, None)
    return Line(run.name, _picked(curve["similarity"], keep), [100 * curve["iou"][n] for n in keep], low, high)


def _picked(values: Sequence[float], numbers: Sequence[int]) -> list[float]:
    return [values[number] for number in numbers]


def similarity_plots(run: Run) -> list[Plot]:
    """How near segments come to their class, CLIP's cosine first (the paper's histogram)."""
    plots = []
    for kind in (ST, TT):
        found = (run.summary.get(kind) or {}).get("similarity_histogram")
        if found and sum(found["counts"]):
            edges, counts = _trimmed(found["edges"], found["counts"])
            title = f"{KIND_TITLES[kind]}: {_COSINES[kind]} of segments and their class"
            svg = histogram(edges, counts, title=title, x=_COSINES[kind], y="segments")
            text = f"How many segments have which {_COSINES[kind]} with the class they were reassigned to."
            plots.append(Plot(f"{kind}_similarity", title, svg, text))
    return plots


def _trimmed(edges: Sequence[float], counts: Sequence[float]) -> tuple[list[float], list[float]]:
    """A histogram without its empty ends."""
    used = [number for number, count in enumerate(counts) if count]
    first, last = used[0], used[-1]
    return list(edges[first : last + 2]), list(counts[first : last + 1])


def recall_plot(runs: Sequence[Run]) -> list[Plot]:
    """Segment Recall by the IoU that counts as found."""
    lines = []
    for run in runs[: len(SERIES)]:
        for kind in (TT, ST, LEXICAL) if len(runs) == 1 else (ST,):
            curve = (run.summary.get(kind) or {}).get("recall_curve")
            if curve:
                name = KIND_TITLES[kind] if len(runs) == 1 else run.name
                keep = [number for number, y in enumerate(curve["recall"]) if y is not None]
                lines.append(Line(name, _picked(curve["iou"], keep), [100 * curve["recall"][n] for n in keep]))
    if not lines:
        return []
    title = "Segment Recall by IoU" + ("" if len(runs) == 1 else " (ST)")
    text = (
        "Share of an image's true classes whose united segments overlap them by more than an IoU; the paper counts 0.5."
    )
    svg = curves(lines, title=title, x="IoU above which a class is found", y="recall, %", mark=0.5)
    return [Plot("recall", title, svg, text)]


def runs_plot(runs: Sequence[Run], kind: str) -> list[Plot]:
    """IoU of several runs with intervals."""
    rows = [
        (run.name, *(100 * value for value in (run.figure(kind, "iou"), *run.bounds(kind, "iou"))))  # type: ignore[misc]
        for run in runs
        if run.figure(kind, "iou") is not None and run.bounds(kind, "iou")
    ]
    if len(rows) < 2:
        return []
    title = f"{KIND_TITLES[kind]} IoU"
    text = f"{title} with 95% bootstrap intervals over images, a run a row."
    return [Plot(f"{kind}_runs", title, intervals(rows, title=title, x="IoU, %"), text)]


def sweep_plot(param: str, setting: str, values: Sequence[float], runs: Sequence[Run], name: str) -> list[Plot]:
    """IoU by a setting (the paper's figures of start layer, sigma squared and tau_merge)."""
    lines: list[Line] = []
    for kind in (ST, TT, LEXICAL):
        found: list[Any] = [(value, run.figure(kind, "iou"), run.bounds(kind, "iou"))
                            for value, run in zip(values, runs, strict=True)]  # fmt: skip
        there = sorted((value, iou, bounds or (iou, iou)) for value, iou, bounds in found if iou is not None)
        if there:
            x, y = [row[0] for row in there], [100 * row[1] for row in there]
            low, high = ([100 * row[2][side] for row in there] for side in (0, 1))
            lines.append(Line(KIND_TITLES[kind], x, y) if lines else Line(KIND_TITLES[kind], x, y, low, high))
    if not lines:
        return []
    title = f"IoU by {param}"
    text = f"IoU by {setting}, the rest as it is. Band: the first line's 95% interval; fine line: the preset's value."
    svg = curves(lines, title=title, x=setting, y="IoU, %", log=setting in _LOG, mark=usual_value(setting, runs[0]))
    return [Plot(name, title, svg, text)]


def usual_value(setting: str, run: Run) -> float | None:
    """The value a setting has in the run's preset; None where that is no number."""
    preset = PRESETS.get(run.info.preset or "")
    stage, _, name = setting.partition(".")
    value = getattr(getattr(preset, stage, None), name, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
