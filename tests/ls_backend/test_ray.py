"""Runs through a real Ray on this machine."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from ls_backend import cli
from ls_backend.jobs.ray_actor import ActorSpec, Hand
from ls_backend.jobs.ray_engine import RayEngine
from ls_backend.jobs.run import Run
from ls_backend.jobs.snapshot import snapshot
from ls_backend.jobs.sources import Reading, listed
from ls_backend.jobs.store import LOST, StateStore
from ls_backend.jobs.work import FolderDelivery, Work
from ls_backend.local_server import free_port
from ls_backend.runner import RunOptions
from ls_backend.settings import Settings
from tests.ls_backend.prelabel_bands import BandsOptions
from tests.ls_backend.runs import ROOT, ended, make_photos, red, results, start, times, until

pytest.importorskip("ray", reason="ray is an extra")

QUICK = ("--preset", "untrained", "--device", "cpu", "--format", "coco")
COUNT = 12


def actors(mark):
    """The processes of actors whose environment holds `mark`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"Labeller" in (process / "cmdline").read_bytes() and mark in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def test_a_killed_actor_loses_nothing_and_the_results_are_those_of_the_local_engine(tmp_path, monkeypatch, capsys):
    make_photos(tmp_path / "photos", COUNT, size=(32, 24))
    (tmp_path / "photos/broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    command = ["prelabel", "photos", "--to", "ray", *QUICK, "--engine", "ray", "--actors", "2", "--json"]
    process = start(command, tmp_path, group=True)
    try:
        until(lambda: len(times(tmp_path / "ray")) >= 1, process)
        before = times(tmp_path / "ray")
        (victim, *_) = actors(str(tmp_path).encode())
        os.kill(victim, signal.SIGKILL)
        out, _ = ended(process, 1)  # one photo is broken
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    document = json.loads(out)
    assert (document["done"], document["failed"], document["status"]) == (COUNT, 1, "finished")
    assert len(before) < COUNT
    after = times(tmp_path / "ray")
    assert {name: after[name] for name in before} == before  # what was done was not made again

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROGUIDE_DATA_DIR", str(tmp_path / "data"))
    assert cli.main(["prelabel", "photos", "--to", "local", *QUICK, "--workers", "0", "--quiet"]) == 1
    capsys.readouterr()
    assert results("ray") == results("local")
    assert Path("ray/annotations.json").read_bytes() == Path("local/annotations.json").read_bytes()
    for number in range(COUNT):
        name = f"results/{number:02}.npz"
        assert Path("ray", name).read_bytes() == Path("local", name).read_bytes()


def test_an_image_that_ends_its_actors_fails_and_the_others_are_done(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDS_DEADLY", "255")
    make_photos(tmp_path / "photos", 9, size=(16, 8))
    red(tmp_path / "photos/04-deadly.png", 255)
    settings = Settings(data_dir=tmp_path / "data")
    with Run(tmp_path / "run", target="run", data_dir=settings.data_dir) as run:
        run.add("photos", listed(str(tmp_path / "photos"), Reading(tmp_path / "run")))
        spec = ActorSpec(tmp_path / "run", BandsOptions(), RunOptions(workers=0, overlays=False), settings)
        told = []
        with closing(RayEngine(spec, actors=1)) as engine:
            stamp = engine.stamp()
            assert stamp.model_version == "mini-bands-1"
            run.adopt(stamp)
            Work(run.store, engine, FolderDelivery(), told.append).run()
        found = snapshot(run.store)
    assert (found.done, found.failed, found.queued, found.running) == (9, 1, 0, 0)
    assert [(reason.reason, reason.example) for reason in found.reasons] == [(LOST, f"04-deadly: {LOST}")]
    assert sorted(one.image.name for one in told) == [f"{number:02}" for number in range(9)]  # each once


@pytest.fixture
def cluster(monkeypatch):
    """HOST:PORT of a Ray that runs, and asks for a token as it does unless told otherwise."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # its sockets' names must be short
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
        command += [f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}", "--include-dashboard=false"]
        command += ["--disable-usage-stats", "--object-store-memory=100000000", "--node-ip-address=127.0.0.1"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as ray:
            try:
                assert any("Ray runtime started" in line for line in ray.stdout)
                yield address
            finally:
                os.killpg(ray.pid, signal.SIGKILL)  # asked to end, it would drain its nodes for half a minute


def test_a_cluster_that_runs_is_joined_and_a_disk_that_takes_no_more_ends_the_run(tmp_path, cluster):
    make_photos(tmp_path / "photos", 3, size=(16, 8))
    (tmp_path / "run/results/01.json/in-the-way").mkdir(parents=True)
    command = ["prelabel", "photos", "--to", "run", *QUICK, "--engine", "ray", "--address", cluster]
    with start(command, tmp_path) as process:
        err = ended(process, 2)[1]
    assert f"Error: cannot write {tmp_path / 'run/results/01.json'}: " in err
    with StateStore(tmp_path / "run/state.sqlite") as store:
        assert store.counts() == {"queued": 2, "running": 0, "done": 1, "failed": 0}
    assert sorted(path.name for path in (tmp_path / "run/results").glob("*.json")) == ["00.json", "01.json"]
    assert not (tmp_path / "run/in-hand").exists()


def test_two_drivers_leave_each_others_images_alone(tmp_path):
    one, other = Hand(tmp_path, "one"), Hand(tmp_path, "other")
    one.take(1)
    other.take(1)
    other.clear([1])
    assert (one.holds(1), other.holds(1)) == (True, False)
    other.remove()
    assert one.holds(1)
    one.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 1)
    command = ["prelabel", "photos", "--to", "run", "--data-dir", "data", "--engine", "ray"]
    assert cli.main([*command, "--address", f"127.0.0.1:{free_port()}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: no Ray cluster can be had at 127.0.0.1:")
    assert "Connection refused" in err
