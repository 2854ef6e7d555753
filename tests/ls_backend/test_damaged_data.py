"""Files of the data folder that are damaged or taken away while the server runs: said, and never in its way."""

import html

import pytest

from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import serving, settings_for, task
from tests.ls_backend.test_app import annotated, metric, until


@pytest.fixture
def server(tmp_path):
    with serving(settings_for(tmp_path), BandSegmenter()) as (client, backend):
        yield client, backend, tmp_path


def damage(folder, name):
    """Overwrite a database, and take away what SQLite keeps beside it."""
    path = folder / name
    path.write_bytes(b"no database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (folder / (name + suffix)).unlink(missing_ok=True)
    return path


@pytest.mark.parametrize("name", ["queue.sqlite", "acceptance.sqlite"])
def test_a_damaged_file_needs_attention(server, name):
    client, backend, folder = server
    client.predict([task(1)])
    backend.acceptance.settle()
    path = damage(folder, name)
    status, _, content = client.get("/")
    page = html.unescape(content.decode())
    assert status == 200
    assert "Needs attention" in page
    assert f"{path} cannot be read: " in page
    assert "delete the file" in page
    assert client.get("/metrics")[0] == 200
    assert len(client.predict([task(1)])[0]["result"]) == 8


def test_a_queue_that_was_taken_away_is_made_again(server):
    client, backend, folder = server
    for path in folder.glob("queue.sqlite*"):
        path.unlink()
    assert client.get("/")[0] == client.get("/metrics")[0] == 200
    assert metric(client, 'zeroguide_queue_tasks{state="waiting"}') == 0
    assert "queue.sqlite cannot be read" not in client.get("/")[2].decode()
    backend.queue.add(7, [task(1)], "")
    until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 1})  # its config is empty


def test_statistics_whose_tables_are_gone_begin_anew(server):
    client, backend, _ = server
    (result,) = client.predict([task(1)])
    backend.acceptance.settle()
    with backend.acceptance._connected() as connection:
        connection.execute("DROP TABLE annotations")
    event = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 1, "result": annotated(result["result"])}}
    assert client.get("/")[0] == client.post("/webhook", event)[0] == 200
    backend.acceptance.settle()
    assert metric(client, 'zeroguide_annotated_regions{outcome="accepted"}') == 4
