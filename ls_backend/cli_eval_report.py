"""What is made of finished evaluation runs: `zeroguide eval report`, `compare` and `human`. No model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.cli_params import OneOf
from ls_backend.cli_report import line, printable, streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

RunFolder: Final = click.Path(path_type=Path, exists=True, file_okay=False)
OutFolder: Final = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RunFolder, metavar="RUN...")
@click.option(
    "--sweep", "sweeps", multiple=True, type=RunFolder, metavar="DIR", help="A sweep to show beside the runs."
)
@click.option("--out", "-o", type=OutFolder, metavar="DIR", help="Where the report of several runs goes.")
def report(runs: tuple[Path, ...], sweeps: tuple[Path, ...], out: Path | None) -> None:
    """Make a run's summary and report again from its tables, or one report of several runs; no model is needed.

    \b
    Examples:
      zeroguide eval report runs/full
      zeroguide eval report runs/full runs/no-merge runs/crop --sweep sweeps/sigma2 --out report
    """
    from zgcore.evaluation.report import write_overview
    from zgcore.evaluation.runner import summarise_run

    _, shown = streams(False)
    if out is None and (len(runs) > 1 or sweeps):
        raise click.UsageError("a report of several runs needs --out")
    show([(run.name, summarise_run(run)) for run in runs], shown)
    if out is None:
        finish(runs[0], shown)
    else:
        line(shown, f"Look at {printable(str(write_overview(runs, out, sweeps)))}", "bold")


@click.command()
@click.argument("run_a", type=RunFolder)
@click.argument("run_b", type=RunFolder)
@click.option(
    "--out", "-o", type=OutFolder, metavar="DIR", help="Folder of the report.  [default: RUN_B/against-RUN_A]"
)
def compare(run_a: Path, run_b: Path, out: Path | None) -> None:
    """Differences of RUN_B to RUN_A with paired bootstrap p-values, and the images that changed most.

    \b
    Example:
      zeroguide eval compare runs/full runs/crop
    """
    from zgcore.evaluation.comparison import comparison_markdown, write_comparison

    _, shown = streams(False)
    for text in comparison_markdown(run_a, run_b).splitlines():
        line(shown, printable(text))
    page = write_comparison(run_a, run_b, out or run_b / f"against-{run_a.resolve().name}")
    line(shown, f"Look at {printable(str(page))}", "bold")


@click.command()
@click.argument("run", type=RunFolder)
@click.option(
    "--scores",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="scores.csv of a study that rated reassigned labels: image, segment, method, score (0 to 3).",
)
@click.option(
    "--by",
    type=OneOf(("st", "tt")),
    default="st",
    show_default=True,
    help="Which reassignment's labels were rated: by the segment (st) or by its text (tt).",
)
@click.option("--method", metavar="NAME", help="What the run is called there.  [default: its folder or predictor]")
def human(run: Path, scores: Path, by: str, method: str | None) -> None:
    """Add the figures that people verified, IoU_h>=k and recall_h>=k, to a run's summary and report.

    The scores are kept in RUN, so later reports have these figures too. Where raters saw a sample of the images, the
    figures are of those images.

    \b
    Example:
      zeroguide eval human runs/full --scores study/analysis/scores.csv
    """
    from ls_backend.eval_ratings import read_ratings
    from ls_backend.eval_table import human_table
    from zgcore.evaluation.human import human_notes
    from zgcore.evaluation.records import read_run, read_summary
    from zgcore.evaluation.runner import summarise_run

    _, shown = streams(False)
    if read_summary(run).get(by) is None:
        raise click.UsageError(f"{run} has no reassignment by {by}, so --scores cannot be of one; see --by")
    methods = (run.resolve().name, read_run(run).predictor) if method is None else (method,)
    summary = summarise_run(run, {by: read_ratings(scores, methods)})
    shown.print(human_table(summary))
    for note in human_notes(summary["human"]):
        line(shown, f"note: {printable(note)}", "yellow")
    finish(run, shown)


def finish(run: Path, shown: Console) -> None:
    """Write the report and say where it is."""
    from zgcore.evaluation.report import write_report

    line(shown, f"Look at {printable(str(write_report(run)))}", "bold")


def show(summaries: Sequence[tuple[str, dict[str, Any]]], shown: Console) -> None:
    """A table of the main figures, a row a run, and what a reader must know."""
    from ls_backend.eval_table import notes, table

    shown.print(table(summaries))
    for note in notes(summaries):
        line(shown, f"note: {printable(note)}", "yellow")
