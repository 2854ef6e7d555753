"""Fetching from real servers on loopback: which hosts are reached, and where redirects lead."""

import socket

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ls_backend.fetch import MAX_REDIRECTS, Fetcher, FetchError
from ls_backend.settings import FetchSettings, Settings
from tests.ls_backend.fetching import LEGACY, PHOTO, fetcher, loopback_fetcher, refused, serve
from tests.ls_backend.loopback import Loopback, reply
from zgcore.images import load_image


@pytest.fixture
def photos():
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        yield server


# Hosts and addresses


def test_an_image_comes_as_its_bytes(photos):
    content = loopback_fetcher().fetch(f" http://127.0.0.1:{photos.port}/a.jpg ")
    assert content == PHOTO
    assert load_image(content).shape[2] == 3
    assert photos.requests[0].headers["host"] == f"127.0.0.1:{photos.port}"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "LOCALHOST.",
        "127.0.0.1.",
        "%6cocalhost",
        "anna:geheim@127.0.0.1",
    ],
)
def test_loopback_is_refused_however_it_is_written(photos, host):
    message = refused(fetcher(), f"http://{host}:{photos.port}/a.jpg", "is not a public address")
    assert "fetch.allow_networks" in message
    assert photos.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "10.0.0.1",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "100.100.100.200",
        "168.63.129.16",
        "192.168.0.1",
    ],
)
def test_metadata_and_private_addresses_are_refused(host):
    refused(fetcher(), f"http://{host}/latest/meta-data/iam/security-credentials/", "is not a public address")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_names_that_resolve_to_inner_addresses_are_refused(photos, address):
    subject = fetcher(table={"harmless.example": [address]})
    refused(subject, f"http://harmless.example:{photos.port}/a.jpg", r"harmless\.example \(.*\) is not a public")
    assert photos.requests == []


def test_a_name_is_looked_up_once_and_the_connection_goes_where_the_check_looked(photos):
    asked = []

    def rebinding(host, port):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    settings = Settings(fetch=FetchSettings(allow_networks=("127.0.0.1/32",)))
    assert Fetcher(settings, rebinding).fetch(f"http://photos.example:{photos.port}/a.jpg") == PHOTO
    assert asked == [("photos.example", photos.port)]
    assert photos.requests[0].headers["host"] == f"photos.example:{photos.port}"


def test_an_allowed_host_may_be_anywhere(photos):
    subject = fetcher(allow_hosts=(f"nas.lab:{photos.port}",), table={"nas.lab": ["127.0.0.1"], "b.lab": ["127.0.0.1"]})
    assert subject.fetch(f"http://nas.lab:{photos.port}/a.jpg") == PHOTO
    refused(subject, f"http://b.lab:{photos.port}/a.jpg", "is not a public address")


def test_of_several_addresses_the_next_is_tried_where_one_does_not_answer(photos):
    subject = loopback_fetcher(table={"photos.example": ["169.254.169.254", "127.0.0.77", "127.0.0.1"]})
    assert subject.fetch(f"http://photos.example:{photos.port}/a.jpg") == PHOTO


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6():
    with Loopback(lambda request, _: reply(body=PHOTO), address="::1") as server:
        url = f"http://[::1]:{server.port}/a.jpg"
        refused(fetcher(), url, "is not a public address")
        assert server.requests == []
        assert fetcher(allow_networks=("::1/128",)).fetch(url) == PHOTO
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_a_host_that_does_not_exist_or_answer():
    refused(fetcher(table={}), "http://nowhere.example/a.jpg", "nowhere.example cannot be resolved")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        refused(loopback_fetcher(), f"http://127.0.0.1:{port}/a.jpg", "cannot be reached: Connection refused")


@pytest.mark.parametrize("host", ["a" * 64, "a" * 63 + ".b" * 120, "a..b", "-", "a_b" * 30])
def test_names_that_no_resolver_takes(host):
    refused(fetcher(), f"http://{host}/a.jpg", "cannot be resolved")


def test_proxies_in_the_environment_do_not_go_round_the_check(photos, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{photos.port}")
    refused(fetcher(table={"a.example": ["169.254.169.254"]}), "http://a.example/x.jpg", "is not a public address")
    assert photos.requests == []


@pytest.mark.parametrize("reference", ["", "  ", None, 7, ["http://127.0.0.1/"], {"url": "x"}])
def test_what_is_no_reference(reference):
    refused(fetcher(), reference, "the task names no image")


@pytest.mark.parametrize("scheme", ["ftp", "gopher", "javascript", "jar", "C", "http+unix"])
def test_other_schemes_are_refused(scheme):
    refused(fetcher(), f"{scheme}://127.0.0.1/x.jpg", "are not read; use http or https")


def test_schemes_can_be_switched_off(photos):
    subject = loopback_fetcher(allow_schemes=("https",))
    refused(subject, f"http://127.0.0.1:{photos.port}/a.jpg", "add http to fetch.allow_schemes")
    refused(subject, "data:image/png;base64,AAAA", "add data to fetch.allow_schemes")
    refused(fetcher(), "s3://bucket/a.jpg", "add s3 to fetch.allow_schemes")
    assert photos.requests == []


# Redirects


@pytest.fixture
def redirecting():
    """A server that redirects to the Location a test sets."""

    def answer(request, _):
        return reply(302, location=server.location)

    with Loopback(answer) as server:
        server.location = ""
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(photos, status):
    with serve(reply(status, location=f"//127.0.0.1:{photos.port}/b.jpg")) as first:
        assert loopback_fetcher().fetch(f"http://127.0.0.1:{first.port}/a.jpg") == PHOTO
    assert [request.path for request in photos.requests] == ["/b.jpg"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "//2130706433:{port}/",
        "http://169.254.169.254/latest/",
        "http://inner.example:{port}/",
        "http://metadata.example/latest/meta-data/",
        "http://[::ffff:127.0.0.1]:{port}/",
    ],
)
def test_every_redirect_is_checked(redirecting, photos, location):
    redirecting.location = location.format(port=photos.port)
    names = {"outside.example": ["127.0.0.1"], "inner.example": ["127.0.0.1"], "metadata.example": ["169.254.169.254"]}
    table = names | {host: [host] for host in ("127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")}
    table |= {"localhost": ["127.0.0.1"], "2130706433": ["127.0.0.1"]}
    subject = fetcher(allow_hosts=("outside.example",), table=table)
    refused(subject, f"http://outside.example:{redirecting.port}/a.jpg", "is not a public address")
    assert len(redirecting.requests) == 1
    assert photos.requests == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:image/png;base64,AAAA", "", "http://a:b:c/"]
)
def test_redirects_to_other_than_http_are_refused(redirecting, location):
    redirecting.location = location
    refused(loopback_fetcher(), f"http://127.0.0.1:{redirecting.port}/a.jpg", "redirects to something that is no http")


def test_redirects_in_a_circle_end(redirecting):
    redirecting.location = "/again"
    refused(loopback_fetcher(), f"http://127.0.0.1:{redirecting.port}/a.jpg", "more than 5 redirects")
    assert len(redirecting.requests) == MAX_REDIRECTS + 1


def test_a_redirect_written_in_utf8(photos):
    with serve(reply(302, location=f"http://127.0.0.1:{photos.port}/käse 1.jpg")) as first:
        assert loopback_fetcher().fetch(f"http://127.0.0.1:{first.port}/") == PHOTO
    assert photos.requests[0].path == "/k%C3%A4se%201.jpg"


# Names that are not ASCII


def test_addresses_that_are_not_ascii(photos):
    subject = loopback_fetcher(table={"xn--bcher-kva.example": ["127.0.0.1"]})
    assert subject.fetch(f"http://Bücher.example:{photos.port}/bäume/猫 1.jpg?größe=ü&a=%20") == PHOTO
    assert photos.requests[0].line == "GET /b%C3%A4ume/%E7%8C%AB%201.jpg?gr%C3%B6%C3%9Fe=%C3%BC&a=%20 HTTP/1.1"
    assert photos.requests[0].headers["host"] == f"xn--bcher-kva.example:{photos.port}"


def test_line_breaks_in_addresses_make_no_headers(photos):
    loopback_fetcher().fetch(f"http://127.0.0.1:{photos.port}/a.jpg\r\nX-Evil: 1\r\n\r\nGET /b")
    assert len(photos.requests) == 1
    assert "x-evil" not in photos.requests[0].headers


# Anything at all

ANYTHING = fetcher("http://ls.example", LEGACY, table={}, local_root="/nonexistent-folder")


@hypothesis_settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=())),
        st.text(alphabet="htps3filedaz:/.\\@%[]?#&=,;~ \0\nä1", max_size=60),
        st.builds(
            "{}{}".format, st.sampled_from(["http://", "https://", "file://", "data:", "s3://", "//"]), st.text()
        ),
    )
)
def test_any_text_gives_bytes_or_a_fetch_error(reference):
    try:
        said = "" if isinstance(ANYTHING.fetch(reference), bytes) else "no bytes"
    except FetchError as error:
        said = str(error)
    assert said.isprintable()
    assert said != "no bytes"
    assert len(said) < 600
