"""Finding a data set's folders, lists and files, and saying in one line what is missing and how to get it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zgcore.errors import EvaluationError
from zgcore.evaluation.ground_truth import Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What a complete copy is. images: how many (a split can have been published twice). cure: how to get it."""

    images: tuple[int, ...]
    cure: str


def find(root: Path, candidates: Sequence[str], cure: str) -> Path:
    """The first that exists of root / candidate. EvaluationError if none does."""
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise EvaluationError(f"{root}: has no {' or '.join(candidates)}; {cure}")


def photos_in(folder: Path, suffixes: Collection[str], cure: str) -> dict[str, Path]:
    """Name without suffix -> file, of the files with one of the suffixes (in either case), by ascending name.

    Links are followed; hidden files are left out. No file is opened. EvaluationError where the folder cannot be listed
    or two files differ in their suffix only.
    """
    found: dict[str, Path] = {}
    for stem, suffix in _files(folder, cure):
        file = stem + suffix
        if suffix.lower() not in suffixes:
            continue
        if stem in found:
            raise EvaluationError(f"{folder}: holds both {found[stem].name} and {file}; remove or rename one")
        found[stem] = folder / file
    return found


def names_in(folder: Path, suffix: str, cure: str) -> set[str]:
    """Names, without it, of the files with exactly this suffix; otherwise as photos_in."""
    return {stem for stem, ending in _files(folder, cure) if ending == suffix}


def _files(folder: Path, cure: str) -> list[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            files = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    except OSError as error:
        raise EvaluationError(f"{folder}: cannot be listed ({error.strerror}); {cure}") from error
    return [os.path.splitext(file) for file in files]


def read_names(path: Path) -> list[str]:
    """Names, one a line; blank lines are skipped. EvaluationError for what is no plain file name, or stands twice."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error}); it must be a text file, one name a line") from error
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        check_name(name, f"{path}, line {number}")
        if name in found:
            raise EvaluationError(f"{path}, line {number}: {name} stands in line {found[name]} already; remove one")
        found[name] = number
    return list(found)


def check_name(name: str, where: str) -> str:
    """EvaluationError for a name that could lead out of its folder, or that no report could print."""
    if name.startswith(".") or not name.isprintable() or "/" in name or "\\" in name:
        raise EvaluationError(f"{where}: {name[:80]!r} is not a file's name; write names only, without folders")
    return name


def samples_of(
    names: Sequence[str], photos: dict[str, Path], truths: Collection[str], published: Published, where: Path
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The named images that have a photo and a truth, in the order of the names; and notes on what is not there.

    A part of a data set is of use (a laptop, a trial), so it opens, with a note that says what is missing; the note is
    logged, and reports show it. EvaluationError where no image is complete.
    """
    lacking = {
        "photo": next((name for name in names if name not in photos), None),
        "truth": next((name for name in names if name not in truths), None),
    }
    complete = tuple(Sample(name, photos[name]) for name in names if name in photos and name in truths)
    missing = " and ".join(f"the {what} of {name}" for what, name in lacking.items() if name is not None)
    if not complete:
        raise EvaluationError(f"{where}: no image has both photo and truth; {published.cure}")
    if len(complete) in published.images:
        return complete, ()
    note = f"{where}: {len(complete):,} of {' or '.join(f'{n:,}' for n in published.images)} images"
    note += f" (missing, first: {missing})" if missing else " (the list of images is another)"
    note += f"; figures are not those of the whole set; {published.cure}"
    log.warning("%s", note)
    return complete, (note,)
