"""COCO-Stuff 2017: 171 classes, 80 of things and 91 of stuff.

Photos: images.cocodataset.org/zips/val2017.zip (1 GB), Flickr's, each under its own Creative Commons licence. Labels:
github.com/nightrome/cocostuff, stuffthingmaps_trainval2017.zip (659 MB), CC BY 4.0.

DIR is the folder of this layout:
    val2017/000000000139.jpg                     or images/val2017; 5,000 photos
    stuffthingmaps/val2017/000000000139.png      or annotations/val2017; grey: category id - 1, so 0..181, 255 void
Eleven of the 182 ids are of categories that COCO never segmented (street sign, hat, ...): void, should they occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.class_lists import class_list
from zgcore.evaluation.datasets.coco_photos import PHOTOS, photos_of
from zgcore.evaluation.datasets.label_files import read_ids
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable, LabelledImages, ids_of, names
from zgcore.evaluation.datasets.layout import Published, find, names_in, samples_of

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED: Final = Published(
    (5000,),
    f"{PHOTOS}, and stuffthingmaps_trainval2017.zip (659 MB; addresses: github.com/nightrome/cocostuff) into "
    "stuffthingmaps/",
)
_CATEGORIES: Final = 182
_HINT: Final = "take val2017 of stuffthingmaps_trainval2017.zip (0..181 and 255)"


def open_coco_stuff(root: Path) -> LabelledImages:
    """The validation split."""
    photos = photos_of(root, PUBLISHED.cure)
    labels = find(root, ("stuffthingmaps/val2017", "annotations/val2017"), PUBLISHED.cure)
    truths = {name for name in names_in(labels, ".png", PUBLISHED.cure) if "_" not in name}  # converters' copies
    samples, notes = samples_of(sorted(photos.keys() | truths), photos, truths, PUBLISHED, root)
    classes = class_list("coco_stuff_things")
    table = IdTable.of({c.id - 1: i for i, c in enumerate(classes)}, _HINT, void=(*range(_CATEGORIES), 255))
    return LabelledImages(
        "coco171", *names(classes), samples, IdFiles(labels, ".png", table, read_ids), notes, ids_of(classes)
    )
