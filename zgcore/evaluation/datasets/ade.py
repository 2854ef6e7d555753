"""ADE20K, scene parsing benchmark: 150 classes of things and stuff.

From sceneparsing.csail.mit.edu: data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip (1 GB). The photos
are for non-commercial research and education; the annotations and software are under BSD-3.

DIR is the folder of this layout, or one that holds it as ADEChallengeData2016:
    images/validation/ADE_val_00000001.jpg
    annotations/validation/ADE_val_00000001.png      grey: 0 other, 1..150; 2,000 of each
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.class_lists import class_list
from zgcore.evaluation.datasets.label_files import read_ids
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable, LabelledImages, ids_of, names
from zgcore.evaluation.datasets.layout import Published, find, names_in, photos_in, samples_of

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED: Final = Published(
    (2000,),
    "get http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip (1 GB) and unpack it there",
)
_HINT: Final = "take annotations/validation of ADEChallengeData2016 (0..150), not a converted or the full ADE20K"


def open_ade(root: Path) -> LabelledImages:
    """The validation split. Other is VOID, as in the benchmark: such pixels do show something, under another name."""
    folder = find(root, ("images/validation", "ADEChallengeData2016/images/validation"), PUBLISHED.cure)
    base = folder.parents[1]
    labels = find(base, ("annotations/validation",), PUBLISHED.cure)
    photos, truths = photos_in(folder, {".jpg"}, PUBLISHED.cure), names_in(labels, ".png", PUBLISHED.cure)
    samples, notes = samples_of(sorted(photos.keys() | truths), photos, truths, PUBLISHED, base)
    classes = class_list("ade")
    table = IdTable.of({c.id: i for i, c in enumerate(classes)}, _HINT, void=(0,))
    return LabelledImages(
        "ade", *names(classes), samples, IdFiles(labels, ".png", table, read_ids), notes, ids_of(classes)
    )
