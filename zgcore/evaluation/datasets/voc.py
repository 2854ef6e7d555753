"""Pascal VOC 2012, segmentation: 20 classes, and background.

From host.robots.ox.ac.uk/pascal/VOC/voc2012, VOCtrainval_11-May-2012.tar (2 GB). The photos are Flickr's, under its
terms of use; the annotations come without a licence, for research.

DIR is the folder of this layout, or one that holds it as VOCdevkit/VOC2012 or VOC2012:
    JPEGImages/2007_000033.jpg
    SegmentationClass/2007_000033.png      indexed: 0 background, 1..20, 255 void (borders, and what is hard to tell)
    ImageSets/Segmentation/val.txt         1,449 names
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.class_lists import class_list
from zgcore.evaluation.datasets.label_files import read_ids
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable, LabelledImages, ids_of, names
from zgcore.evaluation.datasets.layout import Published, find, names_in, photos_in, read_names, samples_of

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED: Final = Published(
    (1449,),
    "get VOCtrainval_11-May-2012.tar (2 GB) from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it there",
)
_HINT: Final = "take VOC's own SegmentationClass (0..20 and 255), not SegmentationObject or colours"


def open_voc(root: Path) -> LabelledImages:
    """The validation split. Background is BACKGROUND: VOC labels 20 kinds of things, and nothing else in the photo."""
    base = find(root, ("JPEGImages", "VOCdevkit/VOC2012/JPEGImages", "VOC2012/JPEGImages"), PUBLISHED.cure).parent
    labels = find(base, ("SegmentationClass",), PUBLISHED.cure)
    listed = read_names(find(base, ("ImageSets/Segmentation/val.txt",), PUBLISHED.cure))
    photos = photos_in(base / "JPEGImages", {".jpg"}, PUBLISHED.cure)
    samples, notes = samples_of(listed, photos, names_in(labels, ".png", PUBLISHED.cure), PUBLISHED, base)
    classes = class_list("voc")
    table = IdTable.of({c.id: i for i, c in enumerate(classes)}, _HINT, void=(255,), background=(0,))
    return LabelledImages(
        "voc", *names(classes), samples, IdFiles(labels, ".png", table, read_ids), notes, ids_of(classes)
    )
