"""Pascal Context: every pixel of VOC 2010's photos, in 459 classes, or in the 59 frequent ones.

Photos: host.robots.ox.ac.uk/pascal/VOC/voc2010, VOCtrainval_03-May-2010.tar (1.3 GB), as VOC's. Labels:
cs.stanford.edu/~roozbeh/pascal-context, trainval.tar.gz (31 MB); they come without a licence, for research.

DIR is the folder of VOC 2010, or one that holds it as VOCdevkit/VOC2010 or VOC2010:
    JPEGImages/2008_000002.jpg
    ImageSets/SegmentationContext/val.txt       5,104 names, as MMSegmentation's converter writes it; or else
    ImageSets/Main/val.txt                      5,105 names, VOC's own
and the labels, there or in DIR, in one of these forms:
    trainval/2008_000002.mat                    the official files: LabelMap, 1..459; for 59 and 459
    59_context_labels/2008_000002.png           the official PNG: 0, 1..59 as 59_labels.txt beside them numbers them,
                                                without that file in its known order (VOC's 20 first)
    SegmentationClassContext/2008_000002.png    MMSegmentation's: 0, 1..59 in the order of the 459
Or DIR is, or holds, pascal_ctx_d2 of the open-vocabulary systems: images/validation with annotations_ctx59/validation
(PNG, 0..58, 255 void) or annotations_ctx459/validation (TIFF, 0..458, 65535 void).

The 59 are found among the 459 by name, and have one order here whatever the files' is. Pixels of none of the 59 are
VOID, not background: each shows one of 400 other kinds of thing, often an indoor one ("pillow", "stove"), and a system
that names freely would lose for naming it rightly; those who publish 59 classes, rather than 60, leave them out too.
"unknown" stays one of the 459, as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from zgcore.class_lists import class_list
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.label_files import read_ids, read_label_map
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable, LabelledImages, ids_of, names
from zgcore.evaluation.datasets.layout import Published, find, names_in, photos_in, read_names, samples_of

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.class_lists import ListedClass

Which = Literal[59, 459]
PUBLISHED: Final = Published(
    (5105, 5104),
    "get VOCtrainval_03-May-2010.tar (1.3 GB) from http://host.robots.ox.ac.uk/pascal/VOC/voc2010/ and, into VOC2010, "
    "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz (31 MB)",
)
_SPLITS: Final = ("ImageSets/SegmentationContext/val.txt", "ImageSets/Main/val.txt")
_HINT: Final = "take the label files as published, not converted in another way"
_CLASSES: Final[dict[Which, tuple[ListedClass, ...]]] = {
    59: class_list("pascal_context_59"),
    459: class_list("pascal_context_459"),
}
_IN_59_LABELS: Final = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}  # its own spellings


@dataclass(frozen=True)
class _Found:
    """What a folder turned out to hold. listed: names of the split, in order."""

    listed: list[str]
    photos: Path
    truth: IdFiles


def open_pascal_context(root: Path, which: Which) -> LabelledImages:
    """The validation split, with 59 or 459 classes, in the order of the 459."""
    found = _detectron(root, which) or _devkit(root, which)
    photos = photos_in(found.photos, {".jpg"}, PUBLISHED.cure)
    truths = names_in(found.truth.folder, found.truth.suffix, PUBLISHED.cure)
    samples, notes = samples_of(found.listed, photos, truths, PUBLISHED, root)
    ids = ids_of(_CLASSES[459]) if which == 459 else ()  # the 59 are numbered in two ways
    return LabelledImages(f"pc{which}", *names(_CLASSES[which]), samples, found.truth, notes, ids)


def _detectron(root: Path, which: Which) -> _Found | None:
    for base in (root, root / "pascal_ctx_d2"):
        photos, labels = base / "images/validation", base / f"annotations_ctx{which}/validation"
        if photos.is_dir() and labels.is_dir():
            suffix, void = {59: (".png", 255), 459: (".tif", 65535)}[which]
            table = IdTable.of({index: index for index in range(which)}, _HINT, void=(void,))
            listed = sorted(
                names_in(labels, suffix, PUBLISHED.cure) | photos_in(photos, {".jpg"}, PUBLISHED.cure).keys()
            )
            return _Found(listed, photos, IdFiles(labels, suffix, table, read_ids))
    return None


def _devkit(root: Path, which: Which) -> _Found:
    photos = find(root, ("JPEGImages", "VOCdevkit/VOC2010/JPEGImages", "VOC2010/JPEGImages"), PUBLISHED.cure)
    listed = read_names(find(photos.parent, _SPLITS, PUBLISHED.cure))
    forms = ("trainval", "59_context_labels", "SegmentationClassContext") if which == 59 else ("trainval",)
    for form in forms:
        for place in (photos.parent / form, root / form):
            if place.is_dir():
                return _Found(listed, photos, _truth(place, which))
    raise EvaluationError(f"{photos.parent}: has no {' or '.join(forms)}; {PUBLISHED.cure}")


def _truth(folder: Path, which: Which) -> IdFiles:
    index = {c.official: i for i, c in enumerate(_CLASSES[which])}
    if folder.name == "trainval":
        listed = class_list("pascal_context_459")
        others = (0, *(c.id for c in listed if c.official not in index))
        table = IdTable.of({c.id: index[c.official] for c in listed if c.official in index}, _HINT, void=others)
        return IdFiles(folder, ".mat", table, read_label_map)
    order = _order_of(folder) if folder.name == "59_context_labels" else _ids("pascal_context_59")
    table = IdTable.of({id_: index[name] for name, id_ in order.items()}, _HINT, void=(0, 255))
    return IdFiles(folder, ".png", table, read_ids)


def _ids(name: str) -> dict[str, int]:
    return {c.official: c.id for c in class_list(name)}


def _order_of(folder: Path) -> dict[str, int]:
    """Name -> id by 59_labels.txt ("1: aeroplane" lines) in or beside the folder, else as it is known to be."""
    known = _ids("pascal_context_59_fcn_order")
    path = next((p for p in (folder / "59_labels.txt", folder.parent / "59_labels.txt") if p.is_file()), None)
    if path is None:
        return known
    order: dict[str, int] = {}
    try:
        for line in path.read_text("utf-8-sig").splitlines():
            number, _, name = line.partition(":")
            name = name.strip().replace(" ", "")
            if name and int(number) > 0:
                order[_IN_59_LABELS.get(name, name)] = int(number)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error}); its lines are '1: aeroplane'") from error
    if order.keys() != known.keys() or sorted(order.values()) != list(range(1, 60)):
        odd = min(order.keys() ^ known.keys(), default="a number")
        raise EvaluationError(f"{path}: is not the list of the 59 classes ({odd} is amiss); get it again, or remove it")
    return order
