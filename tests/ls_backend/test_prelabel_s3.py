"""A collection in an object store: S3's protocol on loopback, listed, read, and asked again for what changed."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.ls_backend.runs import ended, make_photos, results, start, times

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret-key", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def store(monkeypatch):
    """A client of a store with an empty bucket, and where the store is."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    yield client
    server.stop()


def test_objects_below_a_prefix_become_results_and_changed_ones_are_done_again(store, tmp_path):
    paths = make_photos(tmp_path / "photos", 4)
    for path in paths[:3]:
        store.upload_file(str(path), "photos", f"trip/{path.name}")
    store.upload_file(str(paths[3]), "photos", "elsewhere/other.png")
    store.put_object(Bucket="photos", Key="trip/notes.txt", Body=b"no photo")
    command = ["prelabel", "s3://photos/trip/", "--to", "out"]
    ended(start(command, tmp_path, bands=True), 0)
    first, made = results(tmp_path / "out"), times(tmp_path / "out")
    assert [record["source"]["path"] for record in first.values()] == [f"s3://photos/trip/0{n}.png" for n in range(3)]
    store.upload_file(str(paths[3]), "photos", "trip/01.png")
    ended(start(command, tmp_path, bands=True), 0)
    again = times(tmp_path / "out")
    assert {name for name in again if again[name] != made[name]} == {"01"}
    out, err = ended(start(["jobs", "list", "--json"], tmp_path), 0)
    assert "secret-key" not in out + err
