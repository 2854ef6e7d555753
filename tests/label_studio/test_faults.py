"""Things that go wrong: each costs its own task at most, and nothing that was asked for is lost."""

import signal
import threading

import numpy as np

from tests.label_studio import photos
from tests.label_studio.results import assert_masks_and_texts, regions
from tests.label_studio.studio import until

IN_PROGRESS = "zeroguide_predict_requests"
FEW = ("cat", "street", "kitchen")
PLAIN = {"ZEROGUIDE_PRESET": "untrained", "ZEROGUIDE_WEIGHTS": "", "ZEROGUIDE_MIN_AREA": "0"}  # a second a photo
SHORT = {**PLAIN, "ZEROGUIDE_DEADLINE_S": "1"}


def connected(studio, backend, title, files, template="free_text.xml"):
    """A new project with uploaded files and the backend; its number, and the tasks' by file name."""
    project = studio.project(title, template)
    tasks = studio.upload(project, files)
    assert len(tasks) == len(files)
    assert studio.connect(project, backend.url)["state"] == "CO"
    return project, tasks


def asking(studio, project):
    """Press "Retrieve Predictions" without waiting for the end."""
    thread = threading.Thread(target=studio.retrieve, args=[project], daemon=True)
    thread.start()
    return thread


def whole(studio, project, version):
    """Whether every task has exactly one prediction, of that version and with regions."""
    return all(
        len(found) == 1 and found[0]["model_version"] == version and found[0]["result"]
        for found in studio.predictions(project).values()
    )


def test_one_broken_image_among_twelve(studio, backend):
    files = {**photos.twelve(), "cake.jpg": photos.broken("cake")}
    project, tasks = connected(studio, backend, "broken", files)
    studio.retrieve(project)
    stored = studio.predictions(project)
    for name, content in files.items():
        result = [entry for prediction in stored[tasks[name]] for entry in prediction["result"]]
        if name == "cake.jpg":
            assert result == []
        else:
            assert_masks_and_texts(result, *photos.pixels(content).shape[:2])
    assert f"task {tasks['cake.jpg']}: " in backend.log.read_text()
    assert f"task {tasks['cake.jpg']}: " in backend.status_page()


def test_a_backend_that_is_down_and_comes_back(studio, backend_of):
    backend = backend_of("down", **PLAIN)
    project = studio.project("down", "free_text.xml")
    tasks = studio.upload(project, {"street.jpg": photos.photo("street")})
    status, answer = studio.ask("POST", "/api/ml", {"project": project, "url": backend.url, "title": "zeroguide"})
    assert status == 400
    assert f"connect to ML backend {backend.url}, health check failed" in str(answer)
    backend.start()
    studio.connect(project, backend.url)
    backend.end()
    studio.retrieve(project)
    assert studio.predictions(project) == {task: [] for task in tasks.values()}
    assert [one["state"] for one in studio.call("GET", f"/api/ml?project={project}")] == ["DI"]
    backend.start()
    studio.retrieve(project)
    assert whole(studio, project, backend.version)
    assert [one["state"] for one in studio.call("GET", f"/api/ml?project={project}")] == ["CO"]


def test_a_backend_that_is_killed_in_the_middle_of_a_request(studio, backend_of):
    backend = backend_of(
        "mid-request", **PLAIN
    ).start()  # not preloaded: the request lasts as long as loading, at least
    files = {f"{name}.png": photos.fresh(name, 1) for name in FEW[:2]}
    project, tasks = connected(studio, backend, "mid-request", files)
    asked = asking(studio, project)
    until(lambda: backend.metric(IN_PROGRESS), "the request is being worked on")
    backend.end(signal.SIGKILL)
    asked.join()
    assert studio.predictions(project) == {task: [] for task in tasks.values()}
    backend.start()
    studio.retrieve(project)
    assert whole(studio, project, backend.version)


def test_what_misses_the_deadline_is_sent_when_done(studio, backend_of):
    backend = backend_of("slow", **SHORT).start()
    files = {f"{name}.png": photos.fresh(name, 2) for name in photos.NAMES}
    project, tasks = connected(studio, backend, "slow", files)
    studio.retrieve(project)
    assert "tasks did not fit into 1 s" in backend.log.read_text()
    until(lambda: whole(studio, project, backend.version), "every task has its prediction, once")
    for name, content in files.items():
        (prediction,) = studio.predictions(project)[tasks[name]]
        assert_masks_and_texts(prediction["result"], *photos.pixels(content).shape[:2])
    before = studio.predictions(project)
    studio.retrieve(project)
    assert studio.predictions(project) == before


def test_a_queue_run_that_is_killed_loses_nothing(studio, backend_of):
    backend = backend_of("queue", **SHORT).start()
    files = {f"{name}.png": photos.fresh(name, 3) for name in photos.NAMES}
    project, tasks = connected(studio, backend, "queue", files)
    studio.retrieve(project)

    def done():
        return [task for task, found in studio.predictions(project).items() if any(one["result"] for one in found)]

    until(done, "the first prediction was sent")
    backend.end(signal.SIGKILL)
    first = done()
    assert len(first) < len(tasks)  # the rest was in the queue
    version = backend.start().version
    until(lambda: whole(studio, project, version), "every task has its prediction, once")
    assert set(first) < set(done()) == set(tasks.values())


def test_predictions_do_not_depend_on_the_way_they_came(studio, backend, backend_of):
    """Through the answer of one backend and the queue of another: the same regions."""
    late = backend_of("late", ZEROGUIDE_DEADLINE_S="1").start()
    files = {"giraffes.png": photos.fresh("giraffes", 4)}
    found = []
    for one, title in ((backend, "answered"), (late, "queued")):
        project, _ = connected(studio, one, title, files)
        studio.retrieve(project)
        until(lambda one=one, project=project: whole(studio, project, one.version), "the prediction is there")
        ((prediction,),) = studio.predictions(project).values()
        found.append(regions(prediction["result"]))
    answered, queued = found
    assert answered.keys() == queued.keys()
    for number in answered:
        assert answered[number].text == queued[number].text
        np.testing.assert_array_equal(answered[number].mask, queued[number].mask)
