"""What SOURCE means, and which images it lists."""

import json
import os
from pathlib import Path

import click
import fsspec
import pytest

from ls_backend.addresses import FetchError
from ls_backend.fetch import Fetcher
from ls_backend.jobs.keys import key_of, path_of, shown
from ls_backend.jobs.photos import Photos, RemotePhoto
from ls_backend.jobs.sources import Reading, listed
from ls_backend.jobs.store import Claimed
from ls_backend.jobs.work import reason_of
from ls_backend.label_studio_project import NEW, ProjectAddress
from ls_backend.settings import Settings
from tests.ls_backend.runs import make_photos
from zgcore.errors import ConfigError, ImageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 2, size=(16, 8))
    make_photos(tmp_path / "photos/deep", 1, size=(16, 8))
    Path("photos/notes.txt").touch()
    return tmp_path


def keys(source, **reading):
    """Keys relative to the working folder."""
    found = [image.key for image in listed(source, Reading(Path("out"), **reading))]
    return [os.path.relpath(key) if key.startswith("/") else key for key in found]


def test_folders_files_and_globs(folder):
    assert keys("photos") == ["photos/00.png", "photos/01.png"]
    assert keys("photos", recursive=True) == ["photos/00.png", "photos/01.png", "photos/deep/00.png"]
    assert keys("photos/01.png") == ["photos/01.png"]
    assert keys("photos/**/00.*") == ["photos/00.png", "photos/deep/00.png"]
    Path("photos/odd[1].png").touch()
    assert keys("photos/odd[1].png") == ["photos/odd[1].png"]  # a name that only looks like a pattern


def test_a_file_is_marked_with_its_size_and_time(folder):
    (image,) = listed("photos/00.png", Reading(Path("out")))
    status = os.stat("photos/00.png")
    assert (image.mark, image.size, image.stem) == (f"{status.st_size}:{status.st_mtime_ns}", status.st_size, "00")


def test_the_runs_own_pictures_are_no_photos(folder):
    found = [image.stem for image in listed("photos", Reading(Path("photos/deep"), recursive=True))]
    assert found == ["00", "01"]


def test_a_list_has_a_path_or_address_a_line_relative_to_itself(folder):
    lines = ["# comment", "", "photos/00.png", f"{folder}/photos/01.png", "https://host/a%20b.jpg?x=1", "gone.png"]
    Path("list.txt").write_text("\n".join(lines))
    expected = ["photos/00.png", "photos/01.png", "https://host/a%20b.jpg?x=1", "gone.png"]
    assert keys("list.txt") == keys("@list.txt") == expected
    stems = [image.stem for image in listed("@list.txt", Reading(Path("out")))]
    assert stems == ["00", "01", "a b", "gone"]
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    assert keys("../list.txt")[0] == "../photos/00.png"


def test_a_line_that_is_no_image_ends_no_list(folder):
    Path("cam:00.png").write_bytes(Path("photos/00.png").read_bytes())
    lines = ["urn:foo", "cam:00.png", "task:1/2", "file:/etc/passwd", "no\0name", "photos/00.png"]
    Path("list.txt").write_text("\n".join(lines))
    found = keys("list.txt")
    assert found[:4] == ["urn:foo", "cam:00.png", "unread:task:1/2", "unread:file:/etc/passwd"]
    assert found[5] == "photos/00.png"
    assert keys("cam:00.png") == ["cam:00.png"]
    fetch = Fetcher(Settings()).fetch
    for key in (found[0], *found[2:4]):
        with pytest.raises(FetchError, match=r"addresses of kind (urn|unread): are not read"):
            Photos(fetch).of(Claimed(1, key, "a", "", 1, None, None)).read()


def test_a_coco_file_names_files_or_addresses(folder):
    images = [
        {"file_name": "00.png"},
        {"file_name": "far.jpg", "coco_url": "http://images.example/far.jpg"},
        {"file_name": "gone.jpg"},
        {"file_name": "s3://bucket/x.jpg"},
    ]
    Path("instances.json").write_text(json.dumps({"images": images}))
    rest = ["http://images.example/far.jpg", "photos/gone.jpg", "s3://bucket/x.jpg"]
    assert keys("instances.json", images=Path("photos")) == ["photos/00.png", *rest]
    assert keys("instances.json")[0] == "00.png"


@pytest.mark.parametrize("content", ["{}", "[1]", '{"images": [{}]}', "no json", '{"images": 3}', "[" * 1000])
def test_json_that_is_no_coco_file_is_refused(folder, content):
    Path("x.json").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.json: is no COCO file"):
        keys("x.json")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("@none.txt", ConfigError, "none.txt: the list cannot be read: No such file"),
        ("nothing/*.jpg", ConfigError, r"nothing/\*.jpg: no file matches"),
        ("ftp://h/a.jpg", ConfigError, "addresses of kind ftp: are not read"),
        ("nowhere", ImageError, "nowhere: no such file or folder"),
        ("empty", click.UsageError, "no photos in empty"),
    ],
)
def test_a_source_of_nothing_is_refused(folder, source, error, message):
    os.mkdir("empty")
    with pytest.raises(error, match=message):
        keys(source)


def test_an_object_store_is_listed_with_marks_that_change(folder):
    """A real fsspec file system; those of the clouds have the same calls."""
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/a/1.jpg": b"1", "/bucket/a/deep/2.PNG": b"2", "/bucket/a/notes.txt": b"3"})
    try:
        reading = Reading(Path("out"), object_store=lambda scheme: store)
        found = {image.key: image.mark for image in listed("s3://bucket/a/", reading)}
        assert sorted(found) == ["s3://bucket/a/1.jpg", "s3://bucket/a/deep/2.PNG"]
        assert [image.key for image in listed("s3://bucket/a/*.jpg", reading)] == ["s3://bucket/a/1.jpg"]
        store.pipe({"/bucket/a/1.jpg": b"another"})
        again = {image.key: image.mark for image in listed("s3://bucket/a/", reading)}
        assert [key for key in found if found[key] != again[key]] == ["s3://bucket/a/1.jpg"]
        assert [image.key for image in listed("s3://bucket/one.jpg", reading)] == ["s3://bucket/one.jpg"]
        with pytest.raises(ConfigError, match="s3://nothing/: holds no images"):
            list(listed("s3://nothing/", reading))
    finally:
        store.rm("/bucket", recursive=True)


def test_what_a_stores_library_raises_tells_no_keys():
    class Broken:
        def walk(self, *_, **__):
            raise RuntimeError("secret-key")

    with pytest.raises(FetchError, match=r"s3://bucket/: cannot be listed \(RuntimeError\)") as caught:
        list(listed("s3://bucket/", Reading(Path("out"), object_store=lambda scheme: Broken())))
    assert "secret-key" not in str(caught.value)


def test_keys_hold_any_file_name():
    for name in (b"/p/plain.jpg", b"/p/\xff\xfe 100%.jpg", "/p/ä:b.jpg".encode()):
        path = Path(os.fsdecode(name))
        key = key_of(path)
        key.encode()
        assert path_of(key) == path
    assert path_of("https://host/a.jpg") is None
    assert path_of("task:3/7") is None


def test_addresses_are_shown_without_secrets():
    assert shown("https://me:geheim@host/a.jpg?sig=geheim") == "https://host/a.jpg?..."
    assert shown("s3://bucket/a.jpg") == "s3://bucket/a.jpg"
    assert shown("s3://me:geheim@bucket/a.jpg") == "s3://bucket/a.jpg"


def test_a_remote_photo_is_unchanged_if_its_bytes_are(folder):
    content = Path("photos/00.png").read_bytes()
    fetched = []

    def fetch(reference):
        fetched.append(reference)
        return content

    claimed = Claimed(1, "https://host/a.png?sig=1", "a", "", 1, None, None)
    photo = Photos(fetch).of(claimed)
    assert isinstance(photo, RemotePhoto)
    file = photo.read()
    assert file.decode().shape == (8, 16, 3)
    assert (file.file.path, file.file.size) == ("https://host/a.png?...", len(content))
    assert photo.is_unchanged(file.file)
    assert photo.read().file == file.file  # with the bytes that were looked at
    assert fetched == ["https://host/a.png?sig=1"] * 2
    content = b"no photo"
    assert not photo.is_unchanged(file.file)
    with pytest.raises(ImageError, match=r"^https://host/a\.png\?\.\.\.: not an image"):
        photo.read().decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label-studio:12", ProjectAddress(None, 12)),
        ("label-studio:new", ProjectAddress(None, NEW)),
        ("http://host:8080/projects/12", ProjectAddress("http://host:8080", 12)),
        ("https://host/ls/projects/12/data?tab=3", ProjectAddress("https://host/ls", 12)),
        ("https://host/projects/12/photo.jpg", None),
        ("results", None),
        ("label-studio:x", None),
    ],
)
def test_projects_are_told_from_folders_and_images(text, expected):
    assert ProjectAddress.parse(text) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("/p/a.jpg: the file is empty", "the file is empty"),
        ("/p/a.jpg: 12000 x 10000 is more than 100,000,000 pixels", "N x N is more than N pixels"),
        ("http://h:80/a?...: answered with status 404; check", "answered with status 404; check"),
        ("task 17: its data has no image", "its data has no image"),
        ("out of memory: try less", "out of memory: try less"),
        ("/p/a.jpg: 127.0.0.1 does not answer", "127.0.0.1 does not answer"),
    ],
)
def test_reasons_leave_out_what_is_special_to_an_image(error, reason):
    assert reason_of(error) == reason
