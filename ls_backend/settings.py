"""Every setting of the server, read from flags, environment and a TOML file by one reader.

`SETTINGS` lists them with their names in each of the three places; nothing else in the server reads the environment.
"""

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from ls_backend.setting_values import (
    BasicAuth,
    Secret,
    api_key,
    basic_auth,
    device_name,
    folder,
    hosts,
    list_of,
    networks,
    number,
    one_of,
    optional,
    preset_name,
    server_url,
    share,
    text,
    truth,
    whole,
)
from zgcore.errors import ConfigError
from zgcore.images import MAX_PIXELS
from zgcore.presets import get_preset
from zgcore.suggest import closest

__all__ = ["SETTINGS", "BasicAuth", "FetchSettings", "Secret", "Setting", "Settings", "describe", "read_settings"]

PREFIX = "ZEROGUIDE_"
OBJECT_STORES = ("s3", "gs", "az")
STORE_ALIASES = {"azure-blob": "az"}  # as Label Studio writes them
LOG_LEVELS = ("debug", "info", "warning", "error")
_DEFAULT = "default"
_TYPO = 0.85  # how alike an unknown variable must be to a setting's to count as a typo of it


@dataclass(frozen=True)
class Rule:
    """How a setting's value is read, what it means, and Label Studio's usual variables for it.

    unset: what holds where the setting is None, told of all settings.
    """

    read: Callable[[Any], Any]
    meaning: str
    environment: tuple[str, ...] = ()
    unset: Callable[[Any], Any] | None = None


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the server keeps its cache and queue unless told otherwise (XDG base directory specification)."""
    base = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME") or "~", ".local", "share")
    return Path(base).expanduser() / "zeroguide"


@dataclass(frozen=True)
class FetchSettings:
    """What the server may read when a task names an image. Raises ConfigError for a value out of its bounds."""

    timeout_s: Annotated[float, Rule(number(0.1, 600), "Seconds an image may take to arrive, redirects included.")] = (
        20.0
    )
    max_mb: Annotated[
        float, Rule(number(0.001, 4096), "Largest image file in MB (1e6 bytes), after decompression.")
    ] = 50.0
    max_pixels: Annotated[int, Rule(whole(1, 10**9), "Largest image in pixels.")] = MAX_PIXELS
    allow_hosts: Annotated[
        tuple[str, ...],
        Rule(hosts, "Hosts that may have an address that is not public: NAME, NAME:PORT or *.NAME."),
    ] = ()
    allow_networks: Annotated[
        tuple[str, ...],
        Rule(networks, "Networks that may be reached though they are not public, as 10.1.0.0/16."),
    ] = ()
    local_root: Annotated[
        Path | None,
        Rule(
            optional(folder),
            "Folder below which image files may be read; none are without it.",
            ("LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT", "LOCAL_FILES_DOCUMENT_ROOT"),
        ),
    ] = None
    allow_schemes: Annotated[
        tuple[str, ...],
        Rule(
            list_of(one_of("http", "https", "data", *OBJECT_STORES)),
            "Kinds of address a task may name. s3, gs and az (which Label Studio writes azure-blob) read with this "
            "machine's cloud credentials.",
        ),
    ] = ("http", "https", "data")

    def __post_init__(self) -> None:
        _check(self, "fetch.")


@dataclass(frozen=True)
class Settings:
    """All settings of `zeroguide serve`. Raises ConfigError for a value out of its bounds.

    Shares are of the image's area, sizes in MB are of 1e6 bytes. `sources` says by setting where each value came from;
    what it leaves out has its default.
    """

    preset: Annotated[str, Rule(preset_name, "Preset, or a folder that holds one.")] = "mini"
    device: Annotated[str, Rule(device_name, "auto, cpu, cuda or cuda:N.")] = "auto"
    weights: Annotated[Path | None, Rule(optional(folder), "Folder of weights to use in place of the model hub.")] = (
        None
    )
    preload: Annotated[bool, Rule(truth, "Load the model at the start and not at the first prediction.")] = False
    host: Annotated[str, Rule(text, "Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[int, Rule(whole(0, 65535), "Port to listen on; 0 takes a free one.")] = 9090
    auth: Annotated[
        BasicAuth | None,
        Rule(optional(basic_auth), "USER:PASSWORD that Label Studio must send; anyone may ask without it."),
    ] = None
    label_studio_url: Annotated[
        str | None,
        Rule(
            optional(server_url),
            "Label Studio's own address, for uploads and for sending predictions.",
            ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
        ),
    ] = None
    label_studio_api_key: Annotated[
        Secret | None,
        Rule(
            optional(api_key),
            "Legacy token or personal access token of a Label Studio user.",
            ("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
        ),
    ] = None
    data_dir: Annotated[Path, Rule(folder, "Folder for cache and queue.", ("MODEL_DIR",))] = field(
        default_factory=data_folder
    )
    deadline_s: Annotated[
        float,
        Rule(number(1, 3600), "Seconds for an answer; what does not fit goes to the queue. Label Studio waits 100."),
    ] = 85.0
    queue_limit: Annotated[int, Rule(whole(1, 10_000), "Requests that may wait; more are answered with 429.")] = 32
    max_body_mb: Annotated[
        float, Rule(number(0.001, 4096), "Largest request in MB; a larger one is answered with 413.")
    ] = 64.0
    cache_mb: Annotated[float, Rule(number(0, 1e6), "Disk for finished predictions in MB.")] = 512.0
    max_regions: Annotated[
        int, Rule(whole(1, 1000), "At most so many regions an image; browsers get slow beyond 20.")
    ] = 20
    min_area: Annotated[float, Rule(share, "Smaller regions are left out. Share of the image.")] = 0.002
    smooth: Annotated[bool, Rule(truth, "Smooth the outlines of masks.")] = False
    fill_holes: Annotated[float, Rule(share, "Fill holes up to this share of the image; 0 leaves them.")] = 0.0
    match_threshold: Annotated[
        float | None,
        Rule(
            optional(share),
            "Least CLIP text similarity (cosine) at which a closed list's label is given; the preset's own if not set.",
            unset=lambda settings: settings.least_match,
        ),
    ] = None
    vocabulary: Annotated[
        Path | None,
        Rule(optional(folder), "Vocabulary file of `zeroguide vocab`: texts arrive as its labels, the raw text stays."),
    ] = None
    people_labels: Annotated[
        Literal["neutral", "flag", "keep"],
        Rule(one_of("neutral", "flag", "keep"), "Labels that describe people: neutral noun, flag, or keep."),
    ] = "neutral"
    log_level: Annotated[str, Rule(one_of(*LOG_LEVELS), "debug, info, warning or error.", ("LOG_LEVEL",))] = "info"
    fetch: FetchSettings = field(default_factory=FetchSettings)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check(self, "")

    @property
    def least_match(self) -> float:
        """`match_threshold`, or the preset's, whose text space it belongs to."""
        return get_preset(self.preset).clip.match_threshold if self.match_threshold is None else self.match_threshold


def _rules(kind: type) -> dict[str, Rule]:
    """The rules of a settings class by field, in its order."""
    hints = get_type_hints(kind, include_extras=True)
    extras = ((name, extra) for name, hint in hints.items() for extra in getattr(hint, "__metadata__", ()))
    return {name: extra for name, extra in extras if isinstance(extra, Rule)}


def _check(settings: Any, prefix: str) -> None:
    """Put every value into its setting's type; ConfigError where it does not fit."""
    for name, rule in _rules(type(settings)).items():
        try:
            value = rule.read(getattr(settings, name))
        except ValueError as error:
            raise ConfigError(f"{prefix}{name} {error}") from None
        object.__setattr__(settings, name, value)


@dataclass(frozen=True)
class Setting:
    """A setting and its names: `fetch.max_mb`, `--fetch-max-mb`, `ZEROGUIDE_FETCH_MAX_MB`.

    default: None also where it depends on the machine. environment: variables that are asked in this order.
    """

    name: str
    default: Any
    rule: Rule

    @property
    def key(self) -> str:
        """Its name as a parameter of the command: fetch_max_mb."""
        return self.name.replace(".", "_")

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def environment(self) -> tuple[str, ...]:
        return (PREFIX + self.key.upper(), *self.rule.environment)


def _settings_of(kind: type, prefix: str) -> Iterator[Setting]:
    for name, rule in _rules(kind).items():
        yield Setting(prefix + name, getattr(kind, name, None), rule)


SETTINGS: tuple[Setting, ...] = (*_settings_of(Settings, ""), *_settings_of(FetchSettings, "fetch."))
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class _Given:
    """A value as somebody gave it, and where."""

    value: Any
    source: str


def read_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """The settings; flags beat the environment, which beats the TOML file, which beats the defaults.

    flags: by `Setting.key`; None and () count as not given. environ: the process's own by default; empty variables
    count as not set. file: top-level keys and a table [fetch].

    Raises ConfigError for a name that does not exist, a value out of its bounds and a file that cannot be read; the
    message says where the value stands and what it must be, and never repeats a secret.
    """
    environ = os.environ if environ is None else environ
    given = {**_from_file(file), **_from_environment(environ), **_from_flags(flags or {})}
    values = {name: _read(_BY_NAME[name], found) for name, found in given.items()}
    values.setdefault("data_dir", data_folder(environ))
    fetch = {name.removeprefix("fetch."): value for name, value in values.items() if name.startswith("fetch.")}
    own = {name: value for name, value in values.items() if not name.startswith("fetch.")}
    sources = {name: found.source for name, found in given.items()}
    return Settings(**own, fetch=FetchSettings(**fetch), sources=sources)


def _read(setting: Setting, given: _Given) -> Any:
    try:
        return setting.rule.read(given.value)
    except ValueError as error:
        raise ConfigError(f"{given.source}: {setting.name} {error}") from None


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    by_key = {setting.key: setting for setting in SETTINGS}
    found = {}
    for key, value in flags.items():
        if key not in by_key:
            raise ConfigError(f"there is no flag for {key!r}{_did_you_mean(key, by_key)}")
        if value is not None and value != ():
            found[by_key[key].name] = _Given(value, f"flag {by_key[key].flag}")
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    _refuse_typos(environ)
    found = {}
    for setting in SETTINGS:
        for variable in setting.environment:
            if environ.get(variable, "").strip():
                found[setting.name] = _Given(environ[variable], f"environment {variable}")
                break
    if "auth" not in found and (auth := _auth_from_environment(environ)):
        found["auth"] = auth
    return found


def _auth_from_environment(environ: Mapping[str, str]) -> _Given | None:
    """Label Studio's two variables for one setting."""
    user, password = environ.get("BASIC_AUTH_USER", ""), environ.get("BASIC_AUTH_PASS", "")
    if bool(user) != bool(password):
        one, other = ("BASIC_AUTH_USER", "BASIC_AUTH_PASS") if user else ("BASIC_AUTH_PASS", "BASIC_AUTH_USER")
        raise ConfigError(f"environment {one} is set and {other} is not; set both, or neither")
    return _Given((user, password), "environment BASIC_AUTH_USER, BASIC_AUTH_PASS") if user else None


def _refuse_typos(environ: Mapping[str, str]) -> None:
    """A variable of ours that is not quite one. Others of the prefix belong to whoever runs the server."""
    known = [setting.environment[0] for setting in SETTINGS]
    for name in environ:
        if name.startswith(PREFIX) and name not in known and (meant := closest(name, known, _TYPO)):
            raise ConfigError(f"environment {name} is not a setting; did you mean {meant}?")


def _from_file(file: Path | None) -> dict[str, _Given]:
    if file is None:
        return {}
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}; name a TOML file of settings") from None
    except ValueError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    found = {}
    for name, value in _flat(document, file):
        if name not in _BY_NAME:
            raise ConfigError(f"{file}: there is no setting {name}{_did_you_mean(name, _BY_NAME)}")
        found[name] = _Given(value, str(file))
    return found


def _flat(document: dict[str, Any], file: Path) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name != "fetch":
            yield name, value
        elif isinstance(value, dict):
            yield from ((f"fetch.{inner}", setting) for inner, setting in value.items())
        else:
            raise ConfigError(f"{file}: fetch must be a table of settings: [fetch]")


def _did_you_mean(name: str, known: Mapping[str, Setting]) -> str:
    meant = closest(name, known)
    return f"; did you mean {meant}?" if meant else "; --print-settings lists them all"


def describe(settings: Settings) -> str:
    """The settings as TOML, each with where it came from; what is not set is a comment, and what is secret is one too,
    hidden, so that the text can be used as a settings file.
    """
    own = [_line(setting, settings, settings.sources) for setting in SETTINGS if "." not in setting.name]
    fetch = [_line(setting, settings.fetch, settings.sources) for setting in SETTINGS if "." in setting.name]
    return "\n".join([*own, "", "[fetch]", *fetch, ""])


def _line(setting: Setting, owner: Any, sources: Mapping[str, str]) -> str:
    name = setting.name.rpartition(".")[2]
    value = getattr(owner, name)
    if value is None:
        if setting.rule.unset is not None:
            return f"# {name} = {_toml(setting.rule.unset(owner))}  # preset"
        return f"# {name} is not set"
    source = sources.get(setting.name, _DEFAULT)
    if isinstance(value, BasicAuth):
        return f"# {name} = {_toml(f'{value.user}:{value.password}')}  # {source}"
    if isinstance(value, Secret):
        return f"# {name} = {_toml(str(value))}  # {source}"
    return f"{name} = {_toml(value)}  # {source}"


def _toml(value: Any) -> str:
    """A value as TOML writes it; JSON's strings, numbers and lists are TOML's too."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
