"""`zeroguide study analyse`: answers in, figures and a page out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ls_backend.cli_report import line, printable, streams
from ls_backend.studies.intervals import ROUNDS

if TYPE_CHECKING:
    from rich.console import Console

    from ls_backend.studies.answers import AnswerTable

FOLDER = "analysis"
BAD_SHOWN = 5


@click.command()
@click.argument("study", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CSV",
    help="A table of answers, in place of the study's own answers.csv; enough without a study.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the results.  [default: STUDY/analysis, or analysis beside the table]",
)
@click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be used, and count them.")
@click.option(
    "--rounds", type=click.IntRange(100, 100_000), default=ROUNDS, show_default=True, help="Draws of the bootstrap."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all draws.")
@click.option("--json", "as_json", is_flag=True, help="Print figures.json; everything else goes to stderr.")
def analyse(
    study: Path | None, answers: Path | None, out: Path | None, skip_bad: bool, rounds: int, seed: int, as_json: bool
) -> int:
    """Analyse the answers of a rating study.

    STUDY is a folder of `zeroguide study create` whose answers were collected. A table from
    anywhere does too: a CSV with the columns rater, question and score (0 to 3), and, as far
    as they are known, method, image, segment, label, seconds, answered_at, kind (rated, gold,
    repeat), expected and of.

    \b
    Examples:
      zeroguide study analyse rating-study
      zeroguide study analyse --answers answers.csv --out results

    \b
    The results in DIR:
      index.html     page to look at: tables, plots, pictures at every score
      figures.json   every figure: distribution, alpha_ordinal, alpha_nominal, methods, ...
      scores.csv     one score a question, as `zeroguide eval human` reads it; of the
                     raters whom the rules keep
      raters.csv     what each rater did; raters have numbers only

    Scores are counted as in the paper: each batch of raters (the first answer to each
    question, the second, the third) by itself, then the average of the batches. A batch with
    under half the answers of the largest is in no average; `pooled` has all answers. Intervals
    draw whole images. The rules that leave raters out are those of the study's manifest;
    results are given with and without.

    A table may have rows without a score (a blank cell, NA, nan, *): missing ratings, which
    are counted and left out. Rows with the same question but another method, image or segment
    are different questions.
    """
    from ls_backend.studies.analysis_files import PAGE, analyse_study

    if study is None and answers is None:
        raise click.UsageError("name a study, or a table with --answers")
    folder = out or (study or answers.parent) / FOLDER  # type: ignore[union-attr]
    progress, summary = streams(as_json)
    figures, table = analyse_study(
        study,
        answers,
        folder,
        skip_bad=skip_bad,
        rounds=rounds,
        seed=seed,
        tell=lambda what: line(progress, f"... {what}"),
    )
    if as_json:
        click.echo(json.dumps(figures, allow_nan=False, ensure_ascii=False))
    show(figures, table, summary)
    line(summary, f"Look at {printable(str(folder / PAGE))}", "bold")
    return 0


def show(figures: dict[str, Any], table: AnswerTable, to: Console) -> None:
    """The main figures for people."""
    from dataclasses import replace

    from ls_backend.studies.report import study_report
    from zgcore.evaluation.report_markdown import to_markdown

    report = study_report(figures)
    wanted = tuple(section for section in report.sections if section.key in ("scores", "agreement"))
    to.print(to_markdown(replace(report, sections=wanted)), markup=False, soft_wrap=True)
    for number, why in table.bad[:BAD_SHOWN]:
        line(to, f"left out: line {number}: {printable(why)}", "yellow")
    if table.skipped > BAD_SHOWN:
        line(to, f"... and {table.skipped - min(BAD_SHOWN, len(table.bad))} more rows that cannot be used", "yellow")
