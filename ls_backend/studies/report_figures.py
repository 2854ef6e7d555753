"""Sections of the report about what was said: scores, methods, sizes and kinds of labels. All from figures.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ls_backend.studies.label_kinds import KINDS
from ls_backend.studies.plots import NAMES, score_bars, spans
from ls_backend.studies.sampling import LARGE, MEDIUM, SIZES
from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Cell, Column, Plot, Section, Table, published, share, short, whole, word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCORE_WORDS: Final = (
    "incorrect", "partially correct", "correct, but too general or too specific", "correct"
)  # fmt: skip
PAPER_SIZE: Final = "23,076 questions, 429 raters"
SHOWN_METHODS: Final = 20  # in a plot
HOW_COMPARED: Final = (
    "How often the first method's label got the higher mean score on the same segment or image; where they share none, "
    "of any two questions. Permutation tests, two-sided; bold: below 0.05 after correction."
)
SIZE_NOTE: Final = f"Small: below {MEDIUM:.0%} of the image; large: from {LARGE:.0%}."
WITHIN: Final = {"segment": "segments", "image": "images", "none": "none: apart"}


def scores_section(figures: Mapping[str, Any]) -> Section:
    """The paper's table 2."""
    sets = columns_of(figures)
    paper = figures["paper"]["distribution"]
    rows = []
    for score in range(4):
        cells = [share(one["distribution"][str(score)], one["distribution_interval"][str(score)]) for _, one in sets]
        rows.append((Cell(str(score), score, SCORE_WORDS[score]), *cells, published(100 * paper[str(score)])))
    for least in (1, 2):
        cells = [share(one["at_least"][str(least)], one["at_least_interval"][str(least)]) for _, one in sets]
        paper_share = sum(value for score, value in paper.items() if int(score) >= least)
        rows.append((Cell(f"{least} or more", 4 + least), *cells, published(100 * paper_share)))
    means = [Cell(formats.decimal(one["mean"]), one["mean"], plain_interval(one["mean_interval"])) for _, one in sets]
    paper_mean = sum(int(score) * value for score, value in paper.items())
    rows.append((Cell("mean score", 7), *means, Cell(formats.decimal(paper_mean), paper_mean, soft=True)))
    table = Table(
        "How often each score was given, %",
        (Column("score", number=False), *(Column(name) for name, _ in sets), Column("the paper's study", PAPER_SIZE)),
        tuple(rows),
        "Each batch of raters by itself, then the average of the batches, as in the paper; a batch "
        f"{sparse(figures)} is in no average. In brackets the 95% interval of a bootstrap that draws whole images. The "
        "paper's figures are those it prints, of its own method, photos and raters.",
    )  # fmt: skip
    bars = [(name, _shares(one)) for name, one in sets] + [("the paper's study", list(paper.values()))]
    plot = Plot(
        "scores", "Scores", score_bars(bars, title="Scores"), "Shares of the scores; the numbers are in the table."
    )
    return Section("scores", "Scores", tables=(table, _batches(figures)), plots=(plot,))


def sparse(figures: Mapping[str, Any]) -> str:
    """Which batches are in no average, in words that follow "a batch"."""
    return f"with under {figures['averaging']['least_share_of_largest_batch']:.0%} of the answers of the largest"


def columns_of(figures: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The results to show side by side: of all raters, and, where rules leave out some, without those."""
    if figures["cleaned"] is None or not figures["exclusion"]["excluded"]:
        return [("all raters", figures)]
    return [("all raters", figures), ("without those left out", figures["cleaned"])]


def methods_section(figures: Mapping[str, Any]) -> Section:
    """Scores by method, and who wins; nothing where no method is known."""
    methods = figures["methods"]
    if not methods:
        return Section("methods", "Methods")
    tables = [
        table
        for name, one in columns_of(figures)
        for table in _distributions(f"Scores by method{_of(name, figures)}, %", "method", one["methods"])
    ]
    shown = list(methods.items())[:SHOWN_METHODS]
    plots = [_bars("methods", "Scores by method", shown)]
    if figures["comparisons"]:
        tables += [
            _comparisons(f"Pairs of methods{_of(name, figures)}", one["comparisons"], "" if place else HOW_COMPARED)
            for place, (name, one) in enumerate(columns_of(figures))
        ]
        plots.append(_wins(figures["comparisons"]))
    return Section("methods", "Methods", tables=tuple(tables), plots=tuple(plots))


def groups_section(figures: Mapping[str, Any]) -> Section:
    """By size of the segment and kind of label, as far as these are known."""
    parts = [
        (figures["by_size"], SIZES, "size", "Scores by size of the segment", SIZE_NOTE),
        (figures["by_label_kind"], KINDS, "label", "Scores by kind of label", ""),
    ]
    tables, plots = [], []
    for groups, order, head, title, note in parts:
        if groups:
            ordered = {name: groups[name] for name in sorted(groups, key=lambda name: _place(order, name))}
            tables += _distributions(f"{title}, %", head, ordered, note)
            plots.append(_bars(f"by-{head}", title, list(ordered.items())))
    return Section("groups", "Sizes and labels", tables=tuple(tables), plots=tuple(plots))


def plain_interval(bounds: Sequence[float] | None) -> str:
    """[1.36, 1.49], of plain numbers; "" without one."""
    return "" if bounds is None else f"[{formats.decimal(bounds[0])}, {formats.decimal(bounds[1])}]"


def _of(name: str, figures: Mapping[str, Any]) -> str:
    return f", {name}" if len(columns_of(figures)) > 1 else ""


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _shares(one: Mapping[str, Any]) -> list[float]:
    return [value or 0.0 for value in one["distribution"].values()]


def _place_word(number: int) -> str:
    return ("first", "second", "third")[number - 1] if number <= 3 else f"{number}th"


def _batches(figures: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            Cell(_place_word(number), number),
            whole(batch["answers"]),
            *(share(value) for value in batch["distribution"].values()),
        )
        for number, batch in enumerate(figures["batches"], 1)
    )
    return Table(
        "Each batch of raters, %",
        (Column("answer to a question", number=False), Column("answers"), *(Column(str(score)) for score in range(4))),
        rows,
        "The first answer to each question, the second, and so on: different people.",
    )  # fmt: skip


def _distributions(title: str, head: str, groups: Mapping[str, Mapping[str, Any]], note: str = "") -> list[Table]:
    """The four shares; and below them what adds them up. Two tables, since one would be too wide to read."""
    first = (Column(head, number=False), Column("answers"), Column("questions"))
    shares = [
        (word(name), whole(one["answers"]), whole(one["questions"]), *_score_cells(one)) for name, one in groups.items()
    ]
    sums = [(word(name), *_sum_cells(one)) for name, one in groups.items()]
    sortable, long = len(groups) > 2, len(groups) > SHOWN_METHODS
    columns = (*first, *(Column(str(score), NAMES[score]) for score in range(4)))
    more = (Column(head, number=False), Column("1 or more, %"), Column("2 or more, %"), Column("mean score"))
    alpha = (
        (Column("alpha", "Krippendorff's, ordinal"),) if any("alpha_ordinal" in one for one in groups.values()) else ()
    )
    return [
        Table(title, columns, tuple(shares), note, sortable, long),
        Table(f"{title.removesuffix(', %')}, summed up", (*more, *alpha), tuple(sums), "", sortable, long),
    ]


def _score_cells(one: Mapping[str, Any]) -> list[Cell]:
    return [share(one["distribution"][str(score)], one["distribution_interval"][str(score)]) for score in range(4)]


def _sum_cells(one: Mapping[str, Any]) -> list[Cell]:
    cells = [share(one["at_least"][str(least)], one["at_least_interval"][str(least)]) for least in (1, 2)]
    cells.append(Cell(formats.decimal(one["mean"]), one["mean"], plain_interval(one["mean_interval"])))
    if "alpha_ordinal" in one:
        value = one["alpha_ordinal"]
        cells.append(Cell(formats.decimal(value), value, plain_interval(one["alpha_ordinal_interval"])))
    return cells


def _comparisons(title: str, comparisons: Sequence[Mapping[str, Any]], note: str) -> Table:
    columns = (
        Column("method", number=False), Column("against", number=False), Column("wins, %", "ties are half a win"),
        Column("difference", "of mean scores, in score points"), Column("p"),
        Column("p, Holm", "corrected for all pairs"),
        Column("same", "what both methods were asked about", number=False), Column("images"),
    )  # fmt: skip
    rows = tuple(
        (
            word(one["method"]), word(one["other"]), share(one["win_rate"], one["win_rate_interval"]),
            Cell(formats.decimal(one["difference"]), one["difference"], plain_interval(one["difference_interval"])),
            Cell(formats.p_value(one["p"]), one["p"]),
            Cell(formats.p_value(one["p_holm"]), one["p_holm"], bold=one["p_holm"] < 0.05),
            Cell(WITHIN[one["paired_by"]]), whole(one["images"]),
        )
        for one in comparisons
    )  # fmt: skip
    return Table(title, columns, rows, note, sortable=len(rows) > 2, long=len(rows) > SHOWN_METHODS)


def _bars(name: str, title: str, groups: Sequence[tuple[str, Mapping[str, Any]]]) -> Plot:
    bars = [(short(group), _shares(one)) for group, one in groups]
    return Plot(name, title, score_bars(bars, title=title), "Shares of the scores, all raters.")


def _wins(comparisons: Sequence[Mapping[str, Any]]) -> Plot:
    rows = [
        (f"{short(one['method'])} : {short(one['other'])}", 100 * one["win_rate"], _percent(one["win_rate_interval"]))
        for one in comparisons[:SHOWN_METHODS]
    ]
    svg = spans(rows, title="Win rates", x="wins of the first method, %", mark=50, limits=(0, 100))
    return Plot("wins", "Win rates", svg, "How often the first method of a pair wins; 50% is no difference.")


def _percent(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (100 * bounds[0], 100 * bounds[1])
