"""People's points for a run's reassigned labels, kept in its folder: ratings.parquet, one row a rated segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.files import run_file
from zgcore.evaluation.human import MOST
from zgcore.evaluation.scored import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from zgcore.evaluation.human import Ratings

RATINGS: Final = "ratings.parquet"
_CURE: Final = "give the scores again with `zeroguide eval human`, or delete the file"


def write_ratings(run: Path, ratings: Mapping[str, Ratings]) -> None:
    """ratings: by kind of reassignment. EvaluationError where the folder cannot be written."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    rows = [
        {"kind": kind, "image": image, "segment": segment, "score": score}
        for kind, points in ratings.items()
        for (image, segment), score in points.items()
    ]
    with run_file(run / RATINGS) as file:
        pq.write_table(pa.Table.from_pylist(rows, _schema()), file, compression="zstd")


def read_ratings(run: Path) -> dict[str, Ratings]:
    """By kind of reassignment; none where nobody gave any. EvaluationError for a damaged file."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    path = run / RATINGS
    if not path.exists():
        return {}
    try:
        rows = pq.ParquetFile(path).read().cast(_schema()).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{path} is damaged ({reason}); {_CURE}") from error
    found: dict[str, dict[tuple[str, int], float]] = {}
    for row in rows:
        if None in row.values() or row["kind"] not in KINDS or not 0 <= row["score"] <= MOST:
            raise EvaluationError(f"{path} is damaged (it holds {row}); {_CURE}")
        found.setdefault(row["kind"], {})[row["image"], row["segment"]] = row["score"]
    return dict(found)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("kind", pa.string()), ("image", pa.string()), ("segment", pa.int32()), ("score", pa.float64())])
