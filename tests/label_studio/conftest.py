"""One Label Studio, one backend and one browser for all tests of this folder: real processes on ports of their own."""

from pathlib import Path

import pytest

from ls_backend.local_label_studio import program
from tests.chromium import CHROMIUM, DRIVER, MISSING
from tests.label_studio.backend_process import BackendProcess
from tests.label_studio.early import EarlyLabelStudio
from tests.label_studio.studio import Studio
from zgcore.mini.load import WEIGHTS_FOLDER
from zgcore.presets import PRESETS, save_preset

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-label-studio"
INSTALLED = ENVIRONMENT / ".installed"
EARLY = pytest.StashKey[EarlyLabelStudio]()
SCREENSHOTS = ROOT / "out" / "label_studio_screenshots"
PATIENT_S = 500  # for answers that must be whole on a slow machine too


def pytest_collection_modifyitems(items):
    """This folder last, since Label Studio is long in starting; of it those of the API first: where they fail, the
    browser has nothing to show."""
    here = Path(__file__).parent
    items.sort(key=lambda item: (item.path.parent == here, item.path.parent == here and "browser" in item.fixturenames))


def pytest_collection_finish(session):
    """Label Studio starts now. It waits for predictions longer than it would, so that a slow machine is no fault."""
    wanted = (
        any("label_studio" in item.fixturenames for item in session.items) and not session.config.option.collectonly
    )
    if wanted and INSTALLED.exists():
        settings = {"ML_TIMEOUT_PREDICT": str(PATIENT_S + 60), "ML_TIMEOUT_SETUP": "30", "ML_TIMEOUT_HEALTH": "30"}
        folder = session.config._tmp_path_factory.mktemp("label-studio")  # the factory of the fixture of that name
        session.config.stash[EARLY] = EarlyLabelStudio(program(ENVIRONMENT), folder, settings)


def pytest_unconfigure(config):
    if EARLY in config.stash:
        config.stash[EARLY].end()


@pytest.fixture(scope="session")
def label_studio(pytestconfig):
    """The process."""
    if EARLY not in pytestconfig.stash:
        pytest.skip(f"Label Studio is not installed: make {ENVIRONMENT.name}/.installed")
    return pytestconfig.stash[EARLY].ready()


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
