"""`zeroguide label` as a user meets it, with a small segmenter in the model's place."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from ls_backend import cli, cli_label
from tests.ls_backend.bands import BandSegmenter
from zgcore import __version__
from zgcore.config import PipelineConfig
from zgcore.errors import WeightsError

ROOT = Path(__file__).parents[2]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def photo(path, first=0, size=(12, 8)):
    """A gradient over all four bands whose top-left pixel has the red level `first`."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[0, 0, 0] = first
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def model(monkeypatch):
    segmenter = BandSegmenter()
    monkeypatch.setattr(cli_label, "build_model", lambda options: segmenter)
    return segmenter


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate("abc"):
        photo(tmp_path / "photos" / f"{name}.png", first=index)
    return Path("photos")


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def label(capsys, *args):
    code = cli.main(["label", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_writes_everything(photos, model, capsys):
    code, out, err = label(capsys, photos, "--out", "out")
    assert code == 0
    made = tree(Path("out"))
    assert sorted(made) == sorted(
        [
            "annotations.json",
            "index.html",
            "labelstudio.json",
            "labelstudio_config.xml",
            *(f"overlays/{name}.png" for name in "abc"),
            *(f"results/{name}.{kind}" for name in "abc" for kind in ("json", "npz")),
        ]
    )
    coco = COCO("out/annotations.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2, 3])] == ["a.png", "b.png", "c.png"]
    tasks = json.loads(made["labelstudio.json"])
    assert all(task["data"]["image"].startswith("data:image/png;base64,") for task in tasks)
    assert b"white &amp; &lt;b&gt;shiny" in made["index.html"]
    assert b"<b>shiny" not in made["index.html"]
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "images    3: 3 labelled, 0 failed"
    assert lines[1] == "segments  12"
    assert lines[-2:] == [
        "labels    bright (3), dark (3), dim (3), white & <b>shiny</b> (3)",
        "Look at out/index.html",
    ]
    assert err.splitlines() == [f"[{i}/3] photos/{name}.png: 4 segments" for i, name in enumerate("abc", start=1)]
    assert not CONTROL.search(out + err)


def test_the_same_run_gives_the_same_bytes(photos, model, capsys):
    for out in ("one", "two"):
        assert label(capsys, photos, "--out", out)[0] == 0
    assert tree(Path("one")) == tree(Path("two"))
    assert label(capsys, photos, "--out", "two")[0] == 0
    assert tree(Path("one")) == tree(Path("two"))
    assert model.calls == [1] * 6


def test_bad_photos_take_no_others_down(photos, model, capsys):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    (photos / "empty.png").write_bytes(b"")
    model.fails = {1: RuntimeError("first line\nsecond line"), 2: MemoryError()}
    code, out, err = label(capsys, photos, "missing.jpg", "--out", "out", "--json")
    assert code == 1
    document = json.loads(out)
    assert (document["done"], document["failed"], document["images"]) == (1, 5, 6)
    errors = {Path(result["path"]).name: result["error"] for result in document["results"]}
    assert errors["a.png"] is None
    assert errors["b.png"] == "photos/b.png: RuntimeError: first line"
    assert errors["c.png"] == "photos/c.png: not enough memory; try a smaller image"
    assert errors["broken.jpg"].startswith("photos/broken.jpg: ")
    assert errors["empty.png"].startswith("photos/empty.png: ")
    assert errors["missing.jpg"].startswith("missing.jpg: ")
    assert err.count("\nfailed: ") == 5
    assert [image["file_name"] for image in COCO("out/annotations.json").dataset["images"]] == ["photos/a.png"]


def test_a_failing_batch_is_tried_one_by_one(photos, model, capsys):
    model.fails = {1: RuntimeError("no")}
    code, out, _ = label(capsys, photos, "--out", "out", "--batch-size", "3", "--json")
    assert code == 1
    assert model.calls == [3, 1, 1, 1]
    assert [result["status"] for result in json.loads(out)["results"]] == ["done", "failed", "done"]


def test_a_repaired_failure_is_made_and_the_rest_kept(photos, model, capsys):
    model.fails = {1: RuntimeError("no")}
    assert label(capsys, photos, "--out", "out")[0] == 1
    assert not Path("out/overlays/b.png").exists()
    model.fails = {}
    code, out, _ = label(capsys, photos, "--out", "out")
    assert code == 0
    assert out.splitlines()[0].rstrip() == "images    3: 1 labelled, 2 kept from an earlier run, 0 failed"
    assert model.calls == [1, 1, 1, 1]


def test_resume_repairs_what_is_half_done(photos, model, capsys):
    label(capsys, photos, "--out", "out")
    whole = tree(Path("out"))
    record = Path("out/results/a.json")
    record.write_bytes(record.read_bytes()[:100])
    Path("out/overlays/b.png").unlink()
    model.calls.clear()
    assert label(capsys, photos, "--out", "out")[0] == 0
    assert model.calls == [1]  # the overlay came from b's record, without the model
    assert tree(Path("out")) == whole


def test_no_resume_and_other_settings_make_all_again(photos, model, capsys):
    label(capsys, photos, "--out", "out")
    label(capsys, photos, "--out", "out", "--no-resume")
    assert len(model.calls) == 6
    model.config = PipelineConfig(preset="mini", seed=7)
    label(capsys, photos, "--out", "out")
    assert len(model.calls) == 9


def test_a_changed_photo_is_made_again(photos, model, capsys):
    label(capsys, photos, "--out", "out")
    photo(photos / "b.png", first=9)
    model.calls.clear()
    label(capsys, photos, "--out", "out")
    assert model.calls == [1]


def test_equal_stems_do_not_collide(photos, model, capsys):
    photo(Path("photos/sub/a.png"), first=5, size=(20, 6))
    assert label(capsys, photos, "--recursive", "--out", "out")[0] == 0
    assert len(list(Path("out/results").glob("a-????????.json"))) == 2
    images = COCO("out/annotations.json").dataset["images"]
    assert sorted((image["file_name"], image["width"]) for image in images) == [
        ("a.png", 12), ("b.png", 12), ("c.png", 12), ("sub/a.png", 20),
    ]  # fmt: skip


def test_the_results_are_not_labelled_themselves(photos, model, capsys):
    for _ in range(2):
        code, out, _ = label(capsys, photos, "--recursive", "--out", "photos/out", "--json")
        assert (code, json.loads(out)["images"]) == (0, 3)


def test_formats_choose_what_is_written(photos, model, capsys):
    assert label(capsys, photos, "--out", "out", "--format", "coco")[0] == 0
    assert sorted(os.listdir("out")) == ["annotations.json", "overlays", "results"]
    assert os.listdir("out/overlays") == []


def test_image_root_names_local_files(photos, model, capsys):
    code, out, _ = label(capsys, photos, "--out", "out", "--image-root", ".")
    assert code == 0
    tasks = json.loads(Path("out/labelstudio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"/data/local-files/?d=photos/{n}.png" for n in "abc"]
    assert "needs Label Studio to serve local files" in out
    Path("elsewhere").mkdir()
    code, _, err = label(capsys, photos, "--out", "out", "--image-root", "elsewhere")
    assert code == 2
    assert "not below --image-root elsewhere" in err


def test_many_photos_are_named_instead_of_carried(photos, model, capsys, monkeypatch):
    monkeypatch.setattr("ls_backend.merged.EMBED_LIMIT", 10)
    label(capsys, photos, "--out", "out")
    (first, *_) = json.loads(Path("out/labelstudio.json").read_text())
    assert first["data"]["image"] == "/data/local-files/?d=photos/a.png"


def test_random_weights_are_said_everywhere(photos, model, capsys):
    model.random_weights = True
    _, out, _ = label(capsys, photos, "--out", "out")
    assert "note: random weights: the masks and labels mean nothing" in out
    assert "random weights" in json.loads(Path("out/annotations.json").read_text())["info"]["note"]
    assert "random weights" in Path("out/index.html").read_text()


def test_json_is_all_of_stdout(photos, model, capsys):
    code, out, err = label(capsys, photos, "--out", "out", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["version"] == __version__
    assert document["files"]["coco"] == "out/annotations.json"
    assert document["frequent_labels"][0] == {"label": "bright", "count": 3}
    assert document["results"][0]["labels"] == ["dark", "dim", "bright", "white & <b>shiny</b>"]
    assert "Look at out/index.html" in err


def test_the_real_pipeline_with_workers_writes_the_same_bytes(photos, capsys):
    """Profiled and with workers, or plain and without: only the seconds in the records differ."""
    quick = ["--preset", "untrained", "--format", "coco,png", "--device", "cpu"]
    assert label(capsys, photos, "--out", "plain", "--workers", "0", *quick)[0] == 0
    (photos / "broken.jpg").write_bytes(b"no photo")
    code, out, _ = label(capsys, photos, "--out", "fast", "--workers", "1", "--profile", "--json", *quick)
    assert code == 1
    document = json.loads(out)
    assert (document["done"], document["failed"]) == (3, 1)
    for name in "abc":
        plain, fast = (json.loads(Path(folder, f"results/{name}.json").read_text()) for folder in ("plain", "fast"))
        assert plain.pop("seconds").keys() == fast.pop("seconds").keys()
        assert plain == fast
        for kind in (f"overlays/{name}.png", f"results/{name}.npz"):
            assert Path("plain", kind).read_bytes() == Path("fast", kind).read_bytes()
    stages = {stage["stage"]: stage for stage in document["profile"]["stages"]}
    assert list(stages) == ["decode", "features", "Ward", "CRF", "embedding", "text", "merging"]
    assert [stages[name]["flops"] for name in ("decode", "Ward", "CRF", "merging")] == [None] * 4
    assert all(0 < stages[name]["share_of_peak"] < 1 for name in ("features", "embedding", "text"))
    assert stages["features"]["runs"] == stages["decode"]["runs"] == 3
    assert document["profile"]["peak_flops_per_second"].keys() == {"float32"}


def test_the_profile_as_a_table(photos, model, capsys):
    code, out, _ = label(capsys, photos, "--out", "out", "--profile")
    assert code == 0
    assert "Stages on cpu" in out
    row = next(line for line in out.splitlines() if "decode" in line)
    assert row.split("│")[2].strip() == "3"
    assert "not counted" in row
    assert "profile" not in json.loads(label(capsys, photos, "--out", "out", "--json")[1])


def test_ctrl_c_ends_the_workers(photos, tmp_path):
    for index in range(20):
        photo(photos / f"more{index}.png", first=index)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "ls_backend", "label", photos, "--out", "out", "--preset", "untrained"]
    with subprocess.Popen(
        [*program, "--workers", "2", "--json"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of its own, as a shell gives it: Ctrl-C reaches every process in it
    ) as process:
        wait_for(tmp_path / "out/results/a.json", process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["interrupted"]
    assert 1 <= document["done"] < 23
    assert b"Traceback" not in err
    end = time.monotonic() + 20
    while has_processes(process.pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def has_processes(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["label", "p", "--preset", "bsae"], 2, 'mini, base, paper, untrained or a folder. Did you mean "base"?'),
        (["label", "p", "--format", "coco,labelstudo"], 2, 'Did you mean "labelstudio"?'),
        (["label", "p", "--device", "cdua"], 2, 'Did you mean "cuda"?'),
        (["label", "p", "--workers", "two"], 2, "'two' is not a valid integer"),
        (["label", "p", "--workers", "65"], 2, "65 is not in the range 0<=x<=64"),
        (["label", "p", "--presett", "mini"], 2, "--preset"),
        (["lable", "p"], 2, 'weights). Did you mean "label"?'),
        (["label", "p", "--min-area", "1"], 2, "--min-area"),
        (["label", "p", "--max-segments", "0"], 2, "--max-segments"),
        (["label", "nowhere/"], 1, "no such file"),
        (["label", "p"], 2, "no photos in p; --recursive also looks into the folders below"),
        (["label", "q", "--out", "/proc/x"], 2, "choose another with --out"),
    ],
)
def test_wrong_use_is_one_sentence_with_the_cure(tmp_path, monkeypatch, model, capsys, args, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    photo(tmp_path / "q" / "a.png")
    assert cli.main(args) == code
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_missing_weights_end_in_3(photos, monkeypatch, capsys):
    def refuse(options):
        raise WeightsError("no weights; give --weights DIR or a network")

    monkeypatch.setattr(cli_label, "build_model", refuse)
    code, out, err = label(capsys, photos)
    assert (code, out, err) == (3, "", "Error: no weights; give --weights DIR or a network\n")


def test_version_and_help(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"zeroguide {__version__}\n"
    assert cli.main(["label", "--help"]) == 0
    text = capsys.readouterr().out
    assert "zeroguide label photos/ --recursive --out results" in text
    assert "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT" in text


def start(photos, tmp_path, started, fast=2):
    environment = os.environ | {"BANDS_STARTED": str(started), "BANDS_FAST": str(fast), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, ROOT / "tests/ls_backend/bands.py", "label", photos, "--out", "out", "--json"]
    return subprocess.Popen(program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(photos, tmp_path, model, capsys):
    process = start(photos, tmp_path, tmp_path / "started")
    wait_for(tmp_path / "started", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(out)
    assert (document["interrupted"], document["done"], document["images"]) == (True, 2, 3)
    assert b"Traceback" not in err
    assert not CONTROL.search(err.decode())
    assert [image["file_name"] for image in COCO("out/annotations.json").dataset["images"]] == ["a.png", "b.png"]
    assert len(json.loads(Path("out/labelstudio.json").read_text())) == 2
    assert label(capsys, photos, "--out", "out")[0] == 0
    assert len(model.calls) == 1
    assert label(capsys, photos, "--out", "fresh")[0] == 0
    assert tree(Path("out")) == tree(Path("fresh"))


def test_a_killed_run_is_taken_up_again(photos, tmp_path, model, capsys):
    process = start(photos, tmp_path, tmp_path / "started")
    wait_for(tmp_path / "started", process)
    process.kill()
    process.communicate()
    assert sorted(path.name for path in Path("out/results").glob("*.json")) == ["a.json", "b.json"]
    assert not Path("out/annotations.json").exists()
    assert label(capsys, photos, "--out", "out")[0] == 0
    assert len(model.calls) == 1
    assert len(COCO("out/annotations.json").dataset["images"]) == 3
