"""Runs that survive: what they write, what they keep, and what they make again."""

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ls_backend import cli, cli_label, cli_prelabel
from ls_backend.jobs.helpers import variables
from ls_backend.jobs.registry import jobs_overview
from ls_backend.jobs.store import LOST, StateStore
from ls_backend.settings import FetchSettings, Settings, read_settings
from tests.ls_backend import bands
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback
from tests.ls_backend.runs import ended, make_photos, red, results, start, times, until
from zgcore.errors import WeightsError

QUICK = ("--preset", "untrained", "--device", "cpu", "--format", "coco", "--workers", "0")


@pytest.fixture
def model(tmp_path, monkeypatch):
    segmenter = BandSegmenter()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROGUIDE_DATA_DIR", str(tmp_path / "data"))
    for module in (cli_label, cli_prelabel):
        monkeypatch.setattr(module, "build_model", lambda options: segmenter)
    return segmenter


@pytest.fixture
def photos(tmp_path):
    make_photos(tmp_path / "photos", 3, size=(16, 8))
    return Path("photos")


def prelabel(capsys, *arguments):
    """Exit code and the JSON of a run in this process."""
    code = cli.main(["prelabel", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def counts(document):
    return {name: document[name] for name in ("done", "failed", "queued", "running")}


def everything(done, failed=0):
    return {"done": done, "failed": failed, "queued": 0, "running": 0}


def state_counts(folder):
    with StateStore(Path(folder, "state.sqlite")) as store:
        return store.counts()


def test_a_folder_holds_what_label_writes_byte_for_byte(photos, model, capsys):
    code, document, err = prelabel(capsys, photos, "--to", "run")
    assert (code, counts(document)) == (0, everything(3))
    assert err.splitlines()[0] == f"[1/3] {os.path.abspath('photos/00.png')}: 2 segments"
    assert cli.main(["label", "photos", "--out", "plain"]) == 0
    for path in sorted(Path("plain").rglob("*")):
        if path.is_file():
            assert Path("run", path.relative_to("plain")).read_bytes() == path.read_bytes(), path
    assert sorted(os.listdir("run")) == sorted([*os.listdir("plain"), "state.sqlite", "state.lock"])


def test_a_second_run_makes_nothing_again(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run")
    before = times("run")
    assert prelabel(capsys, photos, "--to", "run")[0] == 0
    assert prelabel(capsys, "--to", "run")[0] == 0
    assert (model.calls, times("run")) == ([1] * 3, before)


def test_what_changed_or_went_is_made_again(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run")
    red(photos / "01.png", 7)
    os.utime(photos / "02.png", (1, 1))  # another time, the same bytes
    Path("run/results/00.json").unlink()
    make_photos(Path("more"), 4, size=(16, 8))
    model.calls.clear()
    code, document, _ = prelabel(capsys, photos, "more/03.png", "--to", "run")
    assert (code, counts(document)) == (0, everything(4))
    assert len(model.calls) == 3
    assert document["notes"][0] == "1 results were not whole and are made again"
    assert len(json.loads(Path("run/annotations.json").read_bytes())["images"]) == 4


def test_photos_on_a_disk_that_is_away_keep_their_results(photos, model, capsys):
    Path("list.txt").write_text("photos/00.png\nphotos/01.png\nphotos/02.png\n")
    prelabel(capsys, "@list.txt", "--to", "run")
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*") if path.suffix in (".json", ".npz", ".png")}
    photos.rename("away")
    code, document, _ = prelabel(capsys, "@list.txt", "--to", "run")
    assert (code, counts(document)) == (0, everything(3))
    assert document["notes"] == ["3 images are done and their files are not there now; their results are kept"]
    assert {path: path.read_bytes() for path in before} == before
    Path("away").rename("photos")
    assert prelabel(capsys, "@list.txt", "--to", "run")[1]["notes"] == []
    assert model.calls == [1] * 3


def test_merged_files_that_were_deleted_come_back(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run")
    gone = Path("run/annotations.json"), Path("run/index.html")
    before = [path.read_bytes() for path in gone]
    for path in gone:
        path.unlink()
    assert prelabel(capsys, "--to", "run")[0] == 0
    assert [path.read_bytes() for path in gone] == before
    assert len(model.calls) == 3


def test_texts_that_describe_people_follow_the_setting_without_the_model(photos, model, capsys, monkeypatch):
    monkeypatch.setattr(bands, "NAMES", ("Asian woman",) * 4)

    def texts():
        (document, *_) = json.loads(Path("run/labelstudio.json").read_text())
        return {text for part in document["predictions"][0]["result"] for text in part["value"].get("text", ())}

    arguments = ("--to", "run", "--format", "labelstudio", "--image-root", ".")  # three photos of two bands each
    _, document, _ = prelabel(capsys, photos, *arguments)
    assert texts() == {"person"}
    assert document["notes"] == ["6 texts in labelstudio.json were made neutral (--people-labels)"]
    _, document, _ = prelabel(capsys, *arguments, "--people-labels", "keep")
    assert texts() == {"Asian woman"}
    assert document["notes"] == []
    assert model.calls == [1] * 3


def test_no_resume_makes_all_again(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run")
    assert prelabel(capsys, "--to", "run", "--no-resume")[0] == 0
    assert len(model.calls) == 6


def test_bad_images_stop_nothing_and_are_grouped(photos, model, capsys):
    for name in ("x", "y"):
        (photos / f"{name}.jpg").write_bytes(b"no photo")
    (photos / "empty.png").touch()
    Path("list.txt").write_text("gone.jpg\n")
    code, document, _ = prelabel(capsys, photos, "list.txt", "--to", "run")
    assert (code, counts(document)) == (1, everything(3, failed=4))
    reasons = {reason["reason"]: reason["images"] for reason in document["reasons"]}
    assert reasons == {
        "not an image in a supported format; convert it to JPEG, PNG, WebP, TIFF, BMP or GIF": 2,
        "the file is empty; copy it again from where it came from": 1,
        "no such file; check the spelling": 1,
    }
    assert document["reasons"][0]["images"] == 2
    red(photos / "empty.png", 3)  # a file that changed is tried again by itself
    assert counts(prelabel(capsys, photos, "--to", "run")[1]) == everything(4, failed=3)
    model.calls.clear()
    assert prelabel(capsys, "--to", "run")[0] == 1
    assert model.calls == []


def test_failures_are_tried_again_on_request(photos, model, capsys):
    level = int(np.array(Image.open(photos / "01.png"))[0, 0, 0])
    model.fails = {level: RuntimeError("the model's bad day")}
    code, document, _ = prelabel(capsys, photos, "--to", "run")
    assert (code, document["reasons"][0]["reason"]) == (1, "RuntimeError: the model's bad day")
    model.fails = {}
    assert prelabel(capsys, "--to", "run")[0] == 1
    assert counts(prelabel(capsys, "--to", "run", "--retry-failed")[1]) == everything(3)


def test_other_settings_make_all_again_and_stay_with_the_run(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run", "--format", "coco")
    assert not Path("run/index.html").exists()
    model.version = "mini-bands-2"
    assert prelabel(capsys, "--to", "run", "--seed", "7")[0] == 0
    assert len(model.calls) == 6
    assert not Path("run/index.html").exists()  # the format was kept
    with StateStore(Path("run/state.sqlite")) as store:
        options = store.get("options")
    assert (options["seed"], options["formats"], options["preset"]) == (7, ["coco"], "mini")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (WeightsError("no weights"), 3)])
def test_settings_that_no_model_was_made_with_are_not_kept(photos, model, capsys, monkeypatch, error, code):
    prelabel(capsys, photos, "--to", "run")

    def fails(options):
        raise error

    build = cli_prelabel.build_model
    monkeypatch.setattr(cli_prelabel, "build_model", fails)
    assert prelabel(capsys, "--to", "run", "--max-segments", "2")[0] == code
    monkeypatch.setattr(cli_prelabel, "build_model", build)
    with StateStore(Path("run/state.sqlite")) as store:
        assert store.get("options")["max_segments"] is None
    model.version = "mini-bands-of-2"
    assert prelabel(capsys, "--to", "run", "--max-segments", "2")[0] == 0
    assert len(model.calls) == 6
    with StateStore(Path("run/state.sqlite")) as store:
        assert store.get("options")["max_segments"] == 2


def test_pictures_can_be_had_later_without_the_model(photos, model, capsys):
    prelabel(capsys, photos, "--to", "run", "--format", "coco")
    assert prelabel(capsys, "--to", "run", "--format", "coco,png,html")[0] == 0
    assert sorted(os.listdir("run/overlays")) == ["00.png", "01.png", "02.png"]
    assert Path("run/index.html").exists()
    assert model.calls == [1] * 3


def test_the_state_may_be_elsewhere(photos, model, capsys):
    Path("states").mkdir()
    Path("states/run.lock").write_text("somebody's own")
    for _ in range(2):
        assert prelabel(capsys, photos, "--to", "run", "--state", "states/run.sqlite")[0] == 0
    assert Path("states/run.lock").read_text() == "somebody's own"
    assert len(model.calls) == 3
    assert not Path("run/state.sqlite").exists()
    (run,) = jobs_overview(Path("data"))
    assert cli.main(["jobs", "show", run.id]) == 0
    assert "images   3: 3 done, 0 failed" in capsys.readouterr().out


def test_helpers_get_the_settings_and_no_secret_on_their_command_line():
    settings = Settings(
        label_studio_url="http://localhost:8080",
        label_studio_api_key="0123456789abcdef",
        max_regions=5,
        smooth=True,
        fetch=FetchSettings(allow_hosts=("a.example", "b.example"), max_mb=3),
    )
    there = read_settings(environ=variables(settings))
    assert there == replace(settings, preset=there.preset, device=there.device)
    assert there.label_studio_api_key.reveal() == "0123456789abcdef"


def test_addresses_are_fetched_and_their_secrets_kept_out_of_results(photos, model, capsys, monkeypatch):
    content = (photos / "00.png").read_bytes()

    def answer(request, _):
        status = "404 Not Found" if "gone" in request.path else "200 OK"
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content

    monkeypatch.setenv("ZEROGUIDE_FETCH_ALLOW_NETWORKS", "127.0.0.0/8")
    with Loopback(answer) as server:
        base = f"http://127.0.0.1:{server.port}"
        names = ("a.png?Signature=geheim", "gone/b.png", "gone/c.png")
        Path("urls.txt").write_text("# photos\n\n" + "\n".join(f"{base}/{name}" for name in names))
        code, document, _ = prelabel(capsys, "@urls.txt", "--to", "run")
    assert (code, counts(document)) == (1, everything(1, failed=2))
    (reason,) = document["reasons"]
    assert (reason["images"], reason["reason"].startswith("answered with status 404")) == (2, True)
    record = json.loads(Path("run/results/a.json").read_bytes())
    assert record["source"]["path"] == f"{base}/a.png?..."
    for path in Path("run").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".html") and path.name != "labelstudio.json":
            assert b"geheim" not in path.read_bytes(), path
    tasks = json.loads(Path("run/labelstudio.json").read_bytes())
    assert tasks[0]["data"]["image"] == f"{base}/a.png?Signature=geheim"  # Label Studio has to load it


def test_a_source_is_noted_without_its_secrets(photos, model, capsys):
    source = "http://me:geheim@127.0.0.1:9/a.png?Signature=geheim"
    prelabel(capsys, source, "photos/0?.png", "--to", "run")
    assert cli.main(["jobs", "list", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["source"] == "http://127.0.0.1:9/a.png?...\nphotos/0?.png"
    assert cli.main(["jobs", "show", "run"]) == 0
    assert "geheim" not in capsys.readouterr().out


def test_a_target_that_was_mistyped_leaves_nothing_behind(tmp_path, photos, model, capsys):
    assert cli.main(["prelabel", "--to", "runn"]) == 2
    assert sorted(os.listdir(tmp_path)) == ["photos"]


def test_a_process_that_helps_does_not_undo_a_cancel(photos, model, capsys):
    (photos / "bad.jpg").write_bytes(b"no photo")
    prelabel(capsys, photos, "--to", "run")
    cli.main(["jobs", "retry", "run"])
    cli.main(["jobs", "cancel", "run"])
    assert cli.main(["prelabel", "--helping", "--quiet", "--to", "run"]) == 130
    assert state_counts("run") == {"queued": 1, "running": 0, "done": 3, "failed": 0}
    assert cli.main(["prelabel", "--quiet", "--to", "run"]) == 1
    assert state_counts("run")["failed"] == 1


def test_a_killed_run_is_finished_by_two_processes_and_nothing_is_made_twice(tmp_path):
    """The real pipeline in real processes: kill -9 in the midst, then a process with a second one to help it."""
    make_photos(tmp_path / "photos", 8, size=(32, 24))
    with start(["prelabel", "photos", "--to", "run", *QUICK], tmp_path) as process:
        until(lambda: len(times(tmp_path / "run")) >= 2, process)
        process.send_signal(signal.SIGKILL)
    before = times(tmp_path / "run")
    assert 2 <= len(before) < 8
    assert not (tmp_path / "run/annotations.json").exists()
    with start(["prelabel", "--to", "run", "--device", "cpu,cpu", "--workers", "0", "--json"], tmp_path) as process:
        out, _ = ended(process, 0)
    assert counts(json.loads(out)) == everything(8)
    after = times(tmp_path / "run")
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    assert len(json.loads((tmp_path / "run/annotations.json").read_bytes())["images"]) == 8
    with StateStore(tmp_path / "run/state.sqlite") as store:
        assert store.owners() == []


def test_ctrl_c_keeps_what_is_done_and_leaves_nothing_in_hand(tmp_path):
    make_photos(tmp_path / "photos", 6, size=(16, 8))
    with start(["prelabel", "photos", "--to", "run", "--json"], tmp_path, bands=True, BANDS_SLOW="0.5") as process:
        until(lambda: times(tmp_path / "run") and state_counts(tmp_path / "run")["done"] >= 2, process)
        process.send_signal(signal.SIGINT)
        out, err = ended(process, 130)
    document = json.loads(out)
    assert document["interrupted"]
    assert (document["running"], document["done"] + document["queued"]) == (0, 6)
    assert 2 <= document["done"] < 6
    assert "Traceback" not in err
    with start(["prelabel", "--to", "run", "--json"], tmp_path, bands=True) as process:
        assert counts(json.loads(ended(process, 0)[0])) == everything(6)


def test_an_image_that_ends_its_process_fails_and_the_others_are_done(tmp_path):
    make_photos(tmp_path / "photos", 3, size=(16, 8))
    red(tmp_path / "photos/deadly.png", 255)
    for _ in range(3):
        with start(["prelabel", "photos", "--to", "run"], tmp_path, bands=True, BANDS_DEADLY="255") as process:
            ended(process, -signal.SIGKILL)
    with start(["prelabel", "photos", "--to", "run", "--json"], tmp_path, bands=True, BANDS_DEADLY="255") as process:
        document = json.loads(ended(process, 1)[0])
    assert counts(document) == everything(3, failed=1)
    assert document["reasons"] == [{"reason": LOST, "images": 1, "example": f"deadly: {LOST}"}]
    assert sorted(results(tmp_path / "run")) == ["00", "01", "02"]


def test_another_model_is_refused_while_processes_are_at_the_run(tmp_path, photos, model, capsys):
    with start(["prelabel", "photos", "--to", "run"], tmp_path, bands=True, BANDS_SLOW="1") as process:
        until(lambda: len(times(tmp_path / "run")) >= 1, process)
        model.version = "mini-bands-2"
        assert cli.main(["prelabel", "--to", "run"]) == 2
        assert "other processes are at this run with preset mini, version mini-bands-1" in capsys.readouterr().err
        ended(process, 0)
    assert {record["stamp"]["model_version"] for record in results("run").values()} == {"mini-bands-1"}


def test_jobs_show_what_runs_and_cancel_stops_it(tmp_path, monkeypatch, capsys):
    make_photos(tmp_path / "photos", 30, size=(16, 8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROGUIDE_DATA_DIR", str(tmp_path / "data"))
    with start(["prelabel", "photos", "--to", "run", "--json"], tmp_path, bands=True, BANDS_SLOW="0.4") as process:
        until(lambda: len(times(tmp_path / "run")) >= 3, process)
        (run,) = jobs_overview(tmp_path / "data")
        assert (run.status, run.images, run.processes, run.target) == ("running", 30, 1, str(tmp_path / "run"))
        assert run.rate > 0
        assert run.eta_s == pytest.approx((run.queued + run.running) / run.rate)
        assert cli.main(["jobs", "cancel", run.id[:6]]) == 0
        assert capsys.readouterr().out == "cancelled; images in hand are finished.\n"
        document = json.loads(ended(process, 130)[0])
    assert (document["status"], document["running"]) == ("cancelled", 0)
    assert document["done"] < 30
    assert cli.main(["jobs", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["status"], listed["done"]) == (run.id, "cancelled", document["done"])
    assert cli.main(["jobs", "watch", "run"]) == 1
    table = capsys.readouterr().out
    assert run.id in table
    assert "cancelled" in table


def test_jobs_show_and_retry(photos, model, capsys):
    (photos / "bad.jpg").write_bytes(b"no photo")
    prelabel(capsys, photos, "--to", "run")
    assert cli.main(["jobs", "show", "run"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "images   4: 3 done, 1 failed" in lines
    assert re.search(r"^failed: 1 x not an image in a supported format; ", "\n".join(lines), re.MULTILINE)
    assert cli.main(["jobs", "retry", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "1 images are queued again."
    assert state_counts("run") == {"queued": 1, "running": 0, "done": 3, "failed": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prelabel", "--to", "empty"], 2, "there is no run to go on with; name its SOURCE"),
        (
            ["prelabel", "photos", "--to", "photos/00.png"],
            2,
            "cannot make the folder photos/00.png: File exists; choose another with --to",
        ),
        (["prelabel", "nowhere", "--to", "run"], 1, "nowhere: no such file or folder"),
        (["prelabel", "ftp://host/a.jpg", "--to", "run"], 2, "addresses of kind ftp: are not read"),
        (["prelabel", "photos", "--to", "label-studio:3"], 2, "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"),
        (["prelabel", "photos", "--to", "run", "--device", "cpu,cdua"], 2, 'Did you mean "cuda"?'),
        (["prelabel", "photos"], 2, "Missing option '--to'"),
        (["jobs", "show", "none"], 2, "there is no such run"),
        (["jobs", "lst"], 2, 'Did you mean "list"?'),
    ],
)
def test_wrong_use_is_one_sentence_with_the_cure(photos, model, capsys, arguments, code, message):
    assert cli.main(arguments) == code
    assert message in capsys.readouterr().err


def test_help_teaches(capsys):
    assert cli.main(["prelabel", "--help"]) == 0
    text = capsys.readouterr().out
    assert "zeroguide prelabel photos/ --recursive --to results" in text
    assert "http://host:8080/projects/12" in text
