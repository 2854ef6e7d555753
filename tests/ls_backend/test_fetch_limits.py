"""Bodies that never end, come drop by drop, unpack to gigabytes or are no image; and certificates."""

import gzip
import shutil
import struct
import subprocess
import threading
import time
import tracemalloc
import zlib

import pytest

from ls_backend.fetch import Fetcher
from ls_backend.settings import FetchSettings, Settings
from tests.ls_backend.fetching import PHOTO, loopback_fetcher, refused, serve
from tests.ls_backend.loopback import Loopback, reply
from zgcore.errors import ImageTooLarge
from zgcore.images import load_image


@pytest.fixture
def photos():
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        yield server


# Limits


def test_a_body_that_says_it_is_too_large_is_not_read():
    with serve(b"HTTP/1.1 200 X\r\nContent-Length: 9000000000\r\n\r\n") as server:
        started = time.monotonic()
        message = refused(loopback_fetcher(max_mb=1), f"http://127.0.0.1:{server.port}/", "larger than 1 MB")
        assert "fetch.max_mb" in message
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("chunked", [True, False])
def test_endless_bodies_end_at_the_limit(chunked):
    sent = []

    def answer(request, connection):
        head = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        connection.sendall(b"HTTP/1.1 200 X\r\n" + head + b"\r\n")
        block = b"\x01" * 65536
        block = f"{len(block):x}\r\n".encode() + block + b"\r\n" if chunked else block
        while True:
            connection.sendall(block)
            sent.append(len(block))

    with Loopback(answer) as server:
        tracemalloc.start()
        refused(loopback_fetcher(max_mb=2), f"http://127.0.0.1:{server.port}/", "larger than 2 MB")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8e6
    assert sum(sent) < 30e6  # what is under way in the sockets' buffers


def drip(first, byte):
    """Sends `first`, then `byte` every 50 ms for ever."""

    def answer(request, connection):
        connection.sendall(first)
        while True:
            connection.sendall(byte)
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    ("first", "byte"),
    [
        (b"HTTP/1.1 200 X\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 X\r\nX: ", b"x"),
        (b"HTTP", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "measured-body", "chunks", "header", "status", "continue"],
)
def test_answers_that_drip_end_at_the_deadline(first, byte):
    with Loopback(drip(first, byte)) as server:
        started = time.monotonic()
        refused(loopback_fetcher(timeout_s=0.4), f"http://127.0.0.1:{server.port}/", r"within 0\.4 s.*fetch\.timeout_s")
        assert 0.3 < time.monotonic() - started < 3


def test_a_server_that_never_answers():
    with Loopback(lambda request, _: time.sleep(5)) as server:
        started = time.monotonic()
        refused(loopback_fetcher(timeout_s=0.3), f"http://127.0.0.1:{server.port}/", r"within 0\.3 s")
        assert time.monotonic() - started < 3


def test_a_server_that_never_shakes_hands():
    with Loopback(lambda request, _: time.sleep(5)) as server:  # it waits for a request, and gets a TLS greeting
        started = time.monotonic()
        refused(loopback_fetcher(timeout_s=0.3), f"https://127.0.0.1:{server.port}/", r"within 0\.3 s|does not answer")
        assert time.monotonic() - started < 3


def test_the_deadline_holds_for_all_redirects_together():
    def answer(request, _):
        time.sleep(0.25)
        return reply(302, location="/again")

    with Loopback(answer) as server:
        started = time.monotonic()
        refused(loopback_fetcher(timeout_s=0.6), f"http://127.0.0.1:{server.port}/", r"within 0\.6 s")
        assert time.monotonic() - started < 1.2


def test_no_thread_is_left_behind(photos):
    before = threading.active_count()
    subject = loopback_fetcher()
    for _ in range(20):
        subject.fetch(f"http://127.0.0.1:{photos.port}/a.jpg")
    time.sleep(0.2)
    assert threading.active_count() <= before + 1


def bomb(times, unit=bytes(1 << 20)):
    """gzip of `times` MiB of zeros, made block by block."""
    squeeze = zlib.compressobj(9, wbits=31)
    return b"".join(squeeze.compress(unit) for _ in range(times)) + squeeze.flush()


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
def test_compressed_bombs_end_at_the_limit(encoding):
    packed = bomb(300) if encoding == "gzip" else gzip.compress(bomb(300))
    with serve(reply(body=packed, content_encoding=encoding)) as server:
        tracemalloc.start()
        refused(loopback_fetcher(max_mb=1), f"http://127.0.0.1:{server.port}/", "larger than 1 MB")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6e6


def test_compressed_answers_are_unpacked():
    with serve(reply(body=gzip.compress(PHOTO), content_encoding="gzip")) as server:
        assert loopback_fetcher().fetch(f"http://127.0.0.1:{server.port}/a.jpg") == PHOTO


def png_bomb(side):
    """A PNG of side x side black pixels whose file is a thousandth of them."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(9)
    pixels = b"".join(squeeze.compress(bytes(side + 1)) for _ in range(side)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_an_image_of_too_many_pixels_is_never_decoded():
    limits = FetchSettings(max_pixels=1_000_000, allow_networks=("127.0.0.1/32",))
    with serve(reply(body=png_bomb(5000))) as server:
        content = Fetcher(Settings(fetch=limits)).fetch(f"http://127.0.0.1:{server.port}/bomb.png")
    tracemalloc.start()
    with pytest.raises(ImageTooLarge, match="5000 x 5000 is more than the limit of 1,000,000 pixels"):
        load_image(content, max_pixels=limits.max_pixels)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


# Wrong content


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (reply(body=b"\n <!DOCTYPE html><title>Login</title>"), "is a page and not an image"),
        (reply(body=b'<?xml version="1.0"?><svg/>'), "is a page and not an image"),
        (reply(body=b""), "the answer is empty"),
        (reply(404, b"gone"), "status 404; check that it is there"),
        (reply(500), "status 500"),
        (reply(204), "status 204"),
        (b"", "the connection broke: it does not speak HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the connection broke: it does not speak HTTP"),
        (b"HTTP/1.1 200 X\r\n" + b"A: b\r\n" * 200 + b"\r\n", "the connection broke"),
        (b"HTTP/1.1 200 X\r\nA: " + b"b" * 70000 + b"\r\n\r\n", "the connection broke"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf", "the connection broke: it ended before its time"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 1, 2\r\n\r\nhalf", "the connection broke"),
        (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the connection broke"),
        (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc", "the connection broke"),
        (reply(body=b"no gzip", content_encoding="gzip"), "the connection broke: its compressed data is damaged"),
        (reply(body=b"x", content_encoding=", ".join(["gzip"] * 50)), "the connection broke"),
    ],
)
def test_what_is_no_image_or_no_answer(content, match):
    with serve(content) as server:
        refused(loopback_fetcher(), f"http://127.0.0.1:{server.port}/x.jpg", match)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of its own authority for photos.example, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=photos.example -keyout key.pem -out cert.pem"
    extra = ["-addext", "subjectAltName=DNS:photos.example"]
    subprocess.run([*command.split(), *extra], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secure(certificate):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Loopback(lambda request, _: reply(body=PHOTO), tls=context) as server:
        yield server


def test_https_is_checked_against_the_name_and_not_the_address(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    subject = loopback_fetcher(table={"photos.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    assert subject.fetch(f"https://photos.example:{secure.port}/a.jpg") == PHOTO
    refused(subject, f"https://other.example:{secure.port}/a.jpg", r"certificate is not valid.*other\.example")


def test_a_certificate_of_an_unknown_authority_is_refused(secure):
    subject = loopback_fetcher(table={"photos.example": ["127.0.0.1"]})
    message = refused(subject, f"https://photos.example:{secure.port}/a.jpg", "its certificate is not valid")
    assert "SSL_CERT_FILE" in message
    assert secure.requests == []
