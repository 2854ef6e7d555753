"""A run's results as tables: Parquet files written once, read image by image.

RUN/images.parquet    one row an image     RUN/segments.parquet   one row a segment
RUN/tgq.parquet       one row a labelled true mask

Tables and plots are remade from them without a model; memory does not grow with the number of images.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.files import run_file
from zgcore.evaluation.rows import KINDS, ImageRows, check_classes, to_scored
from zgcore.evaluation.run_info import read_run as read_run  # of the same folder
from zgcore.evaluation.scored import SIMILARITY_DECIMALS

try:
    import pyarrow as pa
    from pyarrow import parquet as pq
except ImportError as error:
    raise EvaluationError("evaluation needs pyarrow: pip install 'zeroguide[eval]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from zgcore.evaluation.rows import Row
    from zgcore.evaluation.scored import ScoredImage

IMAGES: Final = "images.parquet"
SEGMENTS: Final = "segments.parquet"
TRUE_MASKS: Final = "tgq.parquet"
SUMMARY: Final = "summary.json"
GROUP: Final = 256  # images whose rows are written, and read, together
_BATCH: Final = 1024  # rows read at a time

_IMAGE_SCHEMA: Final = pa.schema(
    [
        ("position", pa.int32()),
        ("name", pa.string()),
        ("file", pa.string()),
        ("error", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("segments", pa.int32()),
        ("true_masks", pa.int32()),
        ("kinds", pa.list_(pa.string())),
        ("classes", pa.list_(pa.int32())),
        ("counts", pa.list_(pa.int64())),
        ("background", pa.list_(pa.int64())),
        ("members", pa.list_(pa.bool_())),
        ("boundary", pa.list_(pa.int64())),
        ("seconds", pa.map_(pa.string(), pa.float64())),
    ]
)
_SEGMENT_SCHEMA: Final = pa.schema(
    [
        ("image", pa.string()),
        ("file", pa.string()),
        ("segment", pa.int32()),
        ("text", pa.string()),
        ("score", pa.float32()),
        ("area", pa.int64()),
        ("mask_height", pa.int32()),
        ("mask_width", pa.int32()),
        ("mask", pa.string()),
    ]
    + [
        pa.field(f"{kind}_{name}", form)
        for kind in KINDS
        for name, form in (("class", pa.int32()), ("name", pa.string()), ("similarity", pa.float32()))
    ]
    + [("lexical_relation", pa.string())]
)
_TRUE_MASK_SCHEMA: Final = pa.schema(
    [
        ("image", pa.string()),
        ("file", pa.string()),
        ("class", pa.int32()),
        ("name", pa.string()),
        ("text", pa.string()),
        ("score", pa.float32()),
        ("similarity", pa.float32()),
        ("area", pa.int64()),
    ]
)
_TABLES: Final = {IMAGES: _IMAGE_SCHEMA, SEGMENTS: _SEGMENT_SCHEMA, TRUE_MASKS: _TRUE_MASK_SCHEMA}
_PARTS: Final = (*KINDS, "config", "upper_bound", "boundary", "labels", "human")  # of a summary, as far as it has them
_COUNTS: Final = ("images", "segments", "failed")
_NOT_SCORED: Final = frozenset({"mask", "mask_height", "mask_width", "file"})  # what scores do not need


@dataclass(frozen=True)
class SegmentRecord:
    """One predicted segment. image: its name. file: the photo's path. mask: COCO run lengths, {"size", "counts"}.

    reassigned: by "tt", "st" or "lexical": class index (-1 for none), class name ("" for none), similarity.
    """

    image: str
    file: str
    segment: int
    text: str
    score: float
    area: int
    mask: dict[str, Any]
    reassigned: dict[str, tuple[int, str, float]]


@dataclass(frozen=True)
class TrueMaskRecord:
    """One true class mask and the label the method gave it. similarity: sentence cosine of text and name."""

    image: str
    file: str
    class_index: int
    name: str
    text: str
    score: float
    similarity: float
    area: int


def write_tables(run: Path, images: Iterable[ImageRows]) -> None:
    """Write all tables of a run, each whole or not at all. EvaluationError where the folder cannot be written."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(run_file(run / name)) for name in _TABLES}
        writers = {
            name: stack.enter_context(pq.ParquetWriter(files[name], schema, compression="zstd"))
            for name, schema in _TABLES.items()
        }
        rest = iter(images)
        while group := list(islice(rest, GROUP)):
            rows: dict[str, list[Row]] = {
                IMAGES: [one.image | {"seconds": list(one.image["seconds"].items())} for one in group],
                SEGMENTS: [row for one in group for row in one.segments],
                TRUE_MASKS: [row for one in group for row in one.true_masks],
            }
            for name, schema in _TABLES.items():
                writers[name].write_table(pa.Table.from_pylist(rows[name], schema))


def read_scored(run: Path) -> Iterator[ScoredImage]:
    """The images that were scored, in the data set's order. EvaluationError where a table is missing or damaged."""
    classes = len(read_run(run).classes)
    for rows in read_rows(run):
        if not rows.failed:
            with _sound(run):
                image = to_scored(rows)
                check_classes(image, classes)
            yield image


def read_rows(run: Path) -> Iterator[ImageRows]:
    """Every image's rows, without what only pictures need (masks)."""
    wanted = [name for name in _SEGMENT_SCHEMA.names if name not in _NOT_SCORED]
    segments, true_masks = _rows(run, SEGMENTS, wanted), _rows(run, TRUE_MASKS)
    for image in _rows(run, IMAGES):
        with _sound(run):
            rows = ImageRows(
                image | {"seconds": dict(image["seconds"])},
                list(islice(segments, int(image["segments"]))),
                list(islice(true_masks, max(0, image["true_masks"]))),
            )
        found = {row["image"] for row in (*rows.segments, *rows.true_masks)}
        if len(rows.segments) != image["segments"] or found - {image["name"]}:
            raise EvaluationError(f"{run}: its tables are of different runs; make the run again")
        yield rows


def read_segments(run: Path) -> Iterator[SegmentRecord]:
    """Every predicted segment, with its mask. EvaluationError where the table is missing or damaged."""
    for row in _rows(run, SEGMENTS):
        with _sound(run):
            reassigned = {
                kind: (
                    row[f"{kind}_class"],
                    row[f"{kind}_name"],
                    round(row[f"{kind}_similarity"], SIMILARITY_DECIMALS),
                )
                for kind in KINDS
                if row[f"{kind}_class"] is not None
            }
        yield SegmentRecord(
            row["image"],
            row["file"],
            row["segment"],
            row["text"],
            row["score"],
            row["area"],
            {"size": [row["mask_height"], row["mask_width"]], "counts": row["mask"]},
            reassigned,
        )


def read_true_masks(run: Path) -> Iterator[TrueMaskRecord]:
    """Every true mask that was labelled; none where the run left them out."""
    for row in _rows(run, TRUE_MASKS):
        with _sound(run):
            row["similarity"] = round(row["similarity"], SIMILARITY_DECIMALS)
        yield TrueMaskRecord(class_index=row.pop("class"), **row)


def read_failures(run: Path) -> list[tuple[str, str]]:
    """Name and reason of every image that could not be evaluated."""
    rows = _rows(run, IMAGES, ["name", "error"])
    return [(row["name"], row["error"]) for row in rows if row["error"]]


def read_files(run: Path) -> Iterator[tuple[str, str]]:
    """Name and photo's path of every image."""
    return ((row["name"], row["file"]) for row in _rows(run, IMAGES, ["name", "file"]))


def mean_seconds(run: Path) -> dict[str, float]:
    """What each stage took, in seconds an image that was scored. Stages whose results were kept count what they took
    now: next to nothing.
    """
    totals: dict[str, float] = {}
    images = 0
    for row in _rows(run, IMAGES, ["error", "seconds"]):
        images += not row["error"]
        with _sound(run):
            for name, value in row["seconds"]:
                totals[name] = totals.get(name, 0.0) + value
    return {name: total / images for name, total in totals.items()}


def write_summary(run: Path, summary: dict[str, Any]) -> None:
    """EvaluationError where the folder cannot be written."""
    with run_file(run / SUMMARY) as file:
        file.write(json.dumps(summary, indent=2, allow_nan=False).encode() + b"\n")


def read_summary(run: Path) -> dict[str, Any]:
    """Every figure of a run. EvaluationError where it is missing or damaged."""
    path = run / SUMMARY
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise EvaluationError(f"{run} has no {SUMMARY}: the run is not finished; run it again to go on") from None
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or not all(
        isinstance(document.get(kind), (dict, NoneType)) and type(document.get(figure, 0)) is int
        for kind in _PARTS
        for figure in _COUNTS
    ):
        raise EvaluationError(f"{path} is damaged: it is no summary; make it again with `zeroguide eval report {run}`")
    return document


def _rows(run: Path, table: str, columns: list[str] | None = None) -> Iterator[Row]:
    path = run / table
    with _told(path), pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(_TABLES[table]):
            raise EvaluationError(f"{path} has other columns: another version wrote it; make the run again")
        batches = file.iter_batches(_BATCH, columns=columns)
        while True:
            with _told(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield from batch.to_pylist()


@contextmanager
def _sound(run: Path) -> Iterator[None]:
    """Errors of values that no run writes, as ours."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{run}: its tables are damaged ({reason}); make the run again") from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of reading a table, as ours."""
    try:
        yield
    except FileNotFoundError:
        raise EvaluationError(f"{path} is missing: the run is not finished; run it again to go on") from None
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{path} is damaged ({reason}); make the run again") from error
