"""The tables of a report, in the paper's form, the published figures beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation import formats, published
from zgcore.evaluation.report_model import Cell, Column, Table, Tile, share, whole, word
from zgcore.evaluation.report_model import published as printed
from zgcore.evaluation.report_run import KIND_TITLES
from zgcore.evaluation.run_settings import set_apart
from zgcore.evaluation.scored import LEXICAL, ST, TT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.report_run import Run

MEASURES: Final = {
    "iou": ("IoU", "mean over the classes of an image, then over images, as the paper has it"),
    "recall": ("recall", "share of an image's true classes found with IoU above 0.5, mean over images"),
    "iou_dataset": ("data-set mIoU", "intersections and unions summed over images, mean over classes: the usual mIoU"),
    "recall_pooled": ("pooled recall", "share of all true classes of all images found with IoU above 0.5"),
    "pixel_accuracy": ("pixel accuracy", "share of labelled pixels that got their class"),
}


def tiles(run: Run) -> tuple[Tile, ...]:
    """The headline figures with their intervals."""
    found = [
        Tile(f"{KIND_TITLES[kind]} {MEASURES[name][0]}, %", formats.percent(run.figure(kind, name)),
             f"95% {formats.interval(run.bounds(kind, name))}")
        for kind in run.kinds for name in ("iou", "recall")
    ]  # fmt: skip
    if run.summary.get("tgq") is not None:
        bounds = formats.interval(run.summary.get("tgq_interval"))
        note = f"95% {bounds}, {formats.plural(int(run.summary['tgq_masks']), 'true mask')}"
        found.append(Tile("text generation quality, %", formats.percent(run.summary["tgq"]), note))
    return tuple(found)


def data_set_table(runs: Sequence[Run]) -> Table:
    """Table 1: IoU and recall by both reassignments; what the paper has for the same data, or below for its own."""
    both = [(kind, name) for kind in (TT, ST, LEXICAL) for name in ("iou", "recall")]
    theirs = ((TT, "iou"), (TT, "recall"), (ST, "iou"))
    columns = (
        Column("data", number=False), Column("method", number=False), Column("images"),
        *(Column(f"{KIND_TITLES[kind]} {MEASURES[name][0]}", MEASURES[name][1]) for kind, name in both),
        *(Column(f"paper {KIND_TITLES[kind]} {MEASURES[name][0]}", "published, full method") for kind, name in theirs),
    )  # fmt: skip
    rows = [
        (
            word(run.data_title),
            word(run.name, note=run.info.preset or "", bold=True),
            whole(run.images),
            *(share(run.figure(*figure), run.bounds(*figure)) for figure in both),
            *(_main(run.info.data_set, *figure) for figure in theirs),
        )
        for run in runs
    ]
    ours = {run.info.data_set for run in runs}
    rows += [
        (word(title, soft=True), word("paper: full", soft=True), printed(None), *(printed(None) for _ in both),
         *(_main(data, *figure) for figure in theirs))
        for data, title in published.DATA_TITLES.items() if data not in ours
    ]  # fmt: skip
    note = (
        "Percent; brackets are 95% bootstrap intervals over images. Published: ST on the whole validation sets, TT on "
        "1,000 random images of PC-59."
    )
    return Table("Table 1. Data sets", columns, tuple(rows), note)


def _main(data: str, kind: str, name: str) -> Cell:
    """The paper's main result."""
    found = (figure for figure in published.MAIN if (figure.data, figure.by, figure.metric) == (data, kind, name))
    figure = next(found, None)
    return printed(figure.percent if figure else None)


def peer_table() -> Table:
    """Systems that are told the classes, as the paper cites them."""
    columns = (
        Column("system", number=False),
        *(Column(f"{title} IoU", "published") for title in published.DATA_TITLES.values()),
    )
    rows = tuple(
        (word(peer, soft=True), *(printed(by_data.get(data)) for data in published.DATA_TITLES))
        for peer, by_data in published.PEERS.items()
    )
    return Table("Table 1, systems that are given the class names", columns, rows, "Published, percent.")


def ablation_table(runs: Sequence[Run]) -> Table:
    """Table 3: what each part of the method brings."""
    ours = (
        Column("ST IoU", MEASURES["iou"][1]), Column("ST recall", MEASURES["recall"][1]),
        Column("TGQ", "share of labels of true masks that mean the true class (sentence cosine 0.5 or more)"),
        Column("TT IoU", MEASURES["iou"][1]),
    )  # fmt: skip
    theirs = (("pc59", "iou"), ("pc59", "recall"), ("pc59", "tgq"), ("pc459", "iou"), ("voc", "iou"))
    names = {"iou": "IoU", "recall": "recall", "tgq": "TGQ"}
    columns = (
        Column("predictor", number=False), *ours,
        *(Column(f"paper {published.DATA_TITLES[data]} {names[metric]}", "published, ST") for data, metric in theirs),
    )  # fmt: skip
    rows = []
    for run in runs:
        own = set_apart(run.info)  # the paper has no figure for other settings
        found = [None if own else published.find(run.info.predictor, data, ST, metric) for data, metric in theirs]
        rows.append((
            word(run.name, bold=run.info.predictor == "full" and not own),
            share(run.figure(ST, "iou"), run.bounds(ST, "iou")),
            share(run.figure(ST, "recall"), run.bounds(ST, "recall")),
            share(run.summary.get("tgq"), run.summary.get("tgq_interval")),
            share(run.figure(TT, "iou"), run.bounds(TT, "iou")),
            *(printed(figure.percent if figure else None) for figure in found),
        ))  # fmt: skip
    note = (
        "Percent. Published: PC-59 on its first 1,000 images. TGQ is of labels of true masks, which merging leaves as "
        "they are."
    )
    return Table("Table 3. Ablations", columns, tuple(rows), note)


def measures_table(runs: Sequence[Run]) -> Table:
    """Every way to average, and the best any labelling of the segments could reach."""
    columns = (
        Column("", number=False), *(Column(name, hint) for name, hint in MEASURES.values()),
        Column("threshold"), Column("segments kept", "share that reaches the threshold"),
    )  # fmt: skip
    rows = []
    for run in runs:
        before = f"{run.name}: " if len(runs) > 1 else ""
        rows += [
            (
                word(before + KIND_TITLES[kind]),
                *(share(run.figure(kind, name), run.bounds(kind, name)) for name in MEASURES),
                Cell(formats.decimal(run.figure(kind, "threshold")), run.figure(kind, "threshold")),
                share(run.figure(kind, "kept")),
            )
            for kind in run.kinds
        ]
        bound = run.summary.get("upper_bound") or {}
        cells = (share(bound.get(name), (bound.get("interval") or {}).get(name)) for name in MEASURES)
        rows.append((word(f"{before}upper bound"), *cells, Cell(""), Cell("")))
    note = (
        "Percent, with 95% bootstrap intervals over images. The upper bound gives each segment its majority class: "
        "what it lacks is for the masks to answer, what is lost below it for the labels."
    )
    return Table("Every average", columns, tuple(rows), note)


def threshold_table(run: Run, kind: str) -> Table | None:
    """IoU and recall at the paper's thresholds, its figures beside ours, and at higher ones while IoU is above 0."""
    curve = (run.summary.get(kind) or {}).get("curve")
    papers = {data: published.CURVES[kind, data] for data in ("pc59", "voc") if (kind, data) in published.CURVES}
    if not curve or not papers:
        return None
    listed = next(iter(papers.values())).thresholds
    further = [
        x for x in curve["similarity"] if x > listed[-1] and round(x * 20) % 2 == 0 and x <= last_threshold(curve)
    ]
    at = {round(float(x), 4): number for number, x in enumerate(curve["similarity"])}
    bounds = curve.get("interval") or {}
    rows = []
    for place, threshold in enumerate([*listed, *further]):
        number = at.get(round(threshold, 4))
        iou, recall = ((_at(curve, name, number), _at(bounds, name, number)) for name in ("iou", "recall"))
        rows.append((
            Cell(formats.decimal(threshold), threshold), share(*iou), share(*recall),
            *(printed(paper.percent[place] if place < len(listed) else None) for paper in papers.values()),
        ))  # fmt: skip
    columns = (Column("threshold"), Column("IoU"), Column("recall"),
               *(Column(f"paper {published.DATA_TITLES[data]} IoU", "published") for data in papers))  # fmt: skip
    own = kind == ST and run.info.preset not in (None, "paper", "base")
    note = "Cosines of this preset are of its own text space, not CLIP's: compare the curve's shape, not its place."
    return Table(f"{KIND_TITLES[kind]} by threshold", columns, tuple(rows), note if own else "")


def last_threshold(curve: dict[str, Any]) -> float:
    """The highest threshold at which IoU is above 0."""
    return max((x for x, iou in zip(curve["similarity"], curve["iou"], strict=True) if iou), default=0.0)


def _at(curve: dict[str, Any], name: str, number: int | None) -> Any:
    values = curve.get(name)
    return None if values is None or number is None else values[number]


def human_table(run: Run) -> Table:
    """IoU and recall of the segments whose class people found right, beside the paper's."""
    human = run.summary.get("human") or {}
    columns = (Column("", number=False), Column("IoU"), Column("recall"), Column("rated segments"),
               Column("paper PC-59 IoU", "published"), Column("paper PC-59 recall", "published"))  # fmt: skip
    rows = []
    for row in published.HUMAN:
        ours = human.get(row.by) or {}
        least = (ours.get("least") or {}).get(str(row.least)) or {}
        bounds = least.get("interval") or {}
        rows.append((
            word(f"{KIND_TITLES[row.by]}, score {row.least}{' or more' if row.least < 3 else ''}"),
            share(least.get("iou"), bounds.get("iou")), share(least.get("recall"), bounds.get("recall")),
            whole(ours.get("rated")), printed(row.iou), printed(row.recall),
        ))  # fmt: skip
    note = "Raters give a reassigned label 0 (incorrect) to 3 (correct)."
    if not human:
        note += " This run has no ratings yet: zeroguide study collects them, zeroguide eval human brings them here."
    return Table("Verified by people", columns, tuple(rows), note)
