"""The report of a study as one page: what raters said, how far they agree, which method they prefer, and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ls_backend.studies.report_figures import groups_section, methods_section, plain_interval, scores_section, sparse
from ls_backend.studies.report_human import human_section
from ls_backend.studies.report_raters import agreement_section, raters_section
from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Report, Tile, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zgcore.evaluation.report_model import Section

FOOTER: Final = "raters appear by number only; every figure is in figures.json too"


def study_report(figures: Mapping[str, Any], more: Sequence[Section] = ()) -> Report:
    """The page's contents, all from figures.json; `more` is what pictures are needed for."""
    sections = (
        scores_section(figures), methods_section(figures), agreement_section(figures), groups_section(figures),
        human_section(figures), raters_section(figures), *more,
    )  # fmt: skip
    return Report(
        title=short(figures["title"]),
        facts=_facts(figures),
        notes=_notes(figures),
        tiles=_tiles(figures),
        sections=tuple(section for section in sections if section),
        footer=FOOTER,
    )


def _facts(figures: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [
        (name, formats.count(figures[name])) for name in ("questions", "answers", "raters", "images") if figures[name]
    ]
    if figures["methods"]:
        facts.append(("methods", formats.count(len(figures["methods"]))))
    bootstrap = figures["bootstrap"]
    return (*facts, ("bootstrap", f"{formats.count(bootstrap['rounds'])} draws, seed {bootstrap['seed']}"))


def _tiles(figures: Mapping[str, Any]) -> tuple[Tile, ...]:
    shares = [
        Tile(
            words,
            formats.percent(figures["at_least"][least]) + "%",
            formats.interval(figures["at_least_interval"][least]),
        )
        for least, words in (
            ("3", "correct"),
            ("2", "correct, or too general or specific"),
            ("1", "at least partially correct"),
        )
    ]
    alpha = Tile(
        "agreement: Krippendorff's alpha, ordinal",
        formats.decimal(figures["alpha_ordinal"]),
        plain_interval(figures["alpha_ordinal_interval"]) or figures.get("alpha_ordinal_reason", ""),
    )
    mean = Tile("mean score, 0 to 3", formats.decimal(figures["mean"]), plain_interval(figures["mean_interval"]))
    return (*shares, mean, alpha)


def _notes(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know before any figure."""
    notes = [f"Left out: {formats.count(count)} {reason}." for reason, count in figures["dropped"].items()]
    if figures["answers_in_no_batch"]:
        notes.append(
            f"{formats.plural(figures['answers_in_no_batch'], 'answer')} left out of the average of batches: more than "
            f"the study asked for, or in a batch {sparse(figures)}. Agreement and the shares of all answers have them."
        )
    if figures["images"] is None:
        notes.append(
            "Images are not known, so intervals and tests draw questions: too narrow where questions share images."
        )
    excluded = figures["exclusion"]["excluded"]
    if excluded:
        notes.append(
            f"{formats.plural(len(excluded), 'rater')} left out by rules that were fixed before the first answer; "
            "figures with and without them stand side by side."
        )
    return tuple(notes)
