"""A vocabulary put to files: canonical names in, the raw text kept beside, so that another version can be put later.

The same steps as `zeroguide export --category text --vocabulary`: the same regions get the same names, the same are
left out, and one image at a time is in memory.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ls_backend.exports.categories import NamedItems, Naming, Settled, Survey, settled
from ls_backend.exports.choose import Choice
from ls_backend.exports.coco import Coco
from ls_backend.exports.inputs import open_input
from ls_backend.exports.labelstudio import item_pieces
from ls_backend.exports.losses import Losses
from ls_backend.exports.spool import Spool
from ls_backend.exports.table import cell
from ls_backend.exports.task_texts import TaskTexts
from ls_backend.files import atomic_write, make_folder
from ls_backend.vocab_inputs import LISTS, read_list
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from zgcore.vocabulary import Vocabulary


@dataclass
class Applied:
    """What was done. settled: with the names. losses: what could not be read, was left out, or has no place there."""

    settled: Settled = field(default_factory=Settled)
    losses: Losses = field(default_factory=Losses)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "segments": self.settled.regions,
            "dropped": self.settled.dropped,
            "unknown": dict(self.settled.unknown.most_common()),
            "ambiguous": dict(self.settled.ambiguous.most_common()),
            "losses": self.losses.document(),
        }


def apply(vocabulary: Vocabulary, source: Path, out: Path, tick: Callable[[], None]) -> Applied:
    """Write `source` with canonical names to `out`: COCO to COCO, tasks to tasks, a run to COCO, a list to CSV.

    tick: called once an image. Raises ConfigError where the source cannot be read, OutputError where `out` cannot be
    written.
    """
    applied = Applied()
    make_folder(out.absolute().parent)
    if source.suffix.lower() in LISTS and not source.is_dir():
        _write(out, iter([_list_csv(read_list(source), vocabulary, applied.settled)]))
        return applied
    opened = open_input(source)
    opened.vocabulary = vocabulary
    opened.info["vocabulary"] = vocabulary.version
    choice = Choice("both") if opened.kind == "tasks" else Choice()
    with Spool(out.absolute().parent) as spool:
        for item in opened.items(choice, applied.losses, lambda _: None):
            try:
                spool.append(item)
            except (ValueError, RecursionError) as error:  # nested too deep for JSON
                applied.losses.skip("tasks that cannot be read", f"task {item.task}: {error}")
            tick()
        if not spool.images:
            raise ConfigError(f"{source} holds no images: it is no COCO document, no list of tasks and no run")
        naming = Naming(spool, "text", vocabulary)
        applied.settled = settled(spool, naming, applied.losses)
        named = NamedItems(spool, naming)
        lost = applied.losses.start("labelstudio" if opened.kind == "tasks" else "coco")
        if opened.kind == "tasks":
            _write(out, item_pieces(TaskTexts(named, naming, lost=lost), lambda item: item.file_name, lost))
        else:
            _write(out, Coco(named, Survey(named, naming), opened.info, lost).pieces())
    return applied


def _list_csv(counts: Counter[str], vocabulary: Vocabulary, counted: Settled) -> str:
    out = io.StringIO()
    writer, guarded = csv.writer(out, lineterminator="\n"), Counter[str]()
    writer.writerow(["text", "count", "label", "known"])
    for text, count in counts.items():
        found = vocabulary.resolve(text)
        counted.see(text, found, count)
        row = (text, count, found.name, "yes" if found.known else "no")
        writer.writerow([cell(value, guarded) for value in row])
    return out.getvalue()


def _write(path: Path, pieces: Iterator[str]) -> None:
    with atomic_write(path) as handle:
        handle.writelines(piece.encode() for piece in pieces)
