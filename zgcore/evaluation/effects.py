"""Which of the paper's effects show up in our runs: each decided by the paired bootstrap, none by eye."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from zgcore.evaluation import formats
from zgcore.evaluation.paired import TGQ, differences, image_figures, iou_difference, matched, pair
from zgcore.evaluation.predictors import FULL, NO_MERGE
from zgcore.evaluation.report_model import Cell, Column, Table, share, word
from zgcore.evaluation.report_run import KIND_TITLES
from zgcore.evaluation.report_tables import MEASURES
from zgcore.evaluation.run_settings import extra_differences, merges
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


Found = tuple[Effect, "Difference", str]  # of which runs, in words
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
UNMERGED: Final = ", nothing merged"
WHY_UNMERGED: Final = (
    "Runs with and without a part of the method merge by one threshold, though leaving the part out moves the very "
    f"similarities that the threshold is for. Where {UNMERGED.removeprefix(', ')} is said, the candidates are compared "
    "as they are, so that the threshold has no part in it; the paper has no such figures."
)
APPEARS, REVERSED, OPEN = "appears", "the other way round", "not decided"


def verdict(difference: Difference) -> str:
    """From better - worse, at 5%: whether the effect is there."""
    if not difference.sure:
        return OPEN
    return APPEARS if difference.value > 0 else REVERSED


def effects_table(runs: Sequence[Run]) -> tuple[Table | None, list[str]]:
    """Every effect whose runs are there, and in sentences which of them show; no table without any."""
    pairs, unfair = fair_pairs(runs)
    found = [*_between(pairs), *(one for run in runs if run.info.predictor == FULL for one in _within(run))]
    if not found:
        return None, unfair
    columns = (
        Column("effect in the paper", number=False), Column("published", number=False),
        Column("without"), Column("with"), Column("difference"), Column("p"), Column("here", number=False),
        Column("runs", number=False),
    )  # fmt: skip
    note = (
        "Percent; brackets are 95% intervals of the difference, p-values are of the paired bootstrap over images. An "
        f"effect {APPEARS}, or is {REVERSED}, where p is below 0.05; else it is {OPEN}: too few images, or no effect. "
        "Nothing is corrected for the number of effects."
    )
    said = _said([(effect, one) for effect, one, _ in found])
    said += [WHY_UNMERGED] if any(pair.unmerged for pair in pairs) else []
    said += [*unfair, *([MINI] if runs[0].info.preset == "mini" else [])]
    return Table("Effects of the paper", columns, tuple(_row(*row) for row in found), note), said


@dataclass(frozen=True)
class FairPair:
    """Two runs that differ in the one part of the method that `lesser`'s predictor replaces. unmerged: none merges."""

    whole: Run
    lesser: Run

    @property
    def unmerged(self) -> bool:
        return not merges(self.whole.info)


def fair_pairs(runs: Sequence[Run]) -> tuple[list[FairPair], list[str]]:
    """For each ablation the paper's pair and the one without merging, as far as they are there, over the first run's
    images; and in sentences which ablations have none.
    """
    data = (runs[0].info.classes, runs[0].info.sample_digest)
    here = [run for run in runs if (run.info.classes, run.info.sample_digest) == data]
    wholes = [run for run in here if run.info.predictor in (FULL, NO_MERGE)]
    found, unfair = [], []
    for predictor in dict.fromkeys(effect.worse for effect in EFFECTS):
        pairs = [FairPair(whole, run) for run in here if run.info.predictor == predictor
                 for whole in wholes if whole is not run]  # fmt: skip
        fair = [pair for pair in pairs if not extra_differences(pair.whole.info, pair.lesser.info)]
        with_merging = [pair for pair in fair if pair.whole.info.predictor == FULL and not pair.unmerged]
        without = [pair for pair in fair if pair.unmerged and predictor != NO_MERGE]
        found += [*with_merging[:1], *without[:1]]
        if pairs and not fair:
            whole, lesser = pairs[0].whole, pairs[0].lesser
            more = ", ".join(extra_differences(whole.info, lesser.info))
            unfair.append(
                f"{whole.name} and {lesser.name} differ in more than one part of the method ({more}): no effect is "
                "read from them."
            )
    return found, unfair


def _between(pairs: Sequence[FairPair]) -> list[Found]:
    """Effects that take two runs, in the order of EFFECTS, what is without merging behind what is with it."""
    measured = [(each, differences(pair(each.lesser, each.whole))) for each in pairs]
    found = []
    for effect in EFFECTS:
        for each, known in measured:
            if each.lesser.info.predictor != effect.worse:
                continue
            named = _unmerged(effect) if each.unmerged else effect
            told = f"{each.lesser.name} → {each.whole.name}"
            wanted = (one for one in known if (one.kind, one.name) == (effect.kind, effect.figure))
            found += [(named, one, told) for one in wanted]
    return found


def _unmerged(effect: Effect) -> Effect:
    return replace(effect, claim=effect.claim + UNMERGED, published=formats.NOTHING)


def _within(run: Run) -> list[Found]:
    """Effects of thresholds and of the two reassignments, on one run's segments."""
    if TT not in run.kinds:
        return []
    usual = image_figures(run, TT)
    found = [(THRESHOLD, iou_difference(TT, *matched(image_figures(run, TT, 0.0), usual)), run.name)]
    if ST in run.kinds:
        found.append((ST_OVER_TT, iou_difference(ST, *matched(usual, image_figures(run, ST))), run.name))
    return found


def _row(effect: Effect, one: Difference, told: str) -> tuple[Cell, ...]:
    return (
        word(effect.claim, note=_figure_name(effect)),
        word(effect.published, soft=True),
        share(one.a),
        share(one.b),
        share(one.value, (one.low, one.high), signed=True),
        Cell(formats.p_value(one.p), one.p),
        word(verdict(one), bold=verdict(one) == APPEARS),
        word(told),
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
