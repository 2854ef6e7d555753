"""`zeroguide eval` as a user meets it: runs, sweeps, files of other systems, comparisons, people's points."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from ls_backend import cli
from ls_backend.eval_ratings import read_ratings
from tests.zgcore.evaluation_blocks import make_photos
from zgcore.errors import EvaluationError
from zgcore.evaluation.progress import PROGRESS
from zgcore.evaluation.records import read_run, read_segments
from zgcore.evaluation.sweep import open_sweep
from zgcore.samples import sample_paths

QUICK = (
    "--preset", "untrained", "--device", "cpu", "--sentence-model", "all-MiniLM-L6-v2", "--set", "dino.size=32",
    "--set", "crf.refine_size=0", "--set", "zerocap.candidates=8", "--set", "zerocap.iterations=1",
    "--set", "leaves=4", "--set", "T_dino=1",
)  # fmt: skip


def run(capsys, *args):
    code = cli.main(["eval", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two small photos with truth: sky above, the rest unlabelled but for a cat at the bottom."""
    folder = tmp_path_factory.mktemp("photos") / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("1\tcat\n2\tsky\n")
    for stem in ("cat", "street"):
        image = Image.open(next(path for path in sample_paths() if path.stem == stem)).convert("RGB").resize((60, 40))
        image.save(folder / "images" / f"{stem}.jpg")
        truth = np.zeros((40, 60), np.uint8)
        truth[:10], truth[30:] = 2, 1
        Image.fromarray(truth).save(folder / "masks" / f"{stem}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four 4 x 4 photos, see `make_photos`."""
    return make_photos(tmp_path_factory.mktemp("blocks") / "data", photos=4)


def predictions(path: Path, texts: tuple[str, str]) -> Path:
    """The left and the right half of each photo of `photos`, with these texts."""
    left = np.array([[1, 1, 0, 0]] * 4, np.uint8)
    results = []
    for k in range(4):
        for text, mask, score in zip(texts, (left, 1 - left), (0.9, 0.8), strict=True):
            runs = coco.encode(np.asfortranarray(mask))
            segmentation = {"size": [4, 4], "counts": runs["counts"].decode()}
            results.append({"image_id": f"photo{k}.png", "caption": text, "segmentation": segmentation, "score": score})
    path.write_text(json.dumps(results))
    return path


@pytest.fixture(scope="module")
def two_runs(photos, tmp_path_factory):
    """Of a file that says "cat" and "sky", and of one that says "sky" twice."""
    folder = tmp_path_factory.mktemp("runs")
    for name, texts in (("right", ("cat", "sky")), ("lazy", ("sky", "sky"))):
        file = predictions(folder / f"{name}.json", texts)
        args = ("--data", f"folder:{photos}", "--predictor", f"file:{file}", "--out", folder / name)
        assert cli.main(["eval", *map(str, (*args, "--sentence-model", "all-MiniLM-L6-v2"))]) == 0
    return folder


def test_a_run_of_the_method(capsys, data, tmp_path):
    args = ("--data", f"folder:{data}", "--out", tmp_path / "run", "--cache", tmp_path / "cache", *QUICK)
    code, out, err = run(capsys, *args, "--json")
    assert code == 0
    summary = json.loads(out)
    assert out == (tmp_path / "run" / "summary.json").read_text()
    assert (summary["images"], summary["failed"], summary["tgq_masks"]) == (2, 0, 4)
    assert summary["random_weights"]
    for kind in ("tt", "st", "lexical"):
        assert 0 <= summary[kind]["iou"] <= 1
        assert 0 <= summary[kind]["recall"] <= 1
    assert "[2/2] street: " in err
    assert "random weights" in err
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made >= {"run.json", "summary.json", "images.parquet", "segments.parquet", "tgq.parquet", "report.html"}
    assert PROGRESS not in made
    info = read_run(tmp_path / "run")
    assert (info.preset, info.predictor, info.tgq, info.settings["dino"]["size"]) == ("untrained", "full", True, 32)
    code, again, err = run(capsys, *args, "--json")
    assert (code, again) == (0, out)
    assert "[1/2]" not in err  # it was finished


def test_the_small_weights_know_a_bus(capsys, tmp_path):
    """Truth drawn by hand into the smallest sample: sky above, road below, the bus between; the rest is void."""
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "classes.txt").write_text("1\tcat\n2\tbus\n3\tsky\n4\troad\n5\ttree\n")
    photo = next(path for path in sample_paths() if path.stem == "bus_tiny")
    (tmp_path / "data" / "images" / photo.name).write_bytes(photo.read_bytes())
    truth = np.zeros((43, 64), np.uint8)
    truth[:9], truth[36:], truth[14:28, 14:56] = 3, 4, 2
    Image.fromarray(truth).save(tmp_path / "data" / "masks" / "bus_tiny.png")
    data = ("--data", f"folder:{tmp_path / 'data'}", "--cache", tmp_path / "cache", "--device", "cpu")
    code, out, _ = run(capsys, *data, "--out", tmp_path / "run", "--sentence-model", "all-MiniLM-L6-v2", "--json")
    summary = json.loads(out)
    assert (code, summary["preset"], summary["random_weights"]) == (0, "mini", False)
    for kind in ("tt", "st"):
        assert summary[kind]["recall"] == 1
        assert summary[kind]["iou"] > 0.8
    assert (summary["tgq"], summary["tgq_masks"]) == (1, 3)  # of true masks it says bus, sky and road


def test_a_sweep_and_going_on_with_it(capsys, data, tmp_path):
    out = tmp_path / "sweep"
    args = ("sweep", "--data", f"folder:{data}", "--param", "tau_merge=-1,2", "--out", out, "--no-tgq")
    code, text, _ = run(capsys, *args, "--cache", tmp_path / "cache", *QUICK)
    assert code == 0
    assert "tau_merge=-1.0" in text
    sweep = open_sweep(out)
    assert (sweep.param, sweep.setting, sweep.values) == ("tau_merge", "merge.threshold", (-1.0, 2.0))
    merged, apart = (one.summary for one in sweep.runs)
    assert merged["segments"] == 2  # everything merges into one segment an image
    assert apart["segments"] > 2
    assert merged["tgq"] is None
    files = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    assert len(files) == 6
    code, _, err = run(capsys, *args, "--cache", tmp_path / "other", *QUICK)  # finished: no model is asked
    assert code == 0
    assert "[1/2]" not in err
    assert not (tmp_path / "other").exists()
    assert files == {path: path.read_bytes() for path in out.rglob("*.parquet")}


def test_predictions_of_another_system(two_runs):
    """Worked out in evaluation_blocks: halves against 0, 1, 2 and 3 columns of cat, each first text and class equal."""
    summary = json.loads((two_runs / "right" / "summary.json").read_text())
    for kind in ("tt", "lexical"):
        assert summary[kind]["iou"] == pytest.approx((1 / 4 + 7 / 12 + 1 + 7 / 12) / 4)
        assert summary[kind]["recall"] == pytest.approx((0 + 1 / 2 + 1 + 1 / 2) / 4)
    assert summary["st"] is None  # it has no embeddings
    assert summary["tgq"] is None
    assert (summary["predictor"], summary["preset"]) == ("file:right.json", None)
    lazy = json.loads((two_runs / "lazy" / "summary.json").read_text())
    # all of it is sky: 1 of 1; cat 0 and sky 3/4; 0 and 1/2; 0 and 1/4
    assert lazy["tt"]["iou"] == pytest.approx((1 + 3 / 8 + 1 / 4 + 1 / 8) / 4)
    first = next(read_segments(two_runs / "lazy"))
    assert (first.image, first.text, first.reassigned["tt"][1]) == ("photo0", "sky", "sky")


def test_comparing_two_runs(capsys, two_runs, tmp_path):
    code, out, _ = run(capsys, "compare", two_runs / "right", two_runs / "lazy", "--out", tmp_path / "against")
    assert code == 0
    assert str(tmp_path / "against" / "report.html") in out
    found = json.loads((tmp_path / "against" / "comparison.json").read_text())
    (iou,) = (figure for figure in found["figures"] if (figure["kind"], figure["figure"]) == ("tt", "iou"))
    assert iou["difference"] == pytest.approx(1.75 / 4 - (1 / 4 + 7 / 12 + 1 + 7 / 12) / 4)
    assert found["changed"][0]["image"] in ("photo0", "photo2")  # 3/4 each


def test_reports_need_no_model(capsys, two_runs, tmp_path):
    run_folder = two_runs / "right"
    before = (run_folder / "summary.json").read_bytes()
    (run_folder / "summary.json").unlink()
    (run_folder / "report.html").unlink()
    code, out, _ = run(capsys, "report", run_folder)
    assert code == 0
    assert (run_folder / "summary.json").read_bytes() == before
    assert (run_folder / "report.html").is_file()
    assert "60.4" in out  # (1/4 + 7/12 + 1 + 7/12) / 4
    code, _, err = run(capsys, "report", run_folder, two_runs / "lazy")
    assert (code, "needs --out" in err) == (2, True)
    assert run(capsys, "report", run_folder, two_runs / "lazy", "--out", tmp_path / "both")[0] == 0
    assert (tmp_path / "both" / "index.html").is_file()


def test_points_of_people(capsys, two_runs, tmp_path):
    """Photo 2 is right as it is; people give its cat 3 points and its sky 1; the others were not rated.

    A row is of no segment, and one of another run.
    """
    scores = tmp_path / "scores.csv"
    rows = [("image", "segment", "method", "score"), ("photo2", 0, "right", 3), ("photo2", 1, "right", 1.0)]
    rows += [("photo2", 2, "right", 3), ("photo0", 0, "wrong", 3)]
    with scores.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    code, out, _ = run(capsys, "human", two_runs / "right", "--scores", scores, "--by", "tt")
    assert code == 0
    assert ">= 3" in out
    assert "1 score is of segments that the run lacks or drops" in out
    both = json.loads((two_runs / "right" / "summary.json").read_text())["human"]
    assert set(both) == {"tt"}  # a study rates the labels of one kind
    human = both["tt"]
    assert {name: human[name] for name in ("images", "unseen", "rated", "unrated", "unmatched")} == {
        "images": 1, "unseen": 3, "rated": 2, "unrated": 0, "unmatched": 1,
    }  # fmt: skip
    assert human["least"]["1"]["iou"] == 1  # of the one image that was rated
    assert human["least"]["2"]["iou"] == 1 / 2  # the sky's label does not count
    summary = (two_runs / "right" / "summary.json").read_bytes()
    code, out, _ = run(capsys, "report", two_runs / "right")
    assert (code, "figures are of the 1 image with a rated segment" in out) == (0, True)
    assert (two_runs / "right" / "summary.json").read_bytes() == summary  # the points stay with the run
    assert "50.0" in (two_runs / "right" / "report.html").read_text()
    (two_runs / "right" / "ratings.parquet").write_bytes(b"PAR1")
    code, _, err = run(capsys, "report", two_runs / "right")
    assert (code, "ratings.parquet is damaged" in err) == (EvaluationError.exit_code, True)
    (two_runs / "right" / "ratings.parquet").unlink()
    code, _, err = run(capsys, "human", two_runs / "right", "--scores", scores)
    assert (code, "has no reassignment by st" in err) == (2, True)


@pytest.mark.parametrize(("content", "message"), [
    ("image,segment,method,score\nphoto0,0,one,1\nphoto0,0,two,1\n", "no scores of 'right' (it has one, two)"),
    ("image,segment\nphoto0,0\n", "no column score"),
    ("image,segment,score\nphoto0,0,7\n", "line 2: the score 7 is not between 0 and 3"),
    ("image,segment,score\nphoto0,x,1\n", "line 2"),
    ("image,segment,score\nphoto0,0,nan\n", "line 2"),
    ("image,segment,score\n", "no row at all"),
    ("image,segment,score\nphoto0,0,1\nphoto0,0,2\n", "line 3: segment 0 of 'photo0' has a score already"),
    ("image,segment,method,score\nphoto0,0,left,3\n", "(it has left); if they are of this run, name their method"),
    ("image,segment,score\nzz,0,3\n", "none of the 1 scores is of a segment that the run keeps by TT"),
    ("image,segment,score\nphoto0.png,0,3\n", "the run's images are called 'photo0'"),
    ("image,segment,score\nphoto0,9,3\n", "they are of segment 9 of image 'photo0'"),
    ("score,segment,image\n3,0\n", "of segment 0 of image ''"),
    ("", "no column image"),
])  # fmt: skip
def test_points_of_no_use(capsys, two_runs, tmp_path, content, message):
    scores = tmp_path / "scores.csv"
    scores.write_text(content)
    code, _, err = run(capsys, "human", two_runs / "right", "--scores", scores, "--by", "tt")
    assert code == EvaluationError.exit_code
    assert message in " ".join(err.split())
    assert not (two_runs / "right" / "ratings.parquet").exists()


def test_scores_as_a_study_writes_them(tmp_path):
    """Names that a spreadsheet would take for formulas have a ' in front; other names keep theirs."""
    scores = tmp_path / "scores.csv"
    scores.write_text("image,segment,method,score\n'=photo,0,'-run,3\n'tis,1,'-run,2\n")
    assert read_ratings(scores, ("-run",)) == {("=photo", 0): 3, ("'tis", 1): 2}


def test_a_bad_image_is_told_and_the_exit_code_says_so(capsys, tmp_path):
    photos = make_photos(tmp_path / "data", photos=3)
    (photos / "masks" / "photo1.png").write_bytes(b"no mask")
    file = predictions(tmp_path / "file.json", ("cat", "sky"))
    args = ("--data", f"folder:{photos}", "--predictor", f"file:{file}", "--out", tmp_path / "run")
    code, out, err = run(capsys, *args, "--sentence-model", "all-MiniLM-L6-v2")
    assert code == 1
    assert "failed: " in err
    assert "1 image failed" in out


@pytest.mark.parametrize(("args", "message"), [
    (("--out", "x"), "--data is missing"),
    (("--data", "folder:{data}"), "--out is missing"),
    (("--data", "folder:{data}", "compare", "a", "b"), "write --data behind compare, not in front of it"),
    (("comparee", "a", "b"), 'Did you mean "compare"'),
    (("--data", "folder:{data}", "--out", "x", "--cache", "c", "--no-cache"), "exclude each other"),
    (("--data", "folder:{data}", "--out", "x", "--predictor", "ful"), "there is no predictor 'ful'"),
    (("--data", "folder:{data}", "--out", "x", "--predictor", "file:none.json"), "none.json"),
    (("--data", "folder:{data}", "--out", "x", "--set", "sigma=1"), "did you mean 'sigma2'"),
    (("--data", "folder:{data}", "--out", "x", "--subset", "first:9"), "first:9"),
    (("--data", "folder:nowhere", "--out", "x"), "nowhere"),
    (("--data", "voc2:{data}", "--out", "x"), "voc2"),
    (("--data", "folder:{data}", "--out", "x", "--preset", "minni"), 'Did you mean "mini"'),
    (("--data", "folder:{data}", "--out", "x", "--predictor", "file:"), "names no file"),
    (("--data", "folder:{data}", "--out", "x", "--predictor", "file:{data}"), "Is a directory; give a COCO document"),
    (("--data", "folder:{data}", "--out", "x", "--predictor", "file:x.json", "--set", "sigma2=1"), "do not act on"),
    (("sweep", "--data", "folder:{data}", "--out", "x", "--predictor", "file:x.json", "--param", "sigma2=1,2"),
     "settings (clip.sigma2=1.0) do not act on"),
    (("sweep", "--data", "folder:{data}", "--out", "x", "--param", "predictor=full,crpo"), "Did you mean 'crop'"),
    (("sweep", "--data", "folder:{data}", "--out", "x", "--param", "sigma2=1,-1"), "sigma2"),
    (("sweep", "--data", "folder:{data}", "--out", "x", "--param", "sigma2"), "NAME=VALUE,VALUE"),
    (("sweep", "--data", "folder:{data}", "--out", "x", "--param", "sigma2=a"), "clip.sigma2 must be a number"),
    (("report", "nowhere"), "nowhere"),
])  # fmt: skip
def test_wrong_use(capsys, data, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *(arg.format(data=data) for arg in args))
    assert code == 2
    assert message in err
    assert not (tmp_path / "x").exists()  # also no run of a sweep whose later ones cannot be


def test_a_folder_with_other_settings_is_refused(capsys, two_runs, photos):
    args = ("--data", f"folder:{photos}", "--predictor", f"file:{two_runs / 'right.json'}", "--out", two_runs / "right")
    code, _, err = run(capsys, *args, "--sentence-model", "all-MiniLM-L6-v2", "--threshold-tt", 0.6)
    assert code == 2
    assert "holds a run with other settings (threshold_tt)" in err


def test_a_run_does_not_go_on_with_another_truth(capsys, tmp_path):
    photos = make_photos(tmp_path / "data", photos=2)
    file = predictions(tmp_path / "file.json", ("cat", "sky"))
    args = ("--data", f"folder:{photos}", "--predictor", f"file:{file}", "--out", tmp_path / "run")
    args = (*args, "--sentence-model", "all-MiniLM-L6-v2")
    assert run(capsys, *args)[0] == 0
    assert run(capsys, *args)[0] == 0
    Image.fromarray(np.full((4, 4), 1, np.uint8)).save(photos / "masks" / "photo1.png")
    code, _, err = run(capsys, *args)
    assert code == 2
    assert "scored against other masks than the data set has now: those of photo1 differ" in err


def test_category_ids_of_a_folder(capsys, tmp_path):
    """Photo 2 is half cat and half sky, as the file says by the ids of classes.txt; of photo 1 it says nothing."""
    photos = make_photos(tmp_path / "data", photos=3)
    for folder in ("images", "masks"):
        (photos / folder / "photo0.png").unlink()
    results = json.loads(predictions(tmp_path / "file.json", ("cat", "sky")).read_text())[4:6]
    for result in results:
        result["category_id"] = {"cat": 1, "sky": 2}[result.pop("caption")]
    (tmp_path / "file.json").write_text(json.dumps(results))
    args = ("--data", f"folder:{photos}", "--predictor", f"file:{tmp_path / 'file.json'}", "--out", tmp_path / "run")
    code, out, _ = run(capsys, *args, "--sentence-model", "all-MiniLM-L6-v2", "--json")
    summary = json.loads(out)
    assert (code, summary["tt"]["iou"], summary["tt"]["recall"]) == (0, 1 / 2, 1 / 2)
    assert summary["notes"] == ["1 of 2 images is not in file.json: scored as having no segment"]


def test_libraries_do_not_flood_a_log_for_debugging(capsys, tmp_path):
    libraries = [logging.getLogger(name) for name in ("matplotlib", "PIL")]
    for library in libraries:
        library.setLevel(logging.NOTSET)
    assert run(capsys, "--data", "folder:nowhere", "--out", tmp_path / "x", "--log-level", "debug")[0] == 2
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.INFO)
    assert all(library.isEnabledFor(logging.WARNING) for library in libraries)


def test_help_teaches(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in ("sweep", "compare", "report", "human"):
        code, text, _ = run(capsys, command, "--help")
        assert code == 0
        assert "Example" in text
        assert command in out
