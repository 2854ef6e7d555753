"""Passwords and tokens: they reach their own host and nothing else."""

import base64
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ls_backend.addresses import AddressPolicy, FetchDelayed, FetchError, Url
from ls_backend.label_studio_token import LabelStudioToken
from ls_backend.pinned_http import Deadline, PinnedHttp
from ls_backend.settings import Secret
from tests.ls_backend.fetching import LEGACY, PHOTO, fetcher, loopback_fetcher, refused, serve
from tests.ls_backend.loopback import Loopback, reply


@pytest.fixture
def photos():
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        yield server


# Passwords and tokens


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


def test_passwords_in_addresses_are_sent_to_their_host_only_and_never_shown(photos, log):
    with Loopback(lambda r, _: reply(302, location=f"http://127.0.0.1:{photos.port}/b.jpg")) as first:
        subject = loopback_fetcher()
        assert subject.fetch(f"http://anna:geh%40im@127.0.0.1:{first.port}/a.jpg?sig=s3cret") == PHOTO
    basic = "Basic " + base64.b64encode(b"anna:geh@im").decode()
    assert first.requests[0].headers["authorization"] == basic
    assert "authorization" not in photos.requests[0].headers
    message = refused(subject, f"http://anna:geheim@127.0.0.1:{first.port + 0}/a.jpg?sig=s3cret", "127.0.0.1")
    assert "geheim" not in message + log.text
    assert "s3cret" not in message + log.text


@pytest.mark.parametrize("user", ["%ff", "\ud800", "ä", "a%0d%0aX: y"])
def test_users_of_any_letters_make_one_header(photos, user):
    assert loopback_fetcher().fetch(f"http://{user}:b@127.0.0.1:{photos.port}/a.jpg") == PHOTO
    sent = base64.b64decode(photos.requests[0].headers["authorization"].removeprefix("Basic "))
    assert sent.endswith(b":b")
    assert "x" not in photos.requests[0].headers


@pytest.mark.parametrize(
    "reference",
    [
        "http://anna:geheim@nowhere.example/x?sig=geheim",
        "http://anna:ge/heim:geheim@nowhere.example/x",
        "http:anna:geheim@nowhere.example",
        "ftp://anna:geheim@nowhere.example/",
        "s3://KEY:geheim@bucket/a.jpg",
        "http://anna:geheim@nowhere example/",
        "file://anna:geheim@nowhere.example/x",
    ],
)
def test_messages_never_repeat_passwords(reference, log):
    for subject in (fetcher(table={}), fetcher(table={}, allow_schemes=("s3",), local_root="/tmp")):
        assert "geheim" not in refused(subject, reference, None) + log.text


@pytest.fixture
def label_studio():
    """A server that gives images to whoever has the token, as Label Studio does for uploads."""

    def answer(request, _):
        good = request.headers.get("authorization") == f"Token {LEGACY}"
        return reply(body=PHOTO) if good else reply(401, b'{"detail": "no"}')

    with Loopback(answer) as server:
        server.url = f"http://localhost:{server.port}"
        yield server


def test_uploads_come_from_label_studio_with_its_token(label_studio):
    subject = fetcher(label_studio.url, LEGACY)
    assert subject.fetch("/data/upload/1/käse.jpg") == PHOTO
    assert subject.fetch("data/upload/1/b.jpg") == PHOTO
    assert subject.fetch(f"{label_studio.url}/data/upload/1/c.jpg") == PHOTO
    assert subject.fetch("/data/local-files/?d=photos/d.jpg") == PHOTO
    assert [request.path for request in label_studio.requests] == [
        "/data/upload/1/k%C3%A4se.jpg",
        "/data/upload/1/b.jpg",
        "/data/upload/1/c.jpg",
        "/data/local-files/?d=photos/d.jpg",
    ]


def test_label_studio_in_a_folder_of_its_host(label_studio):
    subject = fetcher(label_studio.url + "/ls/", LEGACY)
    subject.fetch("/data/upload/1/a.jpg")
    subject.fetch("/ls/data/upload/1/b.jpg")
    assert [request.path for request in label_studio.requests] == ["/ls/data/upload/1/a.jpg", "/ls/data/upload/1/b.jpg"]


def test_without_label_studios_address_a_path_names_the_cure():
    assert "LABEL_STUDIO_URL" in refused(fetcher(), "/data/upload/1/a.jpg", "path on Label Studio's host")


@pytest.mark.parametrize("key", [None, "f" * 40])
def test_a_login_that_is_wanted_names_the_cure(label_studio, key):
    message = refused(fetcher(label_studio.url, key), "/data/upload/1/a.jpg", "Label Studio")
    assert ("set label_studio_api_key (LABEL_STUDIO_API_KEY)" in message) == (key is None)
    assert ("make a personal access token" in message) == (key is not None)


def test_a_redirect_to_the_login_page_names_the_cure():
    with serve(reply(302, location="/user/login/?next=/data/upload/1/a.jpg")) as server:
        refused(
            fetcher(f"http://127.0.0.1:{server.port}"), "/data/upload/1/a.jpg", "asks for a login; set label_studio"
        )


def test_local_files_that_label_studio_does_not_serve_name_the_cure():
    with serve(reply(404)) as server:
        subject = fetcher(f"http://127.0.0.1:{server.port}", LEGACY)
        refused(
            subject,
            "/data/local-files/?d=a.jpg",
            r"\?d=a\.jpg: answered with status 404; .* type Local files on",
        )


def test_label_studios_address_allows_its_port_only(label_studio, photos):
    subject = fetcher(label_studio.url, LEGACY)
    refused(subject, f"http://localhost:{photos.port}/a.jpg", "is not a public address")
    assert photos.requests == []


def test_the_token_goes_to_no_other_host(label_studio, photos):
    subject = loopback_fetcher(label_studio=label_studio.url, key=LEGACY)
    for host in (
        f"127.0.0.1:{photos.port}",
        f"localhost:{photos.port}",
        f"localhost:{label_studio.port}@127.0.0.1:{photos.port}",
    ):
        assert subject.fetch(f"http://{host}/a.jpg") == PHOTO
    headers = [request.headers for request in photos.requests]
    assert len(headers) == 3
    assert LEGACY not in str(headers)
    assert [name for names in headers for name in names if name == "authorization"] == ["authorization"]  # its own


def test_the_token_does_not_follow_a_redirect_to_another_host(photos):
    def answer(request, _):
        return reply(302, location=f"http://127.0.0.1:{photos.port}/signed.jpg")

    with Loopback(answer) as server:
        subject = loopback_fetcher(label_studio=f"http://localhost:{server.port}", key=LEGACY)
        assert subject.fetch("/data/upload/1/a.jpg") == PHOTO
    assert server.requests[0].headers["authorization"] == f"Token {LEGACY}"
    assert "authorization" not in photos.requests[0].headers


def test_the_token_is_not_sent_where_another_host_redirects_to(label_studio):
    with serve(reply(302, location=f"{label_studio.url}/data/upload/1/a.jpg")) as first:
        subject = loopback_fetcher(label_studio=label_studio.url, key=LEGACY)
        refused(subject, f"http://127.0.0.1:{first.port}/a.jpg", "refuses label_studio_api_key")
    assert "authorization" not in label_studio.requests[0].headers


def jwt(**claims):
    def part(document):
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2lnbmF0dXJl"


PAT = jwt(token_type="refresh", exp=9999999999, iat=1)


class TokenServer(Loopback):
    """Sells access tokens for a personal access token and gives images to who has the latest."""

    def __init__(self, life=300):
        super().__init__(self.serve_one)
        self.life = life
        self.sold = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def serve_one(self, request, _):
        if request.path == "/api/token/refresh/":
            if json.loads(request.body) != {"refresh": PAT}:
                return reply(401, b"{}")
            self.sold.append(jwt(token_type="access", iat=1000, exp=1000 + self.life, jti=len(self.sold)))
            return reply(body=json.dumps({"access": self.sold[-1]}).encode())
        good = bool(self.sold) and request.headers.get("authorization") == f"Bearer {self.sold[-1]}"
        return reply(body=PHOTO) if good else reply(401)


def test_a_personal_access_token_buys_one_access_token_for_many_images(log):
    with TokenServer() as server:
        subject = fetcher(server.url, PAT)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(subject.fetch, ["/data/upload/1/a.jpg"] * 24)) == [PHOTO] * 24
    assert len(server.sold) == 1
    assert PAT not in log.text
    assert [r.line for r in server.requests if r.path.startswith("/api/")] == ["POST /api/token/refresh/ HTTP/1.1"]


def test_an_access_token_near_its_end_is_replaced():
    with TokenServer(life=20) as server:
        subject = fetcher(server.url, PAT)
        assert [subject.fetch(f"/data/upload/1/{name}.jpg") for name in "ab"] == [PHOTO] * 2
    assert len(server.sold) == 2


def test_an_access_token_that_is_refused_is_replaced_once():
    with TokenServer() as server:
        subject = fetcher(server.url, PAT)
        subject.fetch("/data/upload/1/a.jpg")
        server.sold[-1] = "revoked"
        assert subject.fetch("/data/upload/1/b.jpg") == PHOTO
        server.sold.append("another")
    assert sum(request.path == "/data/upload/1/b.jpg" for request in server.requests) == 2


def test_an_access_token_can_be_the_key():
    access = jwt(token_type="access", exp=9999999999, iat=1)
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        fetcher(f"http://127.0.0.1:{server.port}", access).fetch("/data/upload/1/a.jpg")
    assert server.requests[0].headers["authorization"] == f"Bearer {access}"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access": 7}', b'{"access": "a\\r\\nX: y"}', b"[" * 100000])
def test_answers_that_sell_no_token(body):
    with serve(reply(body=body)) as server:
        refused(
            fetcher(f"http://127.0.0.1:{server.port}", PAT), "/data/upload/1/a.jpg", "status 200 and no access token"
        )


def test_a_personal_access_token_that_is_refused_names_the_cure():
    with TokenServer() as server:
        other = jwt(token_type="refresh", exp=5)
        message = refused(
            fetcher(server.url, other), "/data/upload/1/a.jpg", "refuses the personal access token.*make another"
        )
        assert other not in message


def test_who_waits_for_an_access_token_keeps_to_its_deadline():
    """One request is buying a token from a Label Studio that does not answer; another has less time."""
    asked, answer = threading.Event(), threading.Event()

    def silent(request, _):
        asked.set()
        answer.wait(30)
        return reply(503)

    with Loopback(silent) as server:
        url = f"http://127.0.0.1:{server.port}"
        http = PinnedHttp(AddressPolicy(own=Url.parse(url).origin), 1000)
        token = LabelStudioToken(url, Secret(PAT), http)
        with ThreadPoolExecutor(1) as pool:
            buying = pool.submit(token.header, Deadline(30))
            try:
                assert asked.wait(10)
                with pytest.raises(FetchDelayed, match="another request waits for an access token"):
                    token.header(Deadline(0.05))
                assert not buying.done()
            finally:
                answer.set()
            with pytest.raises(FetchError, match="status 503"):
                buying.result()


IMAGES = [
    "/data/upload/1/a.jpg",
    "/data/local-files/?d=a/../b.jpg",
    "/storage-data/uploaded/?filepath=upload/1/a.jpg",
    "/tasks/7/resolve/?fileuri=czM6Ly9hL2I=",
    "/tasks/7/presign/?fileuri=czM6Ly9hL2I=",
    "/projects/7/resolve/?fileuri=czM6Ly9hL2I=",
]
OTHERS = [
    "/api/projects/7/export?exportType=JSON",
    "/api/current-user/token",
    "/static/logo.png",
    "/a.jpg",
    "/data/../api/current-user/token",
    "/data/%2e%2e/api/current-user/token",
    "/data/%252e%252e/api/current-user/token",
    "/data/..%2fapi/current-user/token",
    "/data/..%5capi/current-user/token",
    "/data//..//api/current-user/token",
    "/tasks/7/resolve",
    "/tasks/x/resolve/",
    "/user/data/upload/1/a.jpg",
]


@pytest.mark.parametrize("folder", ["", "/ls"])
@pytest.mark.parametrize(("paths", "sent"), [(IMAGES, True), (OTHERS, False)])
def test_the_token_goes_only_to_where_label_studio_serves_images(folder, paths, sent):
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        url = f"http://127.0.0.1:{server.port}{folder}"
        subject = fetcher(url, LEGACY)
        for path in paths:
            for reference in (path, url + path):
                assert subject.fetch(reference) == PHOTO
    assert len(server.requests) == 2 * len(paths)
    assert [request.path for request in server.requests if ("authorization" in request.headers) is not sent] == []


def test_beside_its_folder_label_studios_host_gets_no_token():
    with Loopback(lambda request, _: reply(body=PHOTO)) as server:
        host = f"http://127.0.0.1:{server.port}"
        assert fetcher(host + "/ls", LEGACY).fetch(host + "/data/upload/1/a.jpg") == PHOTO
    assert "authorization" not in server.requests[0].headers


def test_a_redirect_to_the_api_is_followed_without_the_token():
    def answer(request, _):
        return reply(302, location="/api/current-user/token") if "upload" in request.path else reply(401)

    with Loopback(answer) as server:
        subject = fetcher(f"http://127.0.0.1:{server.port}", LEGACY)
        refused(subject, "/data/upload/1/a.jpg", "the token is sent only to where it serves images")
    assert ["authorization" in request.headers for request in server.requests] == [True, False]
