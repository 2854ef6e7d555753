"""One Label Studio, one backend and one browser for all tests of this folder: real processes on ports of their own."""

from pathlib import Path

import pytest

from ls_backend.local_label_studio import LocalLabelStudio, program
from ls_backend.local_server import free_port
from tests.chromium import CHROMIUM, DRIVER, MISSING
from tests.label_studio.backend_process import BackendProcess
from tests.label_studio.studio import Studio
from zgcore.mini.load import WEIGHTS_FOLDER
from zgcore.presets import PRESETS, save_preset

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-label-studio"
SCREENSHOTS = ROOT / "out" / "label_studio_screenshots"
PATIENT_S = 500  # for answers that must be whole on a slow machine too


def pytest_collection_modifyitems(items):
    """Of this folder those of the API first: where they fail, the browser has nothing to show."""
    places = [place for place, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[place] for place in places), key=lambda item: "browser" in item.fixturenames)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory):
    """The process. It waits for predictions longer than it would, so that a slow machine is no fault."""
    if not (ENVIRONMENT / ".installed").exists():
        pytest.skip(f"Label Studio is not installed: make {ENVIRONMENT.name}/.installed")
    folder = tmp_path_factory.mktemp("label-studio")
    settings = {"ML_TIMEOUT_PREDICT": str(PATIENT_S + 60), "ML_TIMEOUT_SETUP": "30", "ML_TIMEOUT_HEALTH": "30"}
    with LocalLabelStudio(program(ENVIRONMENT), folder, port=free_port(), settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def studio(label_studio):
    """Its first user."""
    return Studio(label_studio.url, label_studio.account.token)


@pytest.fixture(scope="session")
def personal(studio):
    """A personal access token of the first user: Label Studio gives one, where its organisation allows them."""
    studio.call("POST", "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
    return studio.call("POST", "/api/token/")["token"]


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """Settings of a preset with the small weights that ship, and labels by retrieval: a third of the time."""
    folder = tmp_path_factory.mktemp("quick")
    save_preset(PRESETS["mini"].override(labeler="retrieval"), folder)
    return {"ZEROGUIDE_PRESET": str(folder), "ZEROGUIDE_WEIGHTS": str(WEIGHTS_FOLDER)}


@pytest.fixture(scope="session")
def backend_of(studio, quick, tmp_path_factory):
    """Makes backends that know Label Studio; they are ended with the last test."""
    made = []

    def make(name, **settings):
        known = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": studio.token}
        made.append(BackendProcess(tmp_path_factory.mktemp(name), **{**known, **quick, **settings}))
        return made[-1]

    yield make
    for backend in made:
        backend.__exit__()


@pytest.fixture(scope="session")
def backend(backend_of):
    """The backend that most tests share."""
    return backend_of("backend", ZEROGUIDE_PRELOAD="true", ZEROGUIDE_DEADLINE_S=str(PATIENT_S)).start()


@pytest.fixture(scope="session")
def browser(label_studio, tmp_path_factory):
    """Chromium, logged in."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    if not (CHROMIUM and DRIVER):
        pytest.skip(MISSING)
    from tests.label_studio.browser import Browser

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    opened = Browser(label_studio.url, tmp_path_factory.mktemp("profile"), SCREENSHOTS)
    try:
        opened.log_in(label_studio.account)
        yield opened
    finally:
        opened.driver.quit()
