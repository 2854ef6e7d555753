"""From answers to a folder: figures.json, index.html, scores.csv, raters.csv."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ls_backend.files import make_folder
from ls_backend.studies import distribution
from ls_backend.studies.agreement import score_table
from ls_backend.studies.analyse import Analysis, analyse, figures_of, write_figures, write_raters, write_scores
from ls_backend.studies.answers import read_answers
from ls_backend.studies.human import human_figures
from ls_backend.studies.manifest import load_study
from ls_backend.studies.ratings import ratings_of, study_facts
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ls_backend.studies.answers import AnswerTable
    from ls_backend.studies.manifest import Study

FIGURES, PAGE, SCORES, RATERS = "figures.json", "index.html", "scores.csv", "raters.csv"
PACKAGES: Final = {"krippendorff": "krippendorff", "crowdkit": "crowd-kit", "matplotlib": "matplotlib"}


def analyse_study(
    root: Path | None,
    answers: Path | None,
    out: Path,
    *,
    skip_bad: bool,
    rounds: int,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], AnswerTable]:
    """Analyse a study's answers, or a table of answers alone, and write everything into `out`. Returns the figures.

    root: of the study, None for a table alone. answers: the table; None for the study's own. StudyError where neither
    can be used, or a package of the extra `study` is missing; OutputError where `out` cannot be written.
    """
    require_packages()
    make_folder(out)
    study = None if root is None else load_study(root)
    table = read_answers(_answers(study, answers), skip_bad=skip_bad)
    tell(f"{len(table.answers):,} answers")
    ratings = ratings_of(
        table.answers, None if study is None else study_facts(study), bad=table.skipped, missing=table.missing
    )
    found = analyse(
        ratings,
        title=f"Rating study: {_answers(study, answers).name}" if study is None else study.settings.title,
        rules=None if study is None else study.settings.rules,
        quota=None if study is None else study.settings.raters,
        rounds=rounds,
        seed=seed,
        tell=tell,
    )
    figures = figures_of(found)
    if study is not None:
        tell("human verification")
        figures["human"] = human_figures(study, found)
    write_all(found, figures, study, out, tell)
    return figures, table


def write_all(
    found: Analysis, figures: dict[str, Any], study: Study | None, out: Path, tell: Callable[[str], None]
) -> None:
    """The four files, each whole or not there."""
    from ls_backend.studies.report import study_report
    from ls_backend.studies.report_gallery import gallery_section
    from zgcore.evaluation.report_html import write_html

    tell("files")
    write_figures(out / FIGURES, figures)
    write_scores(out / SCORES, found.ratings, found.kept)
    write_raters(out / RATERS, figures["rater_statistics"])
    more = []
    if study is not None:
        tell("pictures")
        ratings, rated = found.ratings, found.ratings.rated
        table = score_table(ratings.question[rated], ratings.score[rated], len(ratings.questions), distribution.SCORES)
        more.append(gallery_section(ratings, table, study.pictures, found.bootstrap.seed))
    write_html(out / PAGE, study_report(figures, more))


def require_packages() -> None:
    """StudyError that names the cure where the extra `study` is not installed."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise StudyError(f"the analysis needs {', '.join(missing)}: pip install 'zeroguide[study]'")


def _answers(study: Study | None, answers: Path | None) -> Path:
    if answers is not None:
        return answers
    if study is None:
        raise StudyError("name a study, or a table of answers with --answers")
    if not study.answers.is_file():
        raise StudyError(
            f"{study.answers} is not there; collect the answers first: zeroguide study collect {study.root}"
        )
    return study.answers
