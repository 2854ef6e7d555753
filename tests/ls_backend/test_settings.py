"""Settings from flags, environment and TOML: which wins, what is refused, and that secrets stay hidden."""

import dataclasses
import pickle
import tomllib
from pathlib import Path

import pytest

from ls_backend.settings import (
    SETTINGS,
    BasicAuth,
    FetchSettings,
    Secret,
    Settings,
    data_folder,
    describe,
    read_settings,
)
from zgcore.errors import ConfigError

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def toml(tmp_path):
    """Writes a settings file and gives its path."""

    def write(text):
        path = tmp_path / "zeroguide.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_anything_given_the_defaults_hold():
    settings = read_settings({}, {"HOME": "/home/anna"}, None)
    assert settings == Settings(data_dir=Path("/home/anna/.local/share/zeroguide"))
    assert (settings.preset, settings.port, settings.deadline_s, settings.auth) == ("mini", 9090, 85.0, None)
    assert settings.people_labels == "neutral"
    assert settings.fetch == FetchSettings()
    assert settings.fetch.allow_schemes == ("http", "https", "data")
    assert settings.sources == {}


def test_flags_beat_environment_which_beats_the_file_which_beats_defaults(toml):
    file = toml("port = 1\ndeadline_s = 2\nmax_regions = 3\nqueue_limit = 4\n[fetch]\nmax_mb = 5\n")
    environ = {"ZEROGUIDE_PORT": "11", "ZEROGUIDE_DEADLINE_S": "12", "ZEROGUIDE_MAX_REGIONS": "13"}
    settings = read_settings({"port": 21, "deadline_s": 22.0, "max_regions": None}, environ, file)
    assert (settings.port, settings.deadline_s, settings.max_regions, settings.queue_limit) == (21, 22.0, 13, 4)
    assert settings.fetch.max_mb == 5.0
    assert settings.cache_mb == 512.0
    assert settings.sources == {
        "port": "flag --port",
        "deadline_s": "flag --deadline-s",
        "max_regions": "environment ZEROGUIDE_MAX_REGIONS",
        "queue_limit": str(file),
        "fetch.max_mb": str(file),
    }


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"LABEL_STUDIO_URL": "http://Localhost:8080/"}, "label_studio_url", "http://localhost:8080"),
        ({"LABEL_STUDIO_HOST": "https://ls.example/sub/"}, "label_studio_url", "https://ls.example/sub"),
        ({"LABEL_STUDIO_URL": "http://a", "LABEL_STUDIO_HOST": "http://b"}, "label_studio_url", "http://a"),
        ({"ZEROGUIDE_LABEL_STUDIO_URL": "http://c", "LABEL_STUDIO_URL": "http://a"}, "label_studio_url", "http://c"),
        ({"LABEL_STUDIO_API_KEY": f" {KEY}\n"}, "label_studio_api_key", Secret(KEY)),
        ({"LABEL_STUDIO_ACCESS_TOKEN": KEY}, "label_studio_api_key", Secret(KEY)),
        ({"BASIC_AUTH_USER": "anna", "BASIC_AUTH_PASS": "a:b"}, "auth", BasicAuth("anna", Secret("a:b"))),
        ({"ZEROGUIDE_AUTH": "anna:a:b"}, "auth", BasicAuth("anna", Secret("a:b"))),
        (
            {"ZEROGUIDE_AUTH": "a:b", "BASIC_AUTH_USER": "c", "BASIC_AUTH_PASS": "d"},
            "auth",
            BasicAuth("a", Secret("b")),
        ),
        ({"BASIC_AUTH_USER": "", "BASIC_AUTH_PASS": ""}, "auth", None),
        ({"LOG_LEVEL": "DEBUG"}, "log_level", "debug"),
        ({"MODEL_DIR": "/data"}, "data_dir", Path("/data")),
        ({"ZEROGUIDE_PRELOAD": "Yes"}, "preload", True),
        ({"ZEROGUIDE_PRELOAD": "0"}, "preload", False),
        ({"ZEROGUIDE_PORT": ""}, "port", 9090),
        ({"ZEROGUIDE_DEVICE": "cuda:1"}, "device", "cuda:1"),
    ],
)
def test_variables(environ, name, value):
    assert getattr(read_settings({}, environ, None), name) == value


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"ZEROGUIDE_FETCH_MAX_MB": "1.5"}, "max_mb", 1.5),
        ({"ZEROGUIDE_FETCH_ALLOW_NETWORKS": "10.0.0.7/8, fd00::/8,10.0.0.0/8"}, "allow_networks",
         ("10.0.0.0/8", "fd00::/8")),
        ({"ZEROGUIDE_FETCH_ALLOW_HOSTS": "NAS:81,*.Lab.,bücher.example,[::1]:80"}, "allow_hosts",
         ("nas:81", "*.lab", "xn--bcher-kva.example", "::1:80")),
        ({"ZEROGUIDE_FETCH_ALLOW_SCHEMES": "https,S3"}, "allow_schemes", ("https", "s3")),
        ({"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": "/photos"}, "local_root", Path("/photos")),
        ({"LOCAL_FILES_DOCUMENT_ROOT": "/photos"}, "local_root", Path("/photos")),
    ],
)  # fmt: skip
def test_variables_of_fetching(environ, name, value):
    assert getattr(read_settings({}, environ, None).fetch, name) == value


def test_a_file_of_every_kind_of_value(toml):
    file = toml(
        'preset = "untrained"\npreload = true\nauth = "anna:pä:ss"\nmatch_threshold = 1\nfill_holes = 0.001\n'
        'people_labels = "flag"\n[fetch]\nallow_hosts = ["nas", "*.lab"]\nlocal_root = "/photos"\nmax_pixels = 1000\n'
    )
    settings = read_settings({}, {}, file)
    assert (settings.preset, settings.preload, settings.people_labels) == ("untrained", True, "flag")
    assert settings.auth == ("anna", Secret("pä:ss"))
    assert (type(settings.match_threshold), settings.match_threshold, settings.fill_holes) == (float, 1.0, 0.001)
    assert settings.fetch == FetchSettings(allow_hosts=("nas", "*.lab"), local_root="/photos", max_pixels=1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "there is no setting prot; did you mean port?"),
        ("[fetch]\nmax_mbs = 1", "there is no setting fetch.max_mbs; did you mean fetch.max_mb?"),
        ("[server]\nport = 1", "there is no setting server; --print-settings lists them all"),
        ("sources = {}", "there is no setting sources"),
        ("fetch = 1", "fetch must be a table of settings: [fetch]"),
        ("port = ", "is not TOML: "),
        ("port = 70000", "port must be a whole number 0..65535, not 70000"),
        ("port = true", "port must be a whole number 0..65535, not True"),
        ("port = 1.5", "port must be a whole number 0..65535, not 1.5"),
        ("deadline_s = nan", "deadline_s must be a number 1..3600, not nan"),
        ("deadline_s = true", "deadline_s must be a number 1..3600, not True"),
        ("min_area = 1.01", "min_area must be a number 0..1, not 1.01"),
        ("smooth = 1", "smooth must be true or false, not 1"),
        ('preset = "minni"', "preset cannot be used: there is no preset 'minni'; did you mean 'mini'?"),
        ('device = "gpu"', "device must be auto, cpu, cuda or cuda:N, not 'gpu'"),
        ('people_labels = "neutrl"', "must be one of neutral, flag, keep, not 'neutrl'; did you mean neutral?"),
        ('host = " "', "host must be a text"),
        (
            '[fetch]\nallow_networks = ["10.0.0.0/33"]',
            "must hold networks like 10.1.0.0/16 or fd00::/8, not '10.0.0.0/33'",
        ),
        (
            '[fetch]\nallow_hosts = ["http://nas/"]',
            "must hold host names as NAME, NAME:PORT or *.NAME, not 'http://nas/'",
        ),
        ('[fetch]\nallow_hosts = ["*"]', "must hold host names"),
        ('[fetch]\nallow_hosts = ["nas:70000"]', "must hold host names"),
        ("[fetch]\nallow_hosts = 7", "must be a list, not 7"),
        ('[fetch]\nallow_schemes = ["file"]', "must be one of http, https, data, s3, gs, az, not 'file'"),
    ],
)
def test_what_a_file_must_not_hold(toml, text, message):
    file = toml(text)
    with pytest.raises(ConfigError) as caught:
        read_settings({}, {}, file)
    assert str(caught.value).startswith(f"{file}")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory; name a TOML file"):
        read_settings({}, {}, tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b'host = "\xe4"')
    with pytest.raises(ConfigError, match="is not TOML"):
        read_settings({}, {}, tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ZEROGUIDE_PORT": "x"}, "environment ZEROGUIDE_PORT: port must be a whole number 0..65535, not 'x'"),
        (
            {"ZEROGUIDE_DEADLINE": "9"},
            "environment ZEROGUIDE_DEADLINE is not a setting; did you mean ZEROGUIDE_DEADLINE_S?",
        ),
        ({"ZEROGUIDE_FETCH_ALLOW_HOST": "a"}, "did you mean ZEROGUIDE_FETCH_ALLOW_HOSTS?"),
        ({"BASIC_AUTH_USER": "anna"}, "environment BASIC_AUTH_USER is set and BASIC_AUTH_PASS is not"),
        ({"BASIC_AUTH_PASS": "geheim"}, "environment BASIC_AUTH_PASS is set and BASIC_AUTH_USER is not"),
        ({"LABEL_STUDIO_URL": "localhost:8080"}, "must be an address like http://localhost:8080"),
        ({"LABEL_STUDIO_URL": "http://anna:geheim@ls/"}, "without user, password and question mark"),
        ({"LABEL_STUDIO_URL": "http://anna:geheim:x@:ls/"}, "must be an address like http://localhost:8080"),
        ({"LABEL_STUDIO_API_KEY": "geheim und lang"}, "must be a token without spaces; copy it again"),
        ({"LABEL_STUDIO_API_KEY": "geheimä"}, "must be a token without spaces; copy it again"),
        ({"ZEROGUIDE_AUTH": "geheim"}, "environment ZEROGUIDE_AUTH: auth must be USER:PASSWORD, neither empty"),
        ({"ZEROGUIDE_AUTH": ":geheim"}, "auth must be USER:PASSWORD, neither empty"),
        ({"ZEROGUIDE_AUTH": "anna:"}, "auth must be USER:PASSWORD, neither empty"),
        ({"BASIC_AUTH_USER": "an:na", "BASIC_AUTH_PASS": "geheim"}, "auth must be USER:PASSWORD, neither empty"),
    ],
)
def test_variables_that_are_refused_and_never_repeat_a_secret(environ, message):
    with pytest.raises(ConfigError) as caught:
        read_settings({}, environ, None)
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_variables_of_others_are_left_alone():
    environ = {"ZEROGUIDE_SERVICE_HOST": "10.0.0.1", "ZEROGUIDE_VERSION": "3", "PORT": "1", "HOST": "x"}
    assert read_settings({}, environ, None).port == 9090


def test_a_flag_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"there is no flag for 'fetch_max_mbs'; did you mean fetch_max_mb\?"):
        read_settings({"fetch_max_mbs": 1}, {}, None)


def test_flags_by_their_keys_cover_every_setting():
    given = {setting.key: None for setting in SETTINGS}
    assert len(given) == len(SETTINGS) == 22 + 7
    assert read_settings({**given, "fetch_allow_hosts": (), "fetch_max_mb": "3"}, {}, None).fetch.max_mb == 3.0
    names = {setting.name: setting for setting in SETTINGS}
    assert names["fetch.max_mb"].flag == "--fetch-max-mb"
    assert names["fetch.max_mb"].environment == ("ZEROGUIDE_FETCH_MAX_MB",)
    assert names["label_studio_url"].environment[1:] == ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST")
    assert all(setting.rule.meaning.endswith(".") for setting in SETTINGS)


def test_settings_made_by_hand_are_checked_too():
    assert Settings(port="80", weights="~").weights == Path.home()
    assert Settings(auth=("anna", "geheim")).auth == BasicAuth("anna", Secret("geheim"))
    with pytest.raises(ConfigError, match=r"^port must be a whole number"):
        Settings(port=-1)
    with pytest.raises(ConfigError, match=r"^fetch\.max_mb must be a number"):
        FetchSettings(max_mb=0)
    with pytest.raises(ConfigError, match=r"^queue_limit must be"):
        dataclasses.replace(Settings(), queue_limit=0)


def test_the_data_folder_follows_the_environment():
    assert data_folder({"XDG_DATA_HOME": "/srv", "HOME": "/home/anna"}) == Path("/srv/zeroguide")
    assert data_folder({"HOME": "/home/anna"}) == Path("/home/anna/.local/share/zeroguide")


# Secrets


def test_a_secret_shows_itself_only_when_asked():
    secret = Secret("geheim")
    assert secret.reveal() == "geheim"
    assert {str(secret), repr(secret), f"{secret}", f"{secret!r:>3}", "%s" % secret} == {"***"}  # noqa: UP031
    assert (secret == Secret("geheim"), secret == Secret("geheiM"), secret == "geheim") == (True, False, False)
    assert secret != Secret("ä")
    assert hash(secret) == hash(Secret("geheim"))
    assert pickle.loads(pickle.dumps(secret)) == secret


def test_settings_are_described_without_secrets():
    environ = {"LABEL_STUDIO_API_KEY": KEY, "BASIC_AUTH_USER": 'an"na', "BASIC_AUTH_PASS": "geheim"}
    settings = read_settings({"port": 80, "fetch_allow_hosts": "nas,lab"}, environ, None)
    shown = describe(settings)
    for text in (shown, repr(settings), str(settings)):
        assert KEY not in text
        assert "geheim" not in text
    lines = shown.splitlines()
    assert 'preset = "mini"  # default' in lines
    assert "port = 80  # flag --port" in lines
    assert '# label_studio_api_key = "***"  # environment LABEL_STUDIO_API_KEY' in lines
    assert '# auth = "an\\"na:***"  # environment BASIC_AUTH_USER, BASIC_AUTH_PASS' in lines
    assert "# weights is not set" in lines
    assert 'allow_hosts = ["nas", "lab"]  # flag --fetch-allow-hosts' in lines


def test_a_description_is_a_settings_file(toml):
    settings = read_settings(
        {"deadline_s": 30, "fetch_local_root": "/phötos", "fetch_max_mb": 1e-3, "auth": "a:b"}, {}, None
    )
    described = describe(settings)
    assert tomllib.loads(described)["fetch"]["local_root"] == "/phötos"
    assert read_settings({}, {}, toml(described)) == dataclasses.replace(settings, auth=None)
