"""What the server tells of its work: prompts it does not read, tasks that fail and tasks that come late."""

import logging
import re

import pytest

from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.runs import ended, make_photos, start
from tests.ls_backend.serving import PALETTE, serving, settings_for, task
from tests.ls_backend.test_app import Slow, metric, until

PROMPT = {"result": [{"type": "textarea", "from_name": "prompt", "value": {"text": ["red ball"]}}]}


def numbers_on(page):
    """What stands in the status page's tiles, by their id."""
    return {name: int(number) for name, number in re.findall(r'<dd id="(\w+)">(\d+)</dd>', page)}


def ask(client, tasks, **params):
    body = {"tasks": tasks, "project": "7.1", "label_config": PALETTE, "params": {"login": None, **params}}
    return client.post("/predict", body)


def test_a_prompt_is_answered_with_every_segment_and_said_not_to_be_read(tmp_path, caplog):
    with serving(settings_for(tmp_path), BandSegmenter()) as (client, backend), caplog.at_level(logging.WARNING):
        ordinary = ask(client, [task(1)], context=None)
        assert "prompt" not in caplog.text
        assert ask(client, [task(1)], context=PROMPT) == ordinary
        (line,) = [line for line in caplog.messages if "prompt" in line]
        assert line.endswith(": project 7: a prompt (textarea) is not read; the answer has every segment")
        assert "red ball" not in caplog.text
        assert backend.log.projects["7"].prompts == 1
        assert "1 prompt was answered with every segment" in client.get("/")[2].decode()


@pytest.mark.parametrize("context", [7, "x", {"result": None}, {"result": ["\ud800", {"type": ["a" * 500]}]}, [1]])
def test_prompts_of_any_form_are_answered(tmp_path, context, caplog):
    with serving(settings_for(tmp_path), BandSegmenter()) as (client, _), caplog.at_level(logging.WARNING):
        status, answer = ask(client, [task(1)], context=context)
        assert (status, len(answer["results"][0]["result"])) == (200, 8)
        (line,) = [line for line in caplog.messages if "a prompt (" in line]
        assert line.isprintable()
        assert len(line) < 250


def test_failed_and_late_tasks_are_told_apart(tmp_path, caplog):
    model = Slow(fast=1)
    with serving(settings_for(tmp_path, deadline_s=1.0), model) as (client, backend):
        client.predict([task(1)])
        with caplog.at_level(logging.WARNING):
            results = client.predict([task(1), {"id": 2, "data": {}}, task(3), task(4)])
        assert len(results[0]["result"]) == 8
        assert results[1:] == [{"result": []}, [], []]
        failed, late = caplog.records
        assert (failed.levelname, late.levelname) == ("ERROR", "WARNING")
        assert "task 2: " in failed.getMessage()
        assert "2 tasks did not fit into 1 s (3, 4); 2 are queued" in late.getMessage()
        assert [metric(client, f'zeroguide_tasks_total{{outcome="{kind}"}}') for kind in ("failed", "late")] == [1, 2]
        counted = numbers_on(client.get("/")[2].decode())
        assert (counted["predicted"], counted["failed"], counted["late"]) == (2, 1, 2)
        model.go.set()
        until(lambda: backend.log.tasks["background"] == 2)
        assert metric(client, 'zeroguide_tasks_total{outcome="background"}') == 2
        assert numbers_on(client.get("/")[2].decode())["background"] == 2


def test_a_server_that_stops_leaves_its_cache_in_one_file(tmp_path):
    with serving(settings_for(tmp_path), BandSegmenter()) as (client, _):
        client.predict([task(1)])
        assert (tmp_path / "predictions.sqlite-wal").exists()
    assert sorted(path.name for path in tmp_path.glob("predictions*")) == ["predictions.sqlite"]


def test_the_page_shows_runs_of_whole_collections(tmp_path):
    photos = tmp_path / "photos"
    make_photos(photos, 3)
    (photos / "bro<ken.png").write_bytes(b"no photo")
    ended(start(["prelabel", "photos", "--to", "out"], tmp_path, bands=True), 1)
    with serving(settings_for(tmp_path / "data"), BandSegmenter()) as (client, _):
        page = client.get("/")[2].decode()
    assert "3 of 4 done, 1 failed" in page
    assert '<progress max="4" value="3"' in page
    assert f"{tmp_path / 'out'}" in page
    assert "bro<ken" not in page


def test_without_weights_nothing_is_stored_and_tasks_are_asked_for_again(tmp_path):
    (tmp_path / "empty").mkdir()
    settings = settings_for(tmp_path / "data", "mini", weights=tmp_path / "empty")
    with serving(settings) as (client, _):
        status, answer = ask(client, [task(1), {"id": 2, "data": {}}])
        assert (status, answer["results"]) == (200, [[], {"result": []}])
        assert numbers_on(client.get("/")[2].decode())["failed"] == 2
        assert "the model cannot be loaded" in client.get("/")[2].decode()
