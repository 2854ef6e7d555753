"""Sections of the report about the people: how far they agree, and what each of them did. Raters have numbers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ls_backend.studies.plots import caterpillar
from ls_backend.studies.report_figures import columns_of, plain_interval
from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Cell, Column, Plot, Section, Table, share, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAYS: Final = (("mean", "mean, rounded"), ("majority", "majority, ties divided"), ("dawid_skene", "Dawid and Skene"))
FEW: Final = 2  # raters a plot needs
MOST: Final = 2000  # raters in the page
LONG: Final = 15  # raters from which the table is one to scroll in
LEANING: Final = (
    "Each rater's mean difference to the others on the same questions, with its 99% interval; diamonds are remarked on."
)
NO_RULES: Final = (
    "No rules for leaving raters out were fixed before the answers came, so nobody is left out. Remarks are for people "
    "to look at."
)
REMARKS: Final = (
    "harsh, lenient: leans by half a score point or more. random: agrees with the others less than the usual rater, "
    "and no more than chance. one score: never gives another. long run: of one score, longer than chance gives."
)


def agreement_section(figures: Mapping[str, Any]) -> Section:
    """Alpha, and one score a question by three ways."""
    sets = columns_of(figures)
    rows = []
    for level in ("ordinal", "nominal"):
        cells = [_alpha(one, f"alpha_{level}") for _, one in sets]
        rows.append((Cell(f"{level}"), *cells))
    alphas = Table(
        "Krippendorff's alpha",
        (Column("scores taken as", number=False), *(Column(name) for name, _ in sets)),
        tuple(rows),
        "1 is perfect agreement, 0 what chance gives. Ordinal: 0 and 3 disagree more than 2 and 3 do. In brackets the "
        "95% interval of a bootstrap of whole images.",
    )
    one = figures["aggregated"]
    rows = [(Cell(words), *(share(one[way][str(score)]) for score in range(4))) for way, words in WAYS]
    share_of_answers = [share(figures["pooled"][str(score)]) for score in range(4)]
    together = Table(
        "One score for each question, %",
        (Column("by", number=False), *(Column(str(score)) for score in range(4))),
        (*rows, (Cell("all answers"), *share_of_answers)),
        f"{formats.plural(one['questions'], 'question')}, {formats.count(one['ties'])} without a most frequent score. "
        "Dawid and Skene's model weighs raters by how they err, found together with what is right.",
    )
    return Section("agreement", "Agreement", tables=(alphas, together))


def raters_section(figures: Mapping[str, Any]) -> Section:
    """What each rater did, whom the rules leave out, and who is worth a look."""
    statistics = figures["rater_statistics"]
    shown = [one for one in statistics if one["bias"] is not None]
    shown = sorted(shown[:MOST], key=lambda one: one["bias"])
    plots = []
    if len(shown) >= FEW:
        svg = caterpillar(
            [one["bias"] for one in shown], [one["bias_interval"] for one in shown],
            [bool({"harsh", "lenient"} & set(one["remarks"])) for one in shown],
            title="Leaning of the raters", x="score less the others' mean, in score points",
        )  # fmt: skip
        plots.append(Plot("raters", "Leaning of the raters", svg, LEANING))
    return Section("raters", "Raters", text=(_rules(figures),), tables=(_table(statistics),), plots=tuple(plots))


def _alpha(one: Mapping[str, Any], name: str) -> Cell:
    if one[name] is None:
        return Cell(formats.NOTHING, note=one[f"{name}_reason"])
    return Cell(formats.decimal(one[name], 3), one[name], _three(one[f"{name}_interval"]))


def _three(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"[{formats.decimal(bounds[0], 3)}, {formats.decimal(bounds[1], 3)}]"


def _rules(figures: Mapping[str, Any]) -> str:
    rules, excluded = figures["exclusion"]["rules"], figures["exclusion"]["excluded"]
    if rules is None:
        return NO_RULES
    words = {
        "min_gold_accuracy": "known answers right below {:.0%}",
        "min_repeat_consistency": "repeated questions answered alike below {:.0%}",
        "min_seconds": "median below {:g} s a question",
        "max_same_score": "one score in more than {:.0%} of answers",
    }
    active = "; ".join(text.format(rules[name]) for name, text in words.items() if rules[name] > 0)
    who = ", ".join(map(str, excluded[:50])) + (", ..." if len(excluded) > 50 else "")
    return (
        f"Rules fixed before the first answer: {active or 'none'} (with at least {rules['min_checks']} checks). They "
        f"leave out {formats.plural(len(excluded), 'rater')}{': ' + who if excluded else ''}. Remarks are for people "
        "to look at and leave out nobody."
    )


def _table(statistics: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("rater", number=False), Column("remarks", number=False), Column("left out", number=False),
        Column("answers"), Column("leaning", "mean difference to the others, score points, 99% interval"),
        Column("agreement", "correlation with the others' mean"),
        Column("known right, %", "answers to questions with known answers"),
        Column("alike, %", "repeated questions answered at most one apart"), Column("seconds", "median a question"),
        Column("commonest, %", "share of the rater's most frequent score"), Column("longest run", "of one score"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(one["rater"]), one["rater"]), Cell(", ".join(one["remarks"])), Cell("; ".join(one["reasons"])),
            whole(one["answers"]),
            Cell(formats.decimal(one["bias"]), one["bias"], plain_interval(one["bias_interval"])),
            Cell(formats.decimal(one["agreement"]), one["agreement"]),
            _checked(one["gold_accuracy"], one["gold"]), _checked(one["repeat_consistency"], one["repeats"]),
            Cell(formats.decimal(one["seconds"], 1), one["seconds"]), share(one["common"]),
            whole(one["longest_run"] or None),
        )
        for one in statistics[:MOST]
    )  # fmt: skip
    note = REMARKS if len(statistics) <= MOST else f"The first {MOST:,}; raters.csv has all. {REMARKS}"
    return Table("Raters by number", columns, rows, note, sortable=True, long=len(rows) > LONG)


def _checked(value: float | None, checks: int) -> Cell:
    return Cell(formats.NOTHING) if value is None else Cell(f"{100 * value:.0f}", value, f"of {checks}")
