"""scores.csv of a rating study, with columns image, segment, method and score -> points for a run's segments."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from ls_backend.studies.answers import safe_cell
from zgcore.errors import EvaluationError
from zgcore.evaluation.human import MOST

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.evaluation.human import Ratings

MAX_BYTES: Final = 256 << 20
_COLUMNS: Final = ("image", "segment", "score")

_Points = dict[tuple[str, int], float]


def read_ratings(path: Path, methods: tuple[str, ...]) -> Ratings:
    """(image, segment) -> points, 0 to 3. methods: what a run may be called there, the likeliest first; a file that
    names no method is taken as it is.

    EvaluationError for a file that cannot be read, that scores a segment twice, and that has other methods only.
    """
    found = _read(path)
    for method in (*methods, *([""] if set(found) == {""} else [])):
        if method in found:
            return found[method]
    known = ", ".join(sorted(filter(None, found))) or "no row at all"
    one = next(iter(found)) if len(found) == 1 else "NAME"
    cure = f"if they are of this run, name their method: --method {one!r}" if found else "is it the right file?"
    raise EvaluationError(f"{path} has no scores of {methods[0]!r} (it has {known}); {cure}")


def _read(path: Path) -> dict[str, _Points]:
    """By method."""
    found: dict[str, _Points] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EvaluationError(f"{path} is larger than {MAX_BYTES >> 20} MB; it should have a line a segment")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
                raise EvaluationError(f"{path} has no column {missing[0]}; `zeroguide study analyse` writes scores.csv")
            for row in rows:
                points = found.setdefault(_name(row.get("method") or ""), {})
                segment = _name(row["image"] or ""), int(row["segment"])
                if segment in points:
                    raise ValueError(f"segment {segment[1]} of {segment[0]!r} has a score already; leave one of them")
                points[segment] = _points(row["score"])
    except (OSError, UnicodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path}, line {rows.line_num}: {error}") from error
    return found


def _name(text: str) -> str:
    """As it was: names that look like a formula were written with a ' in front."""
    bare = text.removeprefix("'")
    return bare if safe_cell(bare) == text else text


def _points(text: str) -> float:
    points = float(text)
    if not 0 <= points <= MOST:
        raise ValueError(f"the score {text} is not between 0 and {MOST:g}")
    return points
