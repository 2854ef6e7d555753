"""Tables, the file of progress and run.json: what is written comes back exactly, what is broken is told."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tests.zgcore.evaluation_runs import make_data, make_run
from zgcore.errors import EvaluationError
from zgcore.evaluation import records
from zgcore.evaluation.overlap import Overlap
from zgcore.evaluation.prediction import Prediction
from zgcore.evaluation.progress import PROGRESS, Progress
from zgcore.evaluation.rows import Labelled, failed_rows, scored_rows, to_scored
from zgcore.evaluation.run_info import RunInfo, read_run, write_run
from zgcore.evaluation.runner import summarise_run
from zgcore.evaluation.scored import LEXICAL, ST, TT, Reassignment, ScoredImage

CLASSES = ("cat", "grass", "sky")
THIRD = np.float32(1 / 3)
COSINE = np.float32(0.33333)


def scored(name="a", n=2, kinds=(TT, ST, LEXICAL), named=True):
    """An image with n segments, and values that no decimal holds exactly."""
    return ScoredImage(
        name=name,
        height=3,
        width=4,
        overlap=Overlap(
            np.array([0, 2], np.int32),
            np.arange(2 * (n + 1), dtype=np.int64).reshape(n + 1, 2),
            np.arange(n + 1, dtype=np.int64),
            np.eye(n + 1, n, dtype=np.bool_),
        ),
        texts=("a cat", "\N{SAUROPOD} green 'lawn'\n")[:n],
        scores=np.array([THIRD, 0.1], np.float32)[:n],
        areas=np.array([5, 7], np.int64)[:n],
        reassigned={
            kind: Reassignment(
                np.array([0, -1], np.int32)[:n],
                np.array([COSINE, 0], np.float32)[:n],
                ("exact", "")[:n] if kind == LEXICAL else None,
            )
            for kind in kinds
        },
        boundary=(1, 2, 3, 4),
        seconds={"text": 0.1 + 0.2},
        named=Reassignment(np.array([0, 2], np.int32), np.array([COSINE, 1], np.float32)) if named else None,
    )


def rows_of(position, image):
    n = len(image.texts)
    masks = tuple({"size": [3, 4], "counts": counts} for counts in ("05N13", b"08L13")[:n])
    prediction = Prediction(masks, image.texts, image.scores)
    labelled = None
    if image.named is not None:
        true = Prediction(({}, {}), ("kitten", "sky"), np.array([THIRD, 0.25], np.float32))
        labelled = Labelled(true, (0, 2), (6, 4))
    return scored_rows(position, f"/photos/{image.name}.jpg", image, prediction, labelled, CLASSES)


def assert_same(one, other):
    for field in dataclasses.fields(ScoredImage):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "reassigned":
            assert mine.keys() == theirs.keys()
            for kind in mine:
                assert_same_parts(mine[kind], theirs[kind])
        elif dataclasses.is_dataclass(mine):
            assert_same_parts(mine, theirs)
        elif isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.tobytes()) == (theirs.dtype, theirs.tobytes())
        else:
            assert mine == theirs, field.name


def assert_same_parts(one, other):
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            theirs = getattr(other, name)
            assert (value.dtype, value.shape, value.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes()), name
        else:
            assert value == getattr(other, name), name


IMAGES = [
    scored("a"),
    scored("empty", n=0, named=False),
    scored("file's", kinds=(TT,), named=False),
]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_rows_and_back_through_json(image):
    rows = rows_of(0, image)
    again = type(rows)(**json.loads(json.dumps(vars(rows), allow_nan=False)))
    assert_same(to_scored(again), image)


@pytest.fixture
def run(tmp_path):
    """A folder with three images that were scored, and one that failed."""
    failed = failed_rows(3, "bad", "/photos/bad.jpg", "no such file")
    write_run(tmp_path, info())
    records.write_tables(tmp_path, [*(rows_of(k, image) for k, image in enumerate(IMAGES)), failed])
    return tmp_path


def info(**changes):
    common = {"data": "folder:x", "data_set": "folder", "classes": CLASSES, "samples": 4, "sample_digest": "d"}
    return RunInfo(**{**common, "predictor": "full", "versions": {"torch": "2"}, **changes})


def test_tables_give_back_every_bit(run):
    found = list(records.read_scored(run))
    assert len(found) == 3
    for one, other in zip(found, IMAGES, strict=True):
        assert_same(one, other)
    assert records.read_failures(run) == [("bad", "no such file")]


def test_more_images_than_a_group(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "GROUP", 2)
    monkeypatch.setattr(records, "_BATCH", 3)
    write_run(tmp_path, info())
    images = [scored(f"image {k}", n=k % 3, named=k % 2 == 0) for k in range(11)]
    records.write_tables(tmp_path, (rows_of(k, image) for k, image in enumerate(images)))
    for one, other in zip(records.read_scored(tmp_path), images, strict=True):
        assert_same(one, other)


def test_segments_with_masks_and_class_names(run):
    first, second, third, fourth = records.read_segments(run)
    assert (first.image, first.file, first.segment, first.text, first.area) == ("a", "/photos/a.jpg", 0, "a cat", 5)
    assert first.mask == {"size": [3, 4], "counts": "05N13"}
    assert second.mask == {"size": [3, 4], "counts": "08L13"}
    assert first.reassigned[TT] == (0, "cat", 0.33333)
    assert second.reassigned[LEXICAL] == (-1, "", 0.0)
    assert set(third.reassigned) == {TT}
    assert (third.image, fourth.segment) == ("file's", 1)


def test_true_masks(run):
    one, other = records.read_true_masks(run)
    assert (one.image, one.class_index, one.name, one.text, one.area) == ("a", 0, "cat", "kitten", 6)
    assert (other.class_index, other.name, other.score, other.similarity) == (2, "sky", 0.25, 1.0)
    assert one.similarity == 0.33333


def test_mean_seconds_count_images_that_were_scored(run):
    assert records.mean_seconds(run) == {"text": pytest.approx(0.3)}


def test_numbers_that_overflowed_fail_the_image():
    image = dataclasses.replace(scored(), scores=np.array([np.nan, 1], np.float32))
    with pytest.raises(ValueError, match=r"score of 'a cat' is nan"):
        rows_of(0, image)


@pytest.mark.parametrize("table", [records.IMAGES, records.SEGMENTS, records.TRUE_MASKS])
def test_broken_tables_are_told(run, table):
    path = run / table
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(EvaluationError, match=rf"{table} is damaged"):
        list(records.read_scored(run))
    path.unlink()
    with pytest.raises(EvaluationError, match=rf"{table} is missing"):
        list(records.read_scored(run))


def test_tables_of_two_runs_are_told(run, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    records.write_tables(other, [rows_of(0, scored("b"))])
    (run / records.SEGMENTS).write_bytes((other / records.SEGMENTS).read_bytes())
    with pytest.raises(EvaluationError, match="different runs"):
        list(records.read_scored(run))


@pytest.mark.parametrize(("change", "says"), [
    ({"counts": [1, 2, 3]}, "cannot reshape"),
    ({"counts": [-1] * 6}, "counts of pixels"),
    ({"classes": [0, 3]}, "true classes are not ascending, of 0 to 2"),
    ({"classes": [2, 0]}, "true classes are not ascending"),
    ({"boundary": [1, 2]}, "counts of pixels"),
    ({"background": None}, "NoneType"),
    ({"kinds": ["zz"]}, "zz_class"),
    ({"segments": -1}, "islice"),
    ({"seconds": None}, "NoneType"),
])  # fmt: skip
def test_values_that_no_run_writes_are_told(run, change, says):
    _change(run, records.IMAGES, change)
    with pytest.raises(EvaluationError, match=f"its tables are damaged .*{says}"):
        list(records.read_scored(run))


@pytest.mark.parametrize(
    "change", [{"tt_class": 3}, {"st_class": -2}, {"tt_class": None}, {"lexical_similarity": None}]
)
def test_segments_of_no_class_are_told(run, change):
    _change(run, records.SEGMENTS, change)
    with pytest.raises(EvaluationError, match="its tables are damaged"):
        list(records.read_scored(run))


def _change(run, table, change):
    """Replace values of a table's first row."""
    found = pq.read_table(run / table)
    first, *others = found.to_pylist()
    pq.write_table(pa.Table.from_pylist([first | change, *others], found.schema), run / table)


def test_a_table_of_another_kind_is_told(run):
    (run / records.IMAGES).write_bytes((run / records.SEGMENTS).read_bytes())
    with pytest.raises(EvaluationError, match="other columns"):
        list(records.read_scored(run))


def test_a_summary_is_remade_without_a_model(tmp_path):
    make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", tmp_path / "data")
    (run / records.SUMMARY).unlink()
    summary = summarise_run(run)
    assert summary["st"]["iou"] == pytest.approx(7 / 9)  # worked out in evaluation_runs
    assert summary["tt"]["iou"] == pytest.approx(4 / 9)
    assert (summary["images"], summary["failed"], summary["tgq"]) == (3, 1, 3 / 5)
    assert "seconds" not in summary
    assert records.read_summary(run) == json.loads(json.dumps(summary))


def test_run_json_and_back(tmp_path):
    one = info(notes=("a note",), settings={"clip": {"sigma2": 2.5}}, threshold_st=0.15)
    write_run(tmp_path, one)
    assert read_run(tmp_path) == one


def test_what_differs_is_named():
    one = info(settings={"seed": 0, "clip": {"sigma2": 2.5, "model": "m"}})
    other = info(settings={"seed": 0, "clip": {"sigma2": 1.0, "model": "m"}}, versions={"torch": "3"}, data="folder:y")
    assert one.differences(other) == ["clip.sigma2", "version of torch"]
    assert one.differences(one) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 2}', b"[" * 100_000])
def test_a_broken_run_json_is_told(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(EvaluationError, match=r"run\.json is damaged"):
        read_run(tmp_path)


@pytest.mark.parametrize(("change", "says"), [
    ({"classes": ["cat", 7]}, "classes"),
    ({"classes": 7}, "not iterable"),
    ({"samples": "4"}, "samples"),
    ({"samples": True}, "samples"),
    ({"threshold_tt": "x"}, "threshold_tt"),
    ({"threshold_st": float("nan")}, "threshold_st"),
    ({"settings": [1]}, "settings"),
    ({"versions": {"torch": 2}}, "versions"),
    ({"preset": 1}, "preset"),
    ({"tgq": None}, "tgq"),
    ({"colour": "red"}, "colour"),
])  # fmt: skip
def test_a_run_json_of_other_types_is_told(tmp_path, change, says):
    (tmp_path / "run.json").write_text(json.dumps(json.loads(info().to_json()) | change))
    with pytest.raises(EvaluationError, match=rf"run\.json is damaged \(.*{says}"):
        read_run(tmp_path)


@pytest.mark.parametrize("change", [{"tt": 5}, {"st": []}, {"images": None}, {"failed": "1"}, {"labels": 1}])
def test_a_summary_of_other_types_is_told(tmp_path, change):
    whole = {"images": 1, "segments": 2, "failed": 0, "tt": {"iou": 0.5}, "st": None}
    (tmp_path / records.SUMMARY).write_text(json.dumps(whole))
    assert records.read_summary(tmp_path) == whole
    (tmp_path / records.SUMMARY).write_text(json.dumps(whole | change))
    with pytest.raises(EvaluationError, match=r"summary\.json is damaged: .* `zeroguide eval report"):
        records.read_summary(tmp_path)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(EvaluationError, match="not the folder of an evaluation run"):
        read_run(tmp_path)


def test_progress_outlives_its_process(tmp_path):
    with Progress(tmp_path) as progress:
        progress.append(rows_of(2, scored("c")))
        progress.append(failed_rows(1, "b", "b.jpg", "why"))
        progress.append(rows_of(0, scored("a")))
    with Progress(tmp_path) as progress:
        assert progress.done == {0, 2}  # what failed is tried again
        assert [rows.image["name"] for rows in progress] == ["a", "b", "c"]
        progress.append(rows_of(1, scored("b")))
        assert progress.done == {0, 1, 2}
        assert [rows.failed for rows in progress] == [False, False, False]


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_line_cut_short_was_never_written(tmp_path, keep):
    with Progress(tmp_path) as progress:
        progress.append(rows_of(0, scored("a")))
    whole = (tmp_path / PROGRESS).read_bytes()
    (tmp_path / PROGRESS).write_bytes(whole + whole[: int(keep * len(whole))])
    with Progress(tmp_path) as progress:
        assert progress.done == {0}
        progress.append(rows_of(1, scored("b")))
        assert [rows.image["name"] for rows in progress] == ["a", "b"]
    assert (tmp_path / PROGRESS).read_bytes().startswith(whole + b'{"image"')


def test_two_processes_do_not_make_one_run(tmp_path):
    with Progress(tmp_path), pytest.raises(EvaluationError, match="being made by another process"):
        Progress(tmp_path)
    with Progress(tmp_path) as progress:
        assert len(progress) == 0
