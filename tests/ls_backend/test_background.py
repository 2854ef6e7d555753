"""What does not fit into an answer: queued on disk, worked off, sent once; also after kill -9."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from ls_backend.background import FIRST_PAUSE_S, LONGEST_PAUSE_S, TaskQueue
from ls_backend.label_studio_ids import project_id, task_id
from ls_backend.labelling_config import parse_config
from ls_backend.settings import Secret
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import LEGACY, PALETTE, PredictionStore, serving, settings_for, task
from tests.ls_backend.test_app import Slow, metric, until

ROOT = Path(__file__).parents[2]


def with_store(folder, label_studio, **values):
    url = f"http://127.0.0.1:{label_studio.port}"
    return settings_for(folder, label_studio_url=url, label_studio_api_key=Secret(LEGACY), **values)


def test_what_misses_the_deadline_is_sent_when_done(tmp_path):
    store, model = PredictionStore(fails=[503]), Slow(fast=1)
    with (
        store.serve() as label_studio,
        serving(with_store(tmp_path, label_studio, deadline_s=1.0), model) as (client, backend),
    ):
        client.predict([task(1)])
        results = client.predict([task(n) for n in range(1, 5)])
        assert len(results[0]["result"]) == 8
        assert results[1:] == [[], [], []]
        assert backend.queue.counts() == {"waiting": 3, "failed": 0}
        assert metric(client, 'zeroguide_tasks_total{outcome="late"}') == 3
        assert '<dd id="late">3</dd>' in client.get("/")[2].decode()
        store.predictions.append({"id": 99, "task": 2, "result": [], "model_version": backend.version})
        model.go.set()
        until(lambda: backend.queue.counts()["waiting"] == 0)
        assert sorted(one["task"] for one in store.predictions) == [2, 3, 4]  # the empty one is gone
        assert {one["path"] for one in store.predictions} == {"/api/projects/7/import/predictions"}
        assert {one["model_version"] for one in store.predictions} == {backend.version}
        assert [len(one["result"]) for one in store.predictions] == [8, 8, 8]
        again = client.predict([task(n) for n in range(1, 5)])
        assert [one["result"] for one in sorted(store.predictions, key=lambda one: one["task"])] == [
            result["result"] for result in again[1:]
        ]
        assert sum(model.calls) == 4


def test_images_that_nobody_waits_for_leave_the_models_queue(tmp_path):
    model = Slow(fast=0)
    with serving(settings_for(tmp_path, deadline_s=1.0), model) as (client, backend):
        images = [backend.predictor.start(task(n), parse_config(PALETTE)) for n in (1, 2, 3)]
        for image in images[1:]:
            until(lambda image=image: image.images[0].done())
            backend.predictor.drop(image)
            with pytest.raises(CancelledError):
                backend.predictor.finish(image)
        assert client.predict([task(1), task(2)]) == [[], []]
        model.go.set()
        assert len(backend.predictor.finish(images[0]).document["result"]) == 8
        until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 0})
    assert sum(model.calls) == 2


def test_without_a_token_what_is_late_waits_in_the_cache(tmp_path):
    model = Slow()
    with serving(settings_for(tmp_path, deadline_s=1.0), model) as (client, backend):
        assert client.predict([task(1)]) == [[]]
        model.go.set()
        until(lambda: backend.queue.counts()["waiting"] == 0)
        assert len(client.predict([task(1)])[0]["result"]) == 8
        assert model.calls == [1]


def test_what_was_sent_is_not_sent_again(tmp_path):
    store = PredictionStore()
    with (
        store.serve() as label_studio,
        serving(with_store(tmp_path, label_studio), BandSegmenter()) as (_, backend),
    ):
        for _ in range(2):  # as after a kill between sending and forgetting
            backend.queue.add(7, [task(1)], PALETTE)
            backend.worker.wake()
            until(lambda: backend.queue.counts()["waiting"] == 0)
        assert len(store.predictions) == 1


def test_a_task_that_cannot_be_done_is_given_up_and_told(tmp_path):
    with serving(settings_for(tmp_path), BandSegmenter()) as (client, backend):
        backend.queue.add(7, [task(1, b"no image"), {"id": 2, "data": {}}, task(3)], PALETTE)
        backend.worker.wake()
        until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 2})
        page = client.get("/")[2].decode()
        assert "the background queue met: " in page
        assert metric(client, 'zeroguide_queue_tasks{state="failed"}') == 2
        until(lambda: metric(client, 'zeroguide_tasks_total{outcome="background"}') == 1)


def test_a_token_that_is_refused_for_a_while_costs_no_task(tmp_path):
    store = PredictionStore(fails=[401, 403])
    with (
        store.serve() as label_studio,
        serving(with_store(tmp_path, label_studio), BandSegmenter()) as (client, backend),
    ):
        backend.queue.add(7, [task(1), task(2)], PALETTE)
        backend.worker.wake()
        until(lambda: "refuses label_studio_api_key (status 40" in client.get("/")[2].decode())
        until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 0})
    assert sorted(one["task"] for one in store.predictions) == [1, 2]


def test_a_refused_token_is_told_and_a_restart_tries_again(tmp_path):
    store = PredictionStore()
    with store.serve() as label_studio:
        wrong = with_store(tmp_path, label_studio)
        wrong = settings_for(tmp_path, label_studio_url=wrong.label_studio_url, label_studio_api_key=Secret("f" * 40))
        with serving(wrong, BandSegmenter()) as (client, backend):
            backend.queue.add(7, [task(1)], PALETTE)
            backend.worker.wake()
            until(lambda: "refuses label_studio_api_key (status 401)" in client.get("/")[2].decode())
            assert backend.queue.counts() == {"waiting": 1, "failed": 0}
        with serving(with_store(tmp_path, label_studio), BandSegmenter()) as (_, backend):
            until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 0})
    assert [one["task"] for one in store.predictions] == [1]


def test_the_queue_keeps_each_task_once_and_in_order(tmp_path):
    queue = TaskQueue(tmp_path)
    assert queue.add(7, [task(1), task(2), task(1)], PALETTE) == 3
    assert queue.counts() == {"waiting": 2, "failed": 0}
    first = queue.next(0.0)
    assert (first.project, first.task, first.body["id"], first.tries) == (7, 2, 2, 0)
    queue.postpone(first, "down", 100.0)
    assert queue.next(0.0).task == 1
    assert queue.next(100.0 + FIRST_PAUSE_S).task == 1
    queue.done(queue.next(0.0))
    assert queue.next(100.0 + FIRST_PAUSE_S - 0.1) is None
    again = queue.next(100.0 + FIRST_PAUSE_S)
    assert (again.task, again.tries) == (2, 1)
    for _ in range(40):
        queue.postpone(queue.next(1e9), "down", 0.0)
    assert queue.next(LONGEST_PAUSE_S - 1) is None
    assert queue.next(LONGEST_PAUSE_S).tries == 41
    assert queue.last_error() == "down"


def test_tasks_without_numbers_are_kept_once(tmp_path):
    queue = TaskQueue(tmp_path)
    bare = {"data": {"image": "a.png"}}
    for project in (None, 7):
        for _ in range(3):
            queue.add(project, [bare, {"data": {"image": "b.png"}}, task(1), bare], PALETTE)
    assert queue.counts()["waiting"] == 6  # a, b and task 1 of each project


def test_the_queue_takes_hostile_tasks(tmp_path):
    queue = TaskQueue(tmp_path)
    queue.add(None, [{"id": "\ud800", "data": "\ud800"}, {"id": 10**30}, {}], "\ud800")
    assert queue.counts()["waiting"] == 3
    assert queue.next(0.0).body == {"id": "\ud800", "data": "\ud800"}


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("7.1795240125", 7),
        (7, 7),
        ("7", 7),
        ("", None),
        (None, None),
        ("x.1", None),
        ("-3", None),
        ("9" * 30, None),
        ("²", None),
    ],
)
def test_project_numbers(sent, number):
    assert project_id(sent) == number


def test_task_numbers():
    assert [task_id({"id": value}) for value in (3, True, "3", -1, 2**63, None)] == [3, None, None, None, None, None]


def test_only_one_process_works_a_queue_off(tmp_path):
    store = PredictionStore()
    with store.serve() as label_studio:
        settings = with_store(tmp_path, label_studio)
        with serving(settings, BandSegmenter()) as (_, one):
            one.queue.add(7, [task(9)], PALETTE)
            one.worker.wake()
            until(lambda: one.queue.counts()["waiting"] == 0)  # it holds the lock
            other_model = BandSegmenter()
            with serving(settings, other_model) as (_, other):
                other.queue.add(7, [task(n) for n in range(1, 4)], PALETTE)
                other.worker.wake()
                until(lambda: other.queue.counts()["waiting"] == 0)
                assert other_model.calls == []
    assert sorted(one["task"] for one in store.predictions) == [1, 2, 3, 9]


def test_kill_9_loses_nothing(tmp_path):
    store = PredictionStore()
    with store.serve() as label_studio:
        settings = with_store(tmp_path, label_studio)
        TaskQueue(tmp_path).add(7, [task(n) for n in range(1, 9)], PALETTE)
        command = [sys.executable, "-m", "tests.ls_backend.test_background", str(tmp_path), settings.label_studio_url]
        for target in (2, 4):
            child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
            try:
                until(lambda target=target: len(store.predictions) >= target, 60)
            finally:
                child.send_signal(signal.SIGKILL)
                child.wait()
        left = TaskQueue(tmp_path).counts()["waiting"]
        assert 0 < left <= 8 - 4 + 1
        with serving(settings, BandSegmenter()) as (_, backend):
            until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 0}, 60)
    assert sorted(one["task"] for one in store.predictions) == [1, 2, 3, 4, 5, 6, 7, 8]
    with sqlite3.connect(tmp_path / "queue.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


class Unhurried(BandSegmenter):
    """Takes a while for each image, so that a kill meets it at work."""

    def segment_many(self, images):
        time.sleep(0.3)
        return super().segment_many(images)


if __name__ == "__main__":
    own = settings_for(Path(sys.argv[1]), label_studio_url=sys.argv[2], label_studio_api_key=Secret(LEGACY))
    with serving(own, Unhurried()):
        print(json.dumps({"pid": os.getpid()}), flush=True)
        signal.pause()
