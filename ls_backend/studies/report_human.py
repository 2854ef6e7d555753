"""The section on human verification: IoU and recall of segments whose reassigned label people approved of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Cell, Column, Section, Table, share, whole, word

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final = {"st": "ST", "tt": "TT", "lexical": "lexical"}


def human_section(figures: Mapping[str, Any]) -> Section:
    """Nothing where the study did not score reassigned labels."""
    rows = []
    for method, one in (figures.get("human") or {}).items():
        if "reason" in one:
            rows.append((word(method), Cell(KINDS[one["kind"]]), *[Cell(formats.NOTHING)] * 5, word(one["reason"])))
            continue
        for least, found in sorted(one["least"].items()):
            rows.append(
                (
                    word(method), Cell(KINDS[one["kind"]]), Cell(f"h ≥ {least}", float(least)),
                    share(found["iou"], found["interval"]["iou"]), share(found["recall"], found["interval"]["recall"]),
                    whole(one["images"]), whole(one["unrated"]), Cell(""),
                )
            )  # fmt: skip
    columns = (
        Column("method", number=False), Column("by", "how labels were reassigned", number=False), Column("score"),
        Column("IoU, %"), Column("recall, %"), Column("images"),
        Column("unrated", "segments nobody rated, taken as wrong"), Column("", number=False),
    )  # fmt: skip
    table = Table(
        "Segments whose reassigned label reached a score",
        columns,
        tuple(rows),
        "Over the images with a rated segment; those where the run keeps none count too, with nothing found, if raters "
        "saw all others. The paper's: ST, IoU 14.2, 20.9, 22.7 and "
        "recall 13.2, 18.0, 19.4 for 3, 2 or more and 1 or more; TT, 11.0 and 9.8 for 1 or more. Segments nobody rated "
        "count as wrong, so with them figures are lower bounds.",
    )
    return Section("human", "Human verification", tables=(table,) if rows else ())
