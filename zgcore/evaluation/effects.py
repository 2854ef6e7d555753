"""Which of the paper's effects show up in our runs: each decided by the paired bootstrap, none by eye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zgcore.evaluation import formats
from zgcore.evaluation.paired import TGQ, differences, image_figures, iou_difference, matched, pair
from zgcore.evaluation.report_model import Cell, Column, Table, share, word
from zgcore.evaluation.report_run import KIND_TITLES
from zgcore.evaluation.report_tables import MEASURES
from zgcore.evaluation.scored import ST, TT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.paired import Difference
    from zgcore.evaluation.report_run import Run


@dataclass(frozen=True)
class Effect:
    """Something the paper shows: `better` has a higher figure than `worse`. published: what it prints of both."""

    claim: str
    better: str
    worse: str
    kind: str
    figure: str
    published: str


EFFECTS: Final = (
    Effect("Global subtraction raises IoU", "full", "no-subtraction", ST, "iou",
           "PC-59 14.5 → 17.5, PC-459 7.2 → 11.3; on VOC-20 it does not, 21.2 → 20.1"),
    Effect("Global subtraction improves labels", "full", "no-subtraction", TGQ, "tgq", "PC-59 11.8 → 19.0"),
    Effect("Masked attention beats cutting out", "full", "crop", ST, "iou",
           "PC-59 12.1 → 17.5, PC-459 5.4 → 11.3, VOC-20 14.0 → 20.1"),
    Effect("Masked attention finds more classes than cutting out", "full", "crop", ST, "recall", "PC-59 10.2 → 15.0"),
    Effect("Masked attention labels better than cutting out", "full", "crop", TGQ, "tgq", "PC-59 16.9 → 19.0"),
    Effect("Merging raises IoU", "full", "no-merge", ST, "iou",
           "PC-59 16.4 → 17.5, PC-459 10.2 → 11.3, VOC-20 18.3 → 20.1"),
    Effect("Merging finds more classes", "full", "no-merge", ST, "recall", "PC-59 11.8 → 15.0"),
)  # fmt: skip
THRESHOLD: Final = Effect("Dropping far labels raises IoU", "threshold 0.5", "threshold 0", TT, "iou",
                          "PC-59 8.1 → 11.4, VOC-20 11.2 → 27.3")  # fmt: skip
ST_OVER_TT: Final = Effect("ST scores above TT", ST, TT, ST, "iou",
                           "PC-59 11.2 → 19.6; on VOC-20 it does not, 27.3 → 20.1")  # fmt: skip
MINI: Final = (
    "Preset mini's image tower was taught through masked attention and global subtraction, as CLIP never was: what it "
    "loses without them is in part its training's doing. Its text tower is distilled from all-MiniLM-L6-v2, so that ST "
    "is close to TT where TT uses that model too."
)
APPEARS, REVERSED, OPEN = "appears", "the other way round", "not decided"


def verdict(difference: Difference) -> str:
    """From better - worse, at 5%: whether the effect is there."""
    if not difference.sure:
        return OPEN
    return APPEARS if difference.value > 0 else REVERSED


def effects_table(runs: Sequence[Run]) -> tuple[Table | None, list[str]]:
    """Every effect whose runs are there, and in sentences which of them show; no table without any."""
    found = [*_between(runs), *(pair for run in runs if run.info.predictor == "full" for pair in _within(run))]
    if not found:
        return None, []
    columns = (
        Column("effect in the paper", number=False), Column("published", number=False),
        Column("without"), Column("with"), Column("difference"), Column("p"), Column("here", number=False),
    )  # fmt: skip
    note = (
        "Percent; brackets are 95% intervals of the difference, p-values are of the paired bootstrap over images. An "
        f"effect {APPEARS}, or is {REVERSED}, where p is below 0.05; else it is {OPEN}: too few images, or no effect. "
        "Nothing is corrected for the number of effects."
    )
    rows = tuple(_row(effect, one) for effect, one in found)
    said = [*_said(found), MINI] if runs[0].info.preset == "mini" else _said(found)
    return Table("Effects of the paper", columns, rows, note), said


def _between(runs: Sequence[Run]) -> list[tuple[Effect, Difference]]:
    """Effects that take two runs, of those over the first one's images."""
    data = (runs[0].info.classes, runs[0].info.sample_digest)
    by_name = {run.info.predictor: run for run in runs if (run.info.classes, run.info.sample_digest) == data}
    known: dict[str, list[Difference]] = {}
    found = []
    for effect in EFFECTS:
        if effect.worse not in by_name or effect.better not in by_name:
            continue
        if effect.worse not in known:
            known[effect.worse] = differences(pair(by_name[effect.worse], by_name[effect.better]))
        wanted = (one for one in known[effect.worse] if (one.kind, one.name) == (effect.kind, effect.figure))
        found += [(effect, one) for one in wanted]
    return found


def _within(run: Run) -> list[tuple[Effect, Difference]]:
    """Effects of thresholds and of the two reassignments, on one run's segments."""
    if TT not in run.kinds:
        return []
    usual = image_figures(run, TT)
    found = [(THRESHOLD, iou_difference(TT, *matched(image_figures(run, TT, 0.0), usual)))]
    if ST in run.kinds:
        found.append((ST_OVER_TT, iou_difference(ST, *matched(usual, image_figures(run, ST)))))
    return found


def _row(effect: Effect, one: Difference) -> tuple[Cell, ...]:
    return (
        word(effect.claim, note=_figure_name(effect)),
        word(effect.published, soft=True),
        share(one.a),
        share(one.b),
        share(one.value, (one.low, one.high), signed=True),
        Cell(formats.p_value(one.p), one.p),
        word(verdict(one), bold=verdict(one) == APPEARS),
    )


def _figure_name(effect: Effect) -> str:
    if effect.kind == TGQ:
        return "TGQ"
    return f"{KIND_TITLES[effect.kind]} {MEASURES[effect.figure][0]}"


def _said(found: Sequence[tuple[Effect, Difference]]) -> list[str]:
    """One sentence a verdict, with the effects that have it."""
    sentences = []
    for answer, head in ((APPEARS, "These of the paper's effects appear here"),
                         (REVERSED, "These are the other way round here"),
                         (OPEN, "These are not decided by this many images, for or against")):  # fmt: skip
        named = [_briefly(effect, one) for effect, one in found if verdict(one) == answer]
        if named:
            sentences.append(f"{head}: {'; '.join(named)}.")
    return sentences


def _briefly(effect: Effect, one: Difference) -> str:
    change = formats.percent(one.value, signed=True)
    claim = effect.claim if effect.claim[1].isupper() else effect.claim[0].lower() + effect.claim[1:]
    return f"{claim} ({_figure_name(effect)} {change}, p {formats.p_value(one.p)})"
