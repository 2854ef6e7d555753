"""The results of a run (`zeroguide label`, `zeroguide prelabel`) as items."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ls_backend.exports import NumberedRecord, provenance, rle
from ls_backend.exports.items import ImageItem, Region, Result
from ls_backend.exports.names import reference_name
from ls_backend.protocol import mean_score
from ls_backend.record import ImageRecord, RecordError
from ls_backend.run_folder import common_folder, read_embeddings, relative_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.exports import Records
    from ls_backend.exports.losses import Losses
    from zgcore.vocabulary import Vocabulary


def record_item(entry: NumberedRecord) -> ImageItem:
    """One image's record as an item: its segments are the regions of one prediction."""
    record = entry.record
    regions = tuple(
        Region(
            id=f"segment{index}",
            result=0,
            rle=rle.Rle(record.height, record.width, segment.counts, segment.area, segment.bbox),
            texts=(segment.label,),
            score=segment.score,
            origin="prediction",
            node=segment.node,
        )
        for index, segment in enumerate(record.segments)
    )
    score = mean_score((segment.score, segment.area) for segment in record.segments)
    return ImageItem(
        number=entry.number,
        file_name=entry.file_name,
        height=record.height,
        width=record.width,
        position=entry.number - 1,
        results=(Result("prediction", model_version=record.stamp.model_version, score=score),),
        regions=regions,
        path=record.source.path,
    )


@dataclass(frozen=True)
class RecordItems:
    """Records as items."""

    records: Records

    def __iter__(self) -> Iterator[ImageItem]:
        return map(record_item, self.records)


def is_run(folder: Path) -> bool:
    """True for a folder that a run has written."""
    return (folder / "results").is_dir()


def run_items(
    folder: Path, losses: Losses, info: dict[str, Any], vocabulary: Vocabulary | None = None
) -> Iterator[ImageItem]:
    """The images of a run in the order of their paths; failed ones and damaged records are counted in `losses`.

    info: gets what made the results, where that is one and the same thing. vocabulary: names the texts, ambiguous ones
    by the segments' embeddings. The folder is only read.
    """
    names = sorted((folder / "results").glob("*.json"))
    paths: dict[Path, str] = {}
    stamps = set()
    for name in names:
        record = _load(name)
        if record is None:
            losses.skip("records that are damaged", name.name)
        else:
            paths[name] = record.source.path
            stamps.add(record.stamp)
    if len(stamps) == 1:
        info.update(provenance(*stamps))
    local = [Path(path) for path in paths.values() if os.path.isabs(path)]
    root = common_folder(local) if local else Path()
    for number, name in enumerate(sorted(paths, key=lambda name: (paths[name], name)), start=1):
        record, path = _load(name), paths[name]
        if record is None or record.error is not None:
            losses.skip("images that failed in the run", f"{path}: {record.error if record else 'gone'}")
            continue
        file_name = relative_name(Path(path), root) if os.path.isabs(path) else reference_name(path)
        try:
            item = _checked(record_item(NumberedRecord(number, file_name, record)))
        except ValueError as error:
            losses.skip("records that are damaged", f"{name.name}: {error}")
            continue
        yield item if vocabulary is None else _named(item, read_embeddings(name.with_suffix(".npz")), vocabulary)


def _checked(item: ImageItem) -> ImageItem:
    """The item with run lengths that were read and not trusted. ValueError where they are none of its image."""
    masks = (rle.read(region.rle.counts, item.height, item.width) for region in item.regions)
    return replace(
        item, regions=tuple(replace(region, rle=mask) for region, mask in zip(item.regions, masks, strict=True))
    )


def _named(item: ImageItem, embeddings: NDArray[np.float32] | None, vocabulary: Vocabulary) -> ImageItem:
    """The item with each text's canonical name. embeddings: (n, d), or None where they are lost."""
    if embeddings is None or len(embeddings) != len(item.regions):
        return item
    rows = zip(item.regions, embeddings, strict=True)
    named = (replace(region, meaning=vocabulary.canonical(region.caption, row)) for region, row in rows)
    return replace(item, regions=tuple(named))


def _load(path: Path) -> ImageRecord | None:
    try:
        return ImageRecord.from_json(path.read_bytes())
    except (OSError, RecordError):
        return None
