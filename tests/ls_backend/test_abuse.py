"""Hostile tasks through the whole server: each gets an empty result and a reason, its neighbours get their masks, and
nothing is asked of an address that is not allowed.
"""

import logging
import zlib

import pytest

from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import bands, data_uri, serving, settings_for, task
from tests.ls_backend.test_fetch_limits import bomb, png_bomb

LIMITS = {"timeout_s": 2, "max_mb": 1, "max_pixels": 1_000_000}


@pytest.fixture
def secret():
    """A server on loopback that is not allowed; it must not hear of anything."""
    with Loopback(lambda request, _: reply(body=bands(9))) as server:
        yield server
        assert server.requests == []


@pytest.fixture
def outside(secret):
    """A server that is allowed, and turns on who asks it."""
    inner = {
        "/loopback": f"http://127.0.0.1:{secret.port}/",
        "/name": f"http://localhost:{secret.port}/",
        "/number": f"http://2130706433:{secret.port}/",
        "/mapped": f"http://[::ffff:127.0.0.1]:{secret.port}/",
        "/metadata": "http://169.254.169.254/latest/meta-data/iam/",
        "/metadata6": "http://[fd00:ec2::254]/latest/",
        "/file": "file:///etc/passwd",
        "/twice": "/loopback",
    }

    def answer(request, connection):
        if request.path in inner:
            return reply(302, location=inner[request.path])
        if request.path == "/gzip":
            return reply(body=bomb(200), content_encoding="gzip")
        if request.path == "/endless":
            connection.sendall(b"HTTP/1.1 200 X\r\n\r\n")
            while True:
                connection.sendall(bytes(65536))
        return reply(body=bands(1))

    with Loopback(answer) as server:
        server.inner = inner
        yield server


def test_no_task_reaches_what_it_may_not(tmp_path, outside, secret, caplog):
    root = tmp_path / "root" / "photos"
    root.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(bands(5))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    here = f"http://127.0.0.1:{outside.port}"
    references = [
        *(here + path for path in outside.inner),
        f"http://127.0.0.1:{secret.port}/",
        f"http://localhost:{secret.port}/",
        "http://169.254.169.254/latest/",
        "/data/local-files/?d=../secret.png",
        "/data/local-files/?d=photos/%2e%2e/%2e%2e/secret.png",
        "/data/local-files/?d=photos/link.png",
        f"file://{tmp_path}/secret.png",
        "photos/link.png",
        here + "/gzip",
        here + "/endless",
        data_uri(png_bomb(3000)),
        data_uri(b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(10**6))),
        "data:image/png;base64," + "A" * 2_000_000,
    ]
    tasks = [{"id": number, "data": {"image": reference}} for number, reference in enumerate(references)]
    fetch = {**LIMITS, "local_root": tmp_path / "root", "allow_hosts": (f"127.0.0.1:{outside.port}",)}
    caplog.set_level(logging.ERROR)
    with serving(settings_for(tmp_path / "data", fetch=fetch), BandSegmenter()) as (client, _):
        results = client.predict([task(100), *tasks, {"id": 101, "data": {"image": here + "/photo"}}])
    assert [len(result["result"]) for result in results] == [8, *[0] * len(tasks), 8]
    assert len(caplog.messages) == len(tasks)
    for number, reference in enumerate(references):
        (line,) = [line for line in caplog.messages if f": task {number}: " in line]
        assert len(line) < 600, reference[:60]
        assert line.isprintable()
