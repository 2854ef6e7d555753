"""scores.csv of a rating study, with columns image, segment, method and score -> points for a run's segments."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.evaluation.human import Ratings

MAX_BYTES: Final = 256 << 20
MAX_SCORE: Final = 3.0
_COLUMNS: Final = ("image", "segment", "score")


def read_ratings(path: Path, methods: tuple[str, ...]) -> Ratings:
    """(image, segment) -> points, 0 to 3. methods: what a run may be called there, the likeliest first; a file of one
    method alone, or without the column, is taken as it is.

    EvaluationError for a file that cannot be read, and where it has other methods only.
    """
    found: dict[str, Ratings] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EvaluationError(f"{path} is larger than {MAX_BYTES >> 20} MB; it should have a line a segment")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
                raise EvaluationError(f"{path} has no column {missing[0]}; `zeroguide study analyse` writes scores.csv")
            for row in rows:
                method = _name(row.get("method") or "")
                found.setdefault(method, {})[_name(row["image"]), int(row["segment"])] = _points(row["score"])
    except (OSError, UnicodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path}, line {rows.line_num}: {error}") from error
    for method in methods:
        if method in found:
            return found[method]
    if len(found) == 1:
        return next(iter(found.values()))
    known = ", ".join(sorted(found)) or "no row at all"
    raise EvaluationError(f"{path} has no scores of {methods[0]!r} (it has {known}); name one with --method")


def _name(text: str) -> str:
    """Names that look like a formula were written with a ' in front."""
    return text.removeprefix("'")


def _points(text: str) -> float:
    points = float(text)
    if not 0 <= points <= MAX_SCORE:
        raise ValueError(f"the score {text} is not between 0 and {MAX_SCORE:g}")
    return points
