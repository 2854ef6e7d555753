"""Everything that is computed of a study's answers, and the files it becomes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import zgcore
from ls_backend.files import atomic_write
from ls_backend.studies import figures as fig
from ls_backend.studies.answers import safe_cell
from ls_backend.studies.exclusion import excluded, kept_raters
from ls_backend.studies.intervals import ROUNDS, bootstrap_of
from ls_backend.studies.raters import RaterStatistics, rater_statistics, remarks
from ls_backend.studies.results import Results, batches_of, results_of
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ls_backend.studies.intervals import Bootstrap
    from ls_backend.studies.manifest import Rules
    from ls_backend.studies.ratings import Ratings

SCHEMA: Final = 1
MAX_METHODS: Final = 30  # 435 pairs


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of a study.

    everybody: the answers of all raters. cleaned: without those whom the rules leave out; None where there are no
    rules, and the same as `everybody` where they leave out nobody. statistics, remarks, broken: by rater.
    """

    title: str
    ratings: Ratings
    rules: Rules | None
    bootstrap: Bootstrap
    everybody: Results
    cleaned: Results | None
    statistics: RaterStatistics
    remarks: list[list[str]]
    broken: list[list[str]]

    @property
    def methods(self) -> tuple[str, ...]:
        return self.ratings.numbers("method")[0]

    @property
    def kept(self) -> Results:
        """Without raters whom rules leave out: what further figures are made from."""
        return self.cleaned or self.everybody

    @property
    def excluded(self) -> list[int]:
        """Numbers of the raters whom the rules leave out."""
        return sorted(n for n, reasons in zip(self.ratings.rater_numbers, self.broken, strict=True) if reasons)


def analyse(
    ratings: Ratings,
    *,
    title: str,
    rules: Rules | None = None,
    quota: int | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Compute all of it. quota: raters a question, where a manifest says so. tell: is told what is being done.

    StudyError where there is no rated answer, or more than `MAX_METHODS`.
    """
    if not ratings.rated.any():
        raise StudyError(f"{title}: there is no answer to a rated question, so there is nothing to analyse")
    if len(methods := ratings.numbers("method")[0]) > MAX_METHODS:
        raise StudyError(
            f"{title}: {len(methods):,} methods are more than {MAX_METHODS}, whose pairs could be compared; the column "
            "method should hold the name of what made the label"
        )
    tell("raters")
    statistics = rater_statistics(ratings)
    broken = [[] for _ in ratings.raters] if rules is None else excluded(statistics, rules)
    bootstrap = bootstrap_of(ratings.clusters, rounds, seed)
    turn = batches_of(ratings, quota)
    tell("scores, agreement and comparisons")
    everybody = results_of(ratings, np.ones(len(ratings.raters), dtype=np.bool_), turn, bootstrap)
    cleaned = None if rules is None else everybody
    if any(broken):
        tell("the same without the raters whom the rules leave out")
        cleaned = results_of(ratings, kept_raters(broken), turn, bootstrap)
    return Analysis(title, ratings, rules, bootstrap, everybody, cleaned, statistics, remarks(statistics), broken)


def figures_of(found: Analysis) -> dict[str, Any]:
    """The document of figures.json. On top what all raters say; `cleaned` has the same without those left out."""
    ratings = found.ratings
    images = np.unique(ratings.image[ratings.image >= 0])
    return {
        "schema": SCHEMA,
        "zeroguide": zgcore.__version__,
        "title": found.title,
        **_results(found, found.everybody),
        "images": len(images) or None,
        "cleaned": None if found.cleaned is None else _results(found, found.cleaned),
        "exclusion": {
            "rules": None if found.rules is None else vars(found.rules),
            "excluded": found.excluded,
        },
        "rater_statistics": fig.rater_figures(found.statistics, ratings.rater_numbers, found.remarks, found.broken),
        "dropped": dict(ratings.dropped),
        "averaging": fig.averaging_notes(),
        "bootstrap": fig.method_notes(found.bootstrap),
        "paper": fig.PAPER_STUDY,
    }


def _results(found: Analysis, results: Results) -> dict[str, Any]:
    return fig.result_figures(results, found.methods)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """figures.json; the same figures are the same bytes."""
    with atomic_write(path) as handle:
        handle.write(json.dumps(figures, allow_nan=False, indent=1, ensure_ascii=False).encode() + b"\n")


def write_scores(path: Path, ratings: Ratings, results: Results) -> None:
    """One row a rated question: its one score, as `zgcore.evaluation.human` reads it and in the other ways."""
    found = results.aggregated
    columns = ("image", "segment", "method", "score", "question", "label", "ratings", "majority", "dawid_skene")
    answers = np.bincount(ratings.question[ratings.rated & results.raters[ratings.rater]], minlength=len(ratings.facts))
    likely, ties, voted = found.posterior.argmax(axis=1), found.ties, found.majority.argmax(axis=1)
    rows = []
    for row, question in enumerate(found.question):
        fact = ratings.facts[question]
        majority = "" if ties[row] else voted[row]
        rows.append(
            (fact.image, fact.segment, fact.method, fig.number(found.mean[row]), ratings.questions[question],
             fact.label, answers[question], majority, likely[row])
        )  # fmt: skip
    _write_table(path, columns, rows)


def write_raters(path: Path, statistics: Sequence[dict[str, Any]]) -> None:
    """One row a rater, by number. statistics: as figures.json has them."""
    columns = tuple(name for name in statistics[0] if not name.endswith("_interval"))
    rows = ([";".join(v) if isinstance(v := one[name], list) else v for name in columns] for one in statistics)
    _write_table(path, columns, rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_write(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="replace", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        text.detach()
