"""Runs that are stopped, killed, continued, refused; images and processes that fail."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.zgcore.evaluation_blocks import PHOTOS, make_photos, make_run
from zgcore.errors import ConfigError, EvaluationError
from zgcore.evaluation.evaluator import Job
from zgcore.evaluation.progress import PROGRESS
from zgcore.evaluation.rating_table import read_ratings, write_ratings
from zgcore.evaluation.records import IMAGES, SEGMENTS, SUMMARY, TRUE_MASKS, read_failures, read_summary
from zgcore.evaluation.runner import Run, summarise_run
from zgcore.evaluation.truth_digests import TRUTH_FILE

ROOT = Path(__file__).parents[2]
TABLES = (IMAGES, SEGMENTS, TRUE_MASKS, SUMMARY)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos") / "data")


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """The bytes of a run that nobody stopped."""
    run = make_run(tmp_path_factory.mktemp("runs") / "straight", data)
    run.evaluate()
    return contents(run)


def contents(run):
    return {table: (run.root / table).read_bytes() for table in TABLES}


def test_figures_are_those_worked_out(data, tmp_path):
    run = make_run(tmp_path / "run", data)
    seen = []
    summary = run.evaluate(watch=lambda rows, left: seen.append((rows.image["name"], left)))
    assert summary["st"]["iou"] == pytest.approx((1 / 4 + 7 / 12 + 1 + 7 / 12) / 4)
    assert summary["st"]["recall"] == pytest.approx((0 + 1 / 2 + 1 + 1 / 2) / 4)
    assert (summary["images"], summary["failed"], summary["segments"]) == (PHOTOS, 0, 2 * PHOTOS)
    assert (summary["data"], summary["predictor"], summary["preset"]) == ("folder", "halves", None)
    assert summary["tt"] is summary["lexical"] is None
    assert seen == [(f"photo{k}", PHOTOS - 1 - k) for k in range(PHOTOS)]
    assert not (run.root / PROGRESS).exists()


def test_kill_and_go_on(data, straight, tmp_path):
    root = tmp_path / "run"
    command = [sys.executable, "-m", "tests.zgcore.evaluation_blocks", str(root), str(data), "0.3", "0"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: lines(root) >= 3, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = lines(root)
    assert 3 <= done < PHOTOS
    with pytest.raises(EvaluationError, match="not finished"):
        read_summary(root)
    run, again = make_run(root, data), []
    run.evaluate(watch=lambda rows, left: again.append(rows.image["name"]))
    assert again == [f"photo{k}" for k in range(done, PHOTOS)]
    assert contents(run) == straight


def test_ctrl_c_keeps_what_is_done(data, straight, tmp_path):
    run = make_run(tmp_path / "run", data)

    def interrupt(rows, left):
        if left == PHOTOS - 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.evaluate(watch=interrupt)
    assert lines(run.root) == 3
    run.evaluate()
    assert contents(run) == straight


def test_workers_give_the_same_bytes(data, straight, tmp_path):
    run = make_run(tmp_path / "run", data)
    run.evaluate(workers=2)
    assert contents(run) == straight


def test_a_finished_run_evaluates_nothing(data, straight, tmp_path):
    run = make_run(tmp_path / "run", data)
    run.evaluate()
    (run.root / SUMMARY).write_text("{}")  # made again from the tables
    broken = Run(run.root, run.info, Job(run.job.data, cannot_be_built, run.job.reassigners), run.samples)
    broken.evaluate(watch=lambda rows, left: pytest.fail("an image was evaluated again"))
    assert contents(run) == straight


def cannot_be_built():
    raise ConfigError("this model cannot be built")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_model_that_cannot_be_built_ends_the_run(data, tmp_path, workers):
    run = make_run(tmp_path / "run", data)
    run = Run(run.root, run.info, Job(run.job.data, cannot_be_built, run.job.reassigners), run.samples)
    with pytest.raises(ConfigError, match="cannot be built"):
        run.evaluate(workers=workers)


def test_people_points_outlive_a_new_summary(data, tmp_path):
    """Photo 2 is right: of its labels by ST people find the cat's right and the sky's wrong. By TT there is none."""
    run = make_run(tmp_path / "run", data)
    run.evaluate()
    first = summarise_run(run.root, {"st": {("photo2", 0): 3.0, ("photo2", 1): 0.0}})
    assert first["human"]["st"]["least"]["3"]["iou"] == 1 / 2
    assert run.evaluate() == first == summarise_run(run.root)
    again = summarise_run(run.root, {"st": {("photo2", 1): 1.0}})  # in place of those
    assert (again["human"]["st"]["rated"], again["human"]["st"]["least"]["3"]["iou"]) == (1, 0)
    before = contents(run)
    with pytest.raises(EvaluationError, match="none of the 1 scores"):
        summarise_run(run.root, {"st": {("photo9", 0): 3.0}})
    assert contents(run) == before
    assert read_ratings(run.root) == {"st": {("photo2", 1): 1.0}}


def test_points_of_each_kind_are_kept_apart(tmp_path):
    points = {"st": {("a", 0): 3.0, ("b", 1): 1.5}, "tt": {("a", 0): 0.0}}
    write_ratings(tmp_path, points)
    assert read_ratings(tmp_path) == points
    write_ratings(tmp_path, {"st": {("a", 0): 7.0}})
    with pytest.raises(EvaluationError, match=r"is damaged .*give the scores again"):
        read_ratings(tmp_path)


def test_other_settings_are_refused(data, tmp_path):
    make_run(tmp_path / "run", data).evaluate()
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(EvaluationError, match=r"run with other settings \(threshold_st\); choose another --out"):
        make_run(tmp_path / "run", data, threshold_st=0.2).evaluate()
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_with_something_else_is_refused(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="not empty and holds no evaluation run"):
        make_run(tmp_path, data).evaluate()
    with pytest.raises(EvaluationError, match="cannot be made"):
        make_run(tmp_path / "notes.txt" / "run", data).evaluate()


def test_bad_images_stop_nothing_and_are_tried_again(tmp_path, straight):
    data = make_photos(tmp_path / "data")
    photo, mask = data / "images" / "photo1.png", data / "masks" / "photo4.png"
    good_photo, good_mask = photo.read_bytes(), mask.read_bytes()
    photo.write_bytes(b"no image")
    mask.write_bytes(good_mask[:20])
    run = make_run(tmp_path / "run", data)
    summary = run.evaluate()
    assert (summary["images"], summary["failed"]) == (PHOTOS - 2, 2)
    assert summary["st"]["iou"] == pytest.approx((1 / 4 + 7 / 12 + 2 * 1 + 2 * 7 / 12) / 6)
    (one, why), (other, why_not) = read_failures(run.root)
    assert (one, other) == ("photo1", "photo4")
    assert "photo1.png" in why
    assert "photo4.png" in why_not
    photo.write_bytes(good_photo)
    mask.write_bytes(good_mask)
    again = []
    assert run.evaluate(watch=lambda rows, left: again.append(rows.image["name"]))["failed"] == 0
    assert again == ["photo1", "photo4"]
    assert (run.root / SUMMARY).read_bytes() == straight[SUMMARY]


@pytest.mark.parametrize("finished", [True, False])
def test_another_truth_is_refused(tmp_path, finished):
    """Masks and ids decide it. What failed may be mended (see above), what was not scored yet may be another."""
    data = make_photos(tmp_path / "data")
    run = make_run(tmp_path / "run", data)

    def interrupt(rows, left):
        if left == PHOTOS - 3 and not finished:
            raise KeyboardInterrupt

    if finished:
        run.evaluate()
    else:
        with pytest.raises(KeyboardInterrupt):
            run.evaluate(watch=interrupt)
    mask, last = data / "masks" / "photo1.png", data / "masks" / f"photo{PHOTOS - 1}.png"
    good, other = mask.read_bytes(), (data / "masks" / "photo2.png").read_bytes()
    mask.write_bytes(other)
    with pytest.raises(EvaluationError, match=r"other masks than .* those of photo1 differ; choose another --out"):
        run.evaluate()
    mask.write_bytes(good)
    (data / "classes.txt").write_text("1\tcat\n3\tsky\n")  # the same names, but 2 is void now
    with pytest.raises(EvaluationError, match=r"those of photo0 and .* more differ"):
        make_run(tmp_path / "run", data).evaluate()
    last.write_bytes(other)
    if finished:
        with pytest.raises(EvaluationError, match=f"those of photo{PHOTOS - 1} differ"):
            run.evaluate()
    else:
        assert run.evaluate()["images"] == PHOTOS


def test_a_run_of_before_truths_were_kept_goes_on(data, straight, tmp_path):
    run = make_run(tmp_path / "run", data)
    run.evaluate()
    (run.root / TRUTH_FILE).unlink()
    run.evaluate()
    assert contents(run) == straight
    assert not (run.root / TRUTH_FILE).exists()
    (run.root / TRUTH_FILE).write_text("[")
    with pytest.raises(EvaluationError, match=r"truth\.json is damaged"):
        run.evaluate()


def test_no_image_at_all_is_told(tmp_path):
    data = make_photos(tmp_path / "data", photos=1)
    (data / "images" / "photo0.png").write_bytes(b"no image")
    with pytest.raises(EvaluationError, match="no image was evaluated"):
        make_run(tmp_path / "run", data).evaluate()


def test_an_image_that_takes_its_process_with_it(data, tmp_path):
    run = make_run(tmp_path / "run", data, dies="photo2")
    summary = run.evaluate(workers=2)
    assert read_failures(run.root) == [("photo2", "photo2: its process died, for lack of memory?")]
    assert summary["images"] == PHOTOS - 1  # its neighbours lost nothing


def lines(root):
    path = root / PROGRESS
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.02)
