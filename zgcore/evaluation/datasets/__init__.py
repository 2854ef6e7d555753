"""The data sets of the evaluation, from the folders people have them in.

A data set opens in a second or two whatever its size: names are listed and compared, no image and no mask is read.
What is missing is said in one line, with the address it is to be had from.

folder          your own: images/, masks/, classes.txt
voc             Pascal VOC 2012, 20 classes and background
pascal_context  Pascal Context, 59 or 459 classes
coco            COCO panoptic, 133 classes;  coco_stuff  COCO-Stuff, 171
ade             ADE20K, 150 classes
subsets         parts of a data set, by number, seed or list
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.ade import open_ade
from zgcore.evaluation.datasets.coco import open_coco
from zgcore.evaluation.datasets.coco_stuff import open_coco_stuff
from zgcore.evaluation.datasets.folder import open_folder
from zgcore.evaluation.datasets.labelled import LabelledImages
from zgcore.evaluation.datasets.pascal_context import open_pascal_context
from zgcore.evaluation.datasets.subsets import PAPER, subset
from zgcore.evaluation.datasets.voc import open_voc

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "PAPER", "LabelledImages", "open_data_set", "subset"]

KINDS: Final[dict[str, Callable[[Path], LabelledImages]]] = {
    "folder": open_folder,
    "voc": open_voc,
    "pc59": partial(open_pascal_context, which=59),
    "pc459": partial(open_pascal_context, which=459),
    "coco": open_coco,
    "coco171": open_coco_stuff,
    "ade": open_ade,
}


def open_data_set(spec: str) -> LabelledImages:
    """KIND:DIR -> the data set (benchmarks: the validation split). KIND: one of KINDS.

    Raises EvaluationError where the folder is not that data set, naming what is missing and how to get it. A copy that
    lacks some images opens, with a note; see `LabelledImages.notes`.
    """
    kind, colon, folder = spec.partition(":")
    if kind not in KINDS or not colon or not folder:
        near = get_close_matches(kind, KINDS, n=1)
        meant = f" (did you mean {near[0]}:DIR?)" if near and kind not in KINDS else ""
        raise EvaluationError(f"data set {spec!r} is not known{meant}; give {', '.join(f'{k}:DIR' for k in KINDS)}")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise EvaluationError(f"{spec}: there is no folder {root}; check the spelling")
    return KINDS[kind](root)
