"""A plain folder of photos and masks, for anybody's own data.

    DIR/images/NAME.jpg      or PNG, WebP, TIFF, BMP, GIF, upright as viewers show them
    DIR/masks/NAME.png       indexed or grey, 8 or 16 bit: class ids; of any size, it is scaled to be scored (nearest)
    DIR/classes.txt          lines "id TAB name"
    DIR/classes_official.txt same lines, optional: names for tables, where those of classes.txt are for reading

Ids are 1 or more. 0, 255 and 65535 are void unless listed, and so is an id within the range of the list that is not in
it. An id called "background" is background (it counts against predictions that take in some of it, but is no class);
one called "unlabelled", "void" or "ignore" is void. 0 may have only such a name. An id beyond the list is an error: the
list and the masks do not belong together.

Every photo must have its mask, and every mask its photo: in one's own data a missing file is a slip, and the figures
would hide it. Use a subset for a part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.label_files import read_ids
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable, LabelledImages
from zgcore.evaluation.datasets.layout import check_name, find, names_in, photos_in
from zgcore.evaluation.ground_truth import Sample
from zgcore.images import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

BACKGROUND_NAME: Final = "background"
VOID_NAMES: Final = frozenset({"unlabelled", "unlabeled", "void", "ignore"})
_VOID: Final = frozenset({0, 255, 65535})
_MAX_ID: Final = 65535
_CURE: Final = "the folder must hold images/, masks/ and classes.txt"


def open_folder(root: Path) -> LabelledImages:
    """All its images, by name."""
    photos = photos_in(find(root, ("images",), _CURE), SUFFIXES, _CURE)
    masks = names_in(find(root, ("masks",), _CURE), ".png", _CURE)
    listed = read_classes(find(root, ("classes.txt",), _CURE))
    _check_pairs(root, photos, masks)
    special = VOID_NAMES | {BACKGROUND_NAME}
    classes = {id_: name for id_, name in sorted(listed.items()) if name.casefold() not in special}
    if not classes:
        raise EvaluationError(f"{root / 'classes.txt'}: lists no class; write one 'id TAB name' a line")
    official = {}
    if (root / "classes_official.txt").exists():
        official = read_classes(root / "classes_official.txt")
    samples = tuple(Sample(check_name(name, str(photo)), photo) for name, photo in photos.items())
    reader = IdFiles(root / "masks", ".png", _table(listed, list(classes)), read_ids)
    tables = tuple(official.get(id_, name) for id_, name in classes.items())
    return LabelledImages("folder", tuple(classes.values()), tables, samples, reader, ids=tuple(classes))


def read_classes(path: Path) -> dict[int, str]:
    """Id -> name. EvaluationError, with the line's number, for what is not a list of classes."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error}); it must be a text file of 'id TAB name'") from error
    found: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        id_, name = _class_of(line, f"{path}, line {number}")
        if id_ in found or name.casefold() in (known.casefold() for known in found.values()):
            raise EvaluationError(f"{path}, line {number}: {id_} or {name!r} is listed twice; remove one")
        found[id_] = name
    return found


def _class_of(line: str, where: str) -> tuple[int, str]:
    number, _, rest = line.partition("\t")
    name = rest.partition("\t")[0].strip()
    if not (number.strip().isascii() and number.strip().isdigit()) or not name or not name.isprintable():
        raise EvaluationError(f"{where}: {line[:80]!r} is not 'id TAB name'; write for example '7<TAB>traffic light'")
    id_ = int(number)
    if id_ > _MAX_ID:
        raise EvaluationError(f"{where}: id {id_} does not fit a mask; ids end at {_MAX_ID}")
    if id_ == 0 and name.casefold() not in VOID_NAMES | {BACKGROUND_NAME}:
        raise EvaluationError(f"{where}: id 0 means void and cannot be {name!r}; number the classes from 1")
    return id_, name


def _table(listed: dict[int, str], classes: list[int]) -> IdTable:
    background = [id_ for id_, name in listed.items() if name.casefold() == BACKGROUND_NAME]
    void = (set(range(max(listed) + 1)) | _VOID) - set(background) - set(classes)
    hint = f"add it to classes.txt, which ends at {max(listed)}, or mend the mask"
    return IdTable.of({id_: index for index, id_ in enumerate(classes)}, hint, void=void, background=background)


def _check_pairs(root: Path, photos: dict[str, Path], masks: set[str]) -> None:
    if not photos:
        raise EvaluationError(f"{root / 'images'}: holds no photo; {_CURE}")
    for lone, what, cure in (
        (photos.keys() - masks, "photo(s) without a mask", "add masks/{}.png or remove the photo"),
        (masks - photos.keys(), "mask(s) without a photo", "add images/{}.jpg or remove the mask"),
    ):
        if lone:
            raise EvaluationError(f"{root}: {len(lone):,} {what}, first {min(lone)}; {cure.format(min(lone))}")
