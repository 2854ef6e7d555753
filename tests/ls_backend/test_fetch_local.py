"""Images that come without HTTP: files of this machine, data: URIs, object stores."""

import base64
import os
import time
import tracemalloc
from contextlib import suppress

import pytest

from ls_backend.fetch import MAX_REFERENCE, FetchError
from ls_backend.local_files import open_below
from tests.ls_backend.fetching import LEGACY, PHOTO, fetcher, refused, serve
from tests.ls_backend.loopback import Loopback, reply

# Files of this machine


@pytest.fixture
def root(tmp_path):
    """tmp_path/root with a photo in a folder, beside a secret that is out of bounds."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "rooted").mkdir()
    (tmp_path / "rooted" / "secret.jpg").write_bytes(b"secret")
    folder = tmp_path / "root" / "photos"
    folder.mkdir(parents=True)
    (folder / "käse 1.jpg").write_bytes(PHOTO)
    (folder / "inside.jpg").symlink_to("käse 1.jpg")
    (folder / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "up").symlink_to("../..")
    (folder / "circle").symlink_to("circle")
    (folder / "other").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "reference",
    [
        "/data/local-files/?d=photos/k%C3%A4se%201.jpg",
        "/data/local-files/?d=photos/käse+1.jpg",
        "/data/local-files?x=y&d=photos/../photos/käse 1.jpg",
        "photos/käse 1.jpg",
        "{root}/photos/käse 1.jpg",
        "file://{root}/photos/k%C3%A4se%201.jpg",
        "file://localhost{root}/photos/käse 1.jpg",
        "photos/inside.jpg",
        "photos/other/inside.jpg",
    ],
)
def test_files_below_the_root_are_read(root, reference):
    assert fetcher(local_root=root).fetch(reference.format(root=root)) == PHOTO


@pytest.mark.parametrize(
    "reference",
    [
        "/data/local-files/?d=../secret.jpg",
        "/data/local-files/?d=photos/../../secret.jpg",
        "/data/local-files/?d=%2e%2e%2fsecret.jpg",
        "/data/local-files/?d=..%2Fsecret.jpg",
        "/data/local-files/?d={root}/../secret.jpg",
        "/data/local-files/?d=/etc/passwd",
        "/data/local-files/?d=../rooted/secret.jpg",
        "../secret.jpg",
        "photos/../../secret.jpg",
        "photos/outside.jpg",
        "photos/up/secret.jpg",
        "photos/other/up/secret.jpg",
        "file:///etc/passwd",
        "file://{root}/../secret.jpg",
        "file://{root}/%2e%2e/secret.jpg",
        "file://{root}ed/secret.jpg",
        "file:../secret.jpg",
    ],
)
def test_nothing_leads_out_of_the_root(root, reference):
    refused(fetcher(local_root=root), reference.format(root=root), "leads out of fetch.local_root")


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        ("photos/pipe.jpg", "is not a regular file"),
        ("photos", "is not a regular file"),
        ("photos/circle", "cannot be opened"),
        ("photos/a\0b.jpg", "cannot be opened"),
        ("photos/" + "x" * 300, "cannot be opened"),
        ("photos/nothing.jpg", "path on Label Studio's host; set label_studio_url"),
        ("photos/käse 1.jpg/x", "path on Label Studio's host; set label_studio_url"),
        ("file:///nothing", "leads out of"),
        ("file://{root}/nothing.jpg", "no such file"),
        ("file://evil.example{root}/photos/inside.jpg", "not a file of this machine"),
        ("file://[", "not a file of this machine"),
        ("/etc/passwd", "path on Label Studio's host"),
    ],
)
def test_what_is_no_image_file(root, reference, match):
    refused(fetcher(local_root=root), reference.format(root=root), match)


def test_a_file_over_the_limit_is_not_read(root):
    with (root / "large.jpg").open("wb") as file:
        file.truncate(10**10)  # sparse: takes no disk
    refused(fetcher(local_root=root, max_mb=1), "large.jpg", "larger than 1 MB")


def test_files_are_not_read_without_a_root(root):
    refused(fetcher(), f"file://{root}/photos/inside.jpg", "set fetch.local_root")
    refused(fetcher(), f"{root}/photos/inside.jpg", "path on Label Studio's host")


def test_a_link_put_in_after_the_check_is_not_followed(root):
    for path in ("photos/outside.jpg", "photos/up/secret.jpg"):
        with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
            os.close(open_below(str(root), path))


def test_local_files_that_are_not_here_are_asked_of_label_studio(root):
    with serve(reply(body=PHOTO)) as server:
        subject = fetcher(f"http://127.0.0.1:{server.port}", LEGACY, local_root=root)
        assert subject.fetch("/data/local-files/?d=photos/käse 1.jpg") == PHOTO
        assert server.requests == []
        assert subject.fetch("/data/local-files/?d=photos/elsewhere.jpg") == PHOTO
    assert server.requests[0].path == "/data/local-files/?d=photos/elsewhere.jpg"


def test_no_file_stays_open(root):
    subject = fetcher(local_root=root)
    before = len(os.listdir("/proc/self/fd"))
    for reference in ("photos/inside.jpg", "photos", "photos/pipe.jpg", "photos/circle", "photos/nothing.jpg"):
        with suppress(FetchError):
            subject.fetch(reference)
    assert len(os.listdir("/proc/self/fd")) == before


# data: URIs


@pytest.mark.parametrize(
    "reference",
    [
        "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode(),
        "DATA:image/jpeg;BASE64," + base64.b64encode(PHOTO).decode().rstrip("="),
        "data:;base64,\n " + base64.encodebytes(PHOTO).decode(),
        "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode().replace("+", "%2B").replace("=", "%3D"),
        "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in PHOTO),
    ],
    ids=["base64", "unpadded", "lines", "escaped", "percent"],
)
def test_data_uris(reference):
    assert fetcher().fetch(reference) == PHOTO


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        ("data:image/png;base64", "has no data"),
        ("data:image/png;base64,####", "is damaged"),
        ("data:image/png;base64,A", "is damaged"),
        ("data:image/png;base64,AA==AA", "is damaged"),
        ("data:image/png;base64,ä", "is damaged"),
        ("data:image/png;base64," + "A" * 1_400_000, "larger than 1 MB"),
        ("data:image/png," + "%00" * 1_100_000, "larger than 1 MB"),
    ],
)
def test_data_uris_that_cannot_be_used(reference, match):
    message = refused(fetcher(max_mb=1), reference, match)
    assert len(message) < 300


def test_a_huge_data_uri_is_refused_unread():
    reference = "data:image/png;base64," + "A" * 100_000_000
    subject = fetcher(max_mb=1)
    tracemalloc.start()
    started = time.monotonic()
    refused(subject, reference, "larger than 1 MB")
    assert time.monotonic() - started < 2
    # partition copies the text once; nothing is decoded
    assert tracemalloc.get_traced_memory()[1] < 101_000_000
    tracemalloc.stop()


def test_long_references_are_refused_and_shortened():
    for reference in ("http://127.0.0.1/" + "a" * MAX_REFERENCE, "a" * 10**6):
        assert len(refused(fetcher(), reference, "the address has more than 8192 characters")) < 300


# Object stores


@pytest.mark.parametrize("reference", ["s3://", "s3:///a.jpg", "s3://key:pass@bucket/a.jpg", "s3://b/a::file:///etc/x"])
def test_object_addresses_that_mean_something_else_are_refused(reference):
    refused(fetcher(allow_schemes=("s3",)), reference, r"must be s3://bucket/key")


def missing(package):
    import importlib.util

    return importlib.util.find_spec(package) is None


@pytest.mark.parametrize(
    ("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs"), ("azure-blob", "adlfs")]
)
def test_a_store_whose_package_is_missing_names_it(scheme, package):
    if not missing(package):
        pytest.skip(f"{package} is installed")
    allowed = "az" if package == "adlfs" else scheme
    refused(fetcher(allow_schemes=(allowed,)), f"{scheme}://bucket/a.jpg", f"install it: pip install {package}")


def test_azure_as_label_studio_writes_it():
    refused(fetcher(), "azure-blob://container/a.jpg", "az://container/a.jpg: .* add az to fetch.allow_schemes")
    refused(fetcher(allow_schemes=("az",)), "Azure-Blob:///a.jpg", "must be az://bucket/key")


@pytest.mark.skipif(missing("s3fs"), reason="s3fs is not installed")
def test_s3(monkeypatch):
    def answer(request, _):
        if "secret-key" in str(request) or not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            return reply(403)
        if not request.path.startswith("/bucket/a.jpg"):
            return reply(404)
        first, last = 0, len(PHOTO) - 1
        if "range" in request.headers:
            first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        part = PHOTO[first : last + 1]
        head = reply(206 if "range" in request.headers else 200, part, ETag='"1"', Content_Type="image/jpeg",
                     Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(PHOTO)}")  # fmt: skip
        return head.removesuffix(part) if request.line.startswith("HEAD") else head

    with Loopback(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert fetcher(allow_schemes=("s3",)).fetch("s3://bucket/a.jpg") == PHOTO
        refused(fetcher(allow_schemes=("s3",), max_mb=0.001), "s3://bucket/a.jpg", r"larger than 0\.001 MB")
        refused(fetcher(allow_schemes=("s3",)), "s3://bucket/nothing.jpg", r"cannot be read \(FileNotFoundError\)")
