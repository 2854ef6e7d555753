"""The main figures of runs for the terminal; the report has all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from ls_backend.cli_report import printable
from zgcore.evaluation.formats import percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS: Final = {"tt": "TT", "st": "ST", "lexical": "lexical"}


def table(summaries: Sequence[tuple[str, dict[str, Any]]]) -> Table:
    """A row a run, in percent."""
    models = {printable(str(summary["sentence_model"])) for _, summary in summaries}
    shown = Table(caption=f"percent, mean over images; TT and TGQ by {', '.join(sorted(models))}")
    shown.add_column("run")
    for name in (
        "images",
        "segments",
        *(f"{kind} {figure}" for kind in _KINDS.values() for figure in ("IoU", "recall")),
    ):
        shown.add_column(name, justify="right")
    shown.add_column("TGQ", justify="right")
    for name, summary in summaries:
        figures = [(summary.get(kind) or {}).get(figure) for kind in _KINDS for figure in ("iou", "recall")]
        cells = [percent(figure) for figure in (*figures, summary.get("tgq"))]
        shown.add_row(printable(name), str(summary["images"]), str(summary["segments"]), *cells)
    return shown


def human_table(summary: dict[str, Any]) -> Table:
    """Figures of segments whose reassigned label people gave enough points, in percent."""
    shown = Table(caption="percent, mean over images; points 0 to 3 of the reassigned label")
    for name in ("kind", "points", "IoU_h", "recall_h", "images", "segments rated", "unrated"):
        shown.add_column(name, justify="left" if name == "kind" else "right")
    for kind, figures in summary["human"].items():
        for least, row in figures["least"].items():
            counts = (str(figures[name]) for name in ("images", "rated", "unrated"))
            shown.add_row(_KINDS[kind], f">= {least}", percent(row["iou"]), percent(row["recall"]), *counts)
    return shown


def notes(summaries: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """What a reader of the table must know, each once."""
    found = [note for _, summary in summaries for note in summary["notes"]]
    for name, summary in summaries:
        if summary["failed"]:
            failed = plural(summary["failed"], "image")
            found.append(f"{name}: {failed} failed, in no figure; run it again to try again")
        if summary["random_weights"]:
            found.append(f"{name}: random weights; its figures show that the evaluation runs, and mean nothing")
    return list(dict.fromkeys(found))
