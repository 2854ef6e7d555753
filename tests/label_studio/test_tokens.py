"""The two kinds of token that Label Studio gives its users, and the password that a backend may ask of Label Studio."""

from contextlib import contextmanager

from tests.label_studio import photos
from tests.label_studio.studio import until
from tests.label_studio.test_faults import PLAIN, SHORT, whole


@contextmanager
def only_personal(studio, personal):
    """Legacy tokens are refused meanwhile. Gives what to send in their place."""
    access = "Bearer " + studio.call("POST", "/api/token/refresh/", {"refresh": personal})["access"]
    settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    studio.call("POST", "/api/jwt/settings", settings)
    try:
        yield access
    finally:
        studio.call("POST", "/api/jwt/settings", {**settings, "legacy_api_tokens_enabled": True}, token=access)


def test_a_personal_access_token_reads_uploads_and_sends_predictions(studio, backend_of, personal):
    backend = backend_of("personal", **SHORT, LABEL_STUDIO_API_KEY=personal).start()
    project = studio.project("personal", "free_text.xml")
    studio.upload(project, {f"{name}.png": photos.fresh(name, 5) for name in photos.NAMES})
    studio.connect(project, backend.url)
    with only_personal(studio, personal) as access:
        assert studio.ask("GET", "/api/projects")[0] == 401
        studio.action(project, "retrieve_tasks_predictions", token=access)
        until(lambda: "its prediction was sent" in backend.log.read_text(), "a prediction was sent")
        until(lambda: not backend.metric('zeroguide_queue_tasks{state="waiting"}'), "all were sent")
    assert whole(studio, project, backend.version)
    assert personal not in backend.log.read_text() + backend.status_page()


def test_a_legacy_token_where_only_personal_ones_count_is_told(studio, backend, personal):
    project = studio.project("legacy", "free_text.xml")
    (task,) = studio.upload(project, {"cat.jpg": photos.photo("cat")}).values()
    studio.connect(project, backend.url)
    with only_personal(studio, personal) as access:
        studio.action(project, "retrieve_tasks_predictions", token=access)
    assert not any(one["result"] for one in studio.predictions(project)[task])
    line = next(line for line in backend.log.read_text().splitlines() if f"task {task}: " in line)
    assert "label_studio_api_key" in line
    assert "legacy tokens are off" in line
    assert studio.token not in backend.log.read_text() + backend.status_page()


def test_the_backends_own_password(studio, backend_of):
    backend = backend_of("password", **PLAIN, ZEROGUIDE_AUTH="me:geheim-ü").start()
    project = studio.project("password", "free_text.xml")
    body = {"project": project, "url": backend.url, "title": "zeroguide", "auth_method": "BASIC_AUTH"}
    body["basic_auth_user"] = "me"
    status, answer = studio.ask("POST", "/api/ml", {**body, "basic_auth_pass": "wrong"})
    assert status == 400
    assert "authentication parameters were either not provided or are incorrect" in str(answer)
    connected = studio.call("POST", "/api/ml", {**body, "basic_auth_pass": "geheim-ü"})
    assert connected["state"] == "CO"
    assert "geheim" not in backend.log.read_text()
