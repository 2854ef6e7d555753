"""The client of Label Studio's API: pages, parts, errors with cures, and when a request is sent again."""

import json

import pytest

from ls_backend import label_studio_http
from ls_backend.addresses import FetchError
from ls_backend.label_studio_api import LabelStudioApi, LabelStudioRefuses
from ls_backend.label_studio_http import LabelStudioHttp
from ls_backend.label_studio_parts import ITEMS_A_REQUEST, request_bodies, same_address, small_enough
from ls_backend.pinned_http import TooLarge
from ls_backend.settings import BasicAuth, Secret, Settings
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.studio_answers import BLOCKED, KEY, Studio, error

BRUSH = {"id": "r", "from_name": "mask", "to_name": "image", "type": "brushlabels", "value": {"rle": [1]}}


@pytest.fixture
def studio():
    return Studio()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """The pauses between tries, kept and not waited for."""
    pauses = []
    monkeypatch.setattr(label_studio_http.time, "sleep", pauses.append)
    return pauses


def many(studio, count, project=1):
    for number in range(1, count + 1):
        studio.tasks[number] = {"id": number, "project": project, "data": {"image": f"/{number}.jpg"}}


def test_version_needs_no_token_and_a_user_does(studio):
    with studio.serve(key=None) as (api, _):
        assert api.version() == "1.23.2"
        with pytest.raises(
            LabelStudioRefuses, match=r"status 401: Invalid token\.\); take a token of a user"
        ) as caught:
            api.user()
        assert (caught.value.status, caught.value.detail) == (401, "Invalid token.")


def test_all_projects_of_several_pages(studio):
    studio.projects = {number: studio.new_project(number, "<View/>") for number in range(1, 206)}
    with studio.serve() as (api, _):
        assert [project["id"] for project in api.projects()] == list(range(1, 206))
    assert [query["page"] for _, path, query in studio.seen] == [["1"], ["2"], ["3"]]


def test_tasks_come_once_and_in_order_while_others_delete_and_add(studio):
    many(studio, 10)
    with studio.serve() as (api, _):
        tasks = api.tasks(1, page_size=4)
        first = [next(tasks)["id"] for _ in range(4)]
        del studio.tasks[2], studio.tasks[5]
        studio.tasks[11] = {"id": 11, "project": 1, "data": {"image": "/11.jpg"}}
        assert first + [task["id"] for task in tasks] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
        assert {query["review"][0] for _, _, query in studio.seen} == {"true"}  # listing must not predict


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_no_page_is_asked_for_that_cannot_be_there(studio, count, requests):
    many(studio, count)
    with studio.serve() as (api, _):
        assert len(list(api.tasks(1, page_size=4))) == count
    assert len(studio.seen) == requests


def test_only_numbers_of_many_tasks(studio):
    many(studio, 2500)
    with studio.serve() as (api, _):
        assert list(api.task_ids(1)) == list(range(1, 2501))
    assert len(studio.seen) == 3


def test_filters_are_sent_beside_the_page(studio):
    many(studio, 1)
    bare = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
    with studio.serve() as (api, _):
        list(api.tasks(1, filters=[bare]))
    query = json.loads(studio.seen[0][2]["query"][0])
    assert query["filters"]["items"] == [
        bare,
        {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": 0},
    ]
    assert query["ordering"] == ["tasks:id"]


def test_answers_that_are_too_large_are_asked_for_in_smaller_parts(studio):
    many(studio, 6)
    for task in studio.tasks.values():
        task["data"]["note"] = "x" * 1000
    with studio.serve() as (api, settings):
        api._http = LabelStudioHttp(settings.label_studio_url, settings.label_studio_api_key, max_answer=2500)
        assert [task["id"] for task in api.tasks(1, page_size=8)] == [1, 2, 3, 4, 5, 6]
        assert [task["id"] for task in api.export_tasks(1)] == [1, 2, 3, 4, 5, 6]
        studio.tasks[3]["data"]["note"] = "x" * 3000
        with pytest.raises(FetchError, match="answer for one task is too large"):
            list(api.tasks(1))


def test_the_export_has_every_task_in_order_with_ids_of_predictions(studio):
    many(studio, 120)
    studio.predictions = [{"id": 7, "task": 2, "result": []}]
    with studio.serve() as (api, _):
        tasks = list(api.export_tasks(1))
    assert [task["id"] for task in tasks] == list(range(1, 121))
    assert tasks[1]["predictions"] == [7]
    assert sum(path.endswith("/export") for _, path, _ in studio.seen) == 3


def test_imported_tasks_have_numbers_in_their_order(studio):
    with studio.serve() as (api, _):
        numbers = api.import_tasks(1, ({"data": {"image": f"/{index}.jpg"}} for index in range(ITEMS_A_REQUEST + 2)))
    assert len(numbers) == ITEMS_A_REQUEST + 2
    assert [studio.tasks[number]["data"]["image"] for number in numbers[-2:]] == ["/1000.jpg", "/1001.jpg"]
    assert [method for method, _, _ in studio.seen] == ["POST", "POST"]


def test_an_import_whose_numbers_are_not_told_is_an_error(studio):
    studio.refuses = lambda method, path: (201, {"task_count": 1, "import": 5})
    with studio.serve() as (api, _), pytest.raises(FetchError, match="1 tasks were sent and Label Studio does not"):
        api.import_tasks(1, [{"data": {}}])


def test_predictions_that_do_not_fit_are_not_counted(studio):
    many(studio, 2)
    wrong = {**BRUSH, "from_name": "nowhere"}
    with studio.serve() as (api, _):
        both = [{"task": 1, "result": [BRUSH]}, {"task": 2, "result": [wrong]}]
        assert api.import_predictions(1, both) == 1
        with pytest.raises(LabelStudioRefuses, match="took no prediction for task 2: it does not fit the labelling"):
            api.store_prediction(1, 2, {"model_version": "v", "result": [wrong]})
        assert [one["task"] for one in studio.predictions] == [1]


def test_a_prediction_is_stored_once_and_takes_the_place_of_an_empty_one(studio):
    many(studio, 1)
    studio.predictions = [{"id": 5, "task": 1, "result": [], "model_version": "v"}]
    prediction = {"model_version": "v", "result": [BRUSH], "score": 0.5}
    with studio.serve() as (api, _):
        assert api.store_prediction(1, 1, prediction)
        assert not api.store_prediction(1, 1, prediction)
    assert [(one["id"], one["result"]) for one in studio.predictions] == [(6, [BRUSH])]


def test_an_uploaded_file_has_an_address_for_tasks(studio, tmp_path):
    photo = tmp_path / 'ä"\r\n.jpg'
    photo.write_bytes(b"\xff\xd8photo")
    with studio.serve() as (api, _):
        assert api.upload_file(1, photo) == "/data/upload/1/1-a.jpg"
    assert b"\r\n\r\n\xff\xd8photo\r\n--" in studio.uploads[0]
    assert studio.uploads[0].count(b"Content-Disposition") == 1
    assert b"Content-Type: image/jpeg" in studio.uploads[0]


def test_backends_are_connected_with_their_password(studio):
    with studio.serve() as (api, _):
        auth = BasicAuth("me", Secret("hunter2"))
        made = api.add_ml_backend(1, "http://b:9090", auth=auth, is_interactive=True)
        assert (made["title"], made["auth_method"], made["basic_auth_pass"]) == ("zeroguide", "BASIC_AUTH", "hunter2")
        api.update_ml_backend(made["id"], 1, "http://b:9090")
        assert api.ml_backends(1)[0]["auth_method"] == "NONE"
        assert [hook["url"] for hook in api.webhooks(1)] == ["http://b:9090/webhook"]
        api.delete_ml_backend(made["id"])
        assert api.ml_backends(1) == []


def test_blocked_addresses_are_told_and_nothing_is_made(studio):
    with studio.serve() as (api, _):
        api.check_url("ml", "http://b:9090")
        api.check_url("webhooks", "http://b:9090")
        studio.blocked = {"ml", "webhooks"}
        for kind in ("ml", "webhooks"):
            with pytest.raises(LabelStudioRefuses, match="start it with ML_BLOCK_LOCAL_IP=false and SSRF") as caught:
                api.check_url(kind, "http://b:9090")
            assert (caught.value.status, caught.value.detail) == (403, BLOCKED)
    assert studio.backends == studio.hooks == {}


# When a request is sent again


def failing(studio, *answers):
    """The first requests are answered with these."""
    left = list(answers)
    studio.refuses = lambda method, path: left.pop(0) if left else None


def test_what_passes_is_tried_again_after_longer_and_longer_pauses(studio, no_pauses):
    failing(studio, error(500, "database is locked"), reply(502), reply(503))
    with studio.serve() as (api, _):
        assert api.project(1)["id"] == 1
    assert len(studio.seen) == 4
    assert [0.4 <= no_pauses[0] <= 0.6, 0.8 <= no_pauses[1] <= 1.2, 1.6 <= no_pauses[2] <= 2.4] == [True] * 3


@pytest.mark.parametrize(("header", "pause"), [("3", 3.0), ("3600", 8.0)])
def test_the_pause_is_as_long_as_label_studio_wants_and_bounded(studio, no_pauses, header, pause):
    failing(studio, reply(429, Retry_After=header))
    with studio.serve() as (api, _):
        api.project(1)
    assert no_pauses == [pause]


def test_it_ends_some_time(studio):
    studio.refuses = lambda method, path: error(503, "busy")
    with studio.serve(tries=3) as (api, _):
        with pytest.raises(FetchError, match=r"/api/projects/1/: Label Studio answers 503: busy; try again later"):
            api.project(1)
        assert len(studio.seen) == 3


def test_a_post_that_may_have_arrived_is_not_sent_again(studio):
    for first, requests in ((error(500, "x"), 1), (reply(502), 1), (b"", 1), (reply(503), 2), (reply(429), 2)):
        studio.seen.clear()
        failing(studio, first)
        with studio.serve() as (api, _):
            if requests == 1:
                with pytest.raises(FetchError):
                    api.import_tasks(1, [{"data": {}}])
            else:
                api.import_tasks(1, [{"data": {}}])
        assert len(studio.seen) == requests, first


def test_a_get_whose_connection_breaks_is_sent_again(studio):
    failing(studio, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
    with studio.serve() as (api, _):
        assert api.project(1)["id"] == 1


def test_a_label_studio_that_is_down_is_waited_for(no_pauses):
    with Loopback(None) as gone:
        url = f"http://127.0.0.1:{gone.port}"
    settings = Settings(label_studio_url=url, label_studio_api_key=Secret(KEY))
    with pytest.raises(FetchError, match="cannot be reached: Connection refused; check that it is up"):
        LabelStudioApi(url, settings).import_tasks(1, [{"data": {}}])
    assert len(no_pauses) == 3


# Answers of other servers, and other errors


@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (reply(200, b"<html>"), FetchError, "is no JSON; check that label_studio_url is Label Studio"),
        (reply(200, b"[" * 100_000), FetchError, "is no JSON"),
        (reply(200, b"[]"), FetchError, "not what its API gives"),
        (reply(302, location="/user/login/"), LabelStudioRefuses, "redirect .status 302.; set label_studio_url to"),
        (reply(404), LabelStudioRefuses, "answers 404; is it still there"),
        (reply(400, b"[1]"), LabelStudioRefuses, r"answers 400$"),
    ],
)
def test_answers_that_are_none(studio, answer, kind, match):
    studio.refuses = lambda method, path: answer
    with studio.serve() as (api, _), pytest.raises(kind, match=match):
        api.project(1)


def test_details_of_nested_forms_are_one_line(studio):
    nested = {"actions": {"0": ["no\nchoice."]}, "non_field_errors": ["all wrong"], "a": {"b": ["c", {"d": "e"}]}}
    studio.refuses = lambda method, path: error(400, **nested)
    with studio.serve() as (api, _), pytest.raises(LabelStudioRefuses) as caught:
        api.project(1)
    assert caught.value.detail == "0: no choice. all wrong b: c d: e"


def test_the_token_stays_out_of_messages(studio):
    with studio.serve(key="s3cret" * 5) as (api, _):
        for call in (api.user, lambda: api.import_tasks(1, [{"data": {}}]), lambda: list(api.tasks(1))):
            with pytest.raises(LabelStudioRefuses) as caught:
                call()
            assert "s3cret" not in f"{caught.value!r}"


# Parts


def test_parts_of_requests_by_number_and_by_size():
    items = [{"n": index} for index in range(ITEMS_A_REQUEST * 2 + 1)]
    bodies = list(request_bodies(items))
    assert [count for count, _ in bodies] == [ITEMS_A_REQUEST, ITEMS_A_REQUEST, 1]
    assert [one for _, body in bodies for one in json.loads(body)] == items
    large = [{"rle": "x" * 20_000_000}] * 3
    assert [count for count, _ in request_bodies(large)] == [1, 1, 1]
    assert list(request_bodies([])) == []


def test_sizes_are_halved_until_they_fit():
    asked = []

    def ask(size):
        asked.append(size)
        if size > 12:
            raise TooLarge("too large")
        return "answer"

    assert small_enough(ask, 100) == ("answer", 12)
    assert asked == [100, 50, 25, 12]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://B:80/", "http://b", True),
        ("http://b:9090/x/", "http://b:9090/x", True),
        ("http://b:9090", "http://b:9091", False),
        ("http://b", "https://b", False),
        (None, "http://b", False),
    ],
)
def test_same_addresses(one, other, same):
    assert same_address(one, other) is same
