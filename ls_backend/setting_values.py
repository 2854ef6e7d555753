"""Values of settings: from what a flag, a variable or a TOML file holds to the type the server uses.

A reader takes either, gives the typed value, and raises ValueError with what the value must be ("must be ..."). Reading
a value twice gives the same.
"""

from __future__ import annotations

import hmac
import math
import re
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ls_backend.addresses import Url, canonical_host
from zgcore.errors import ConfigError
from zgcore.presets import get_preset
from zgcore.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
_LONGEST_PORT = 65535


class Secret:
    """A text that is not shown by accident: str, repr and format give ***; `reveal` gives the text.

    Two secrets are compared in constant time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


class BasicAuth(NamedTuple):
    """What HTTP basic authentication asks for (RFC 7617)."""

    user: str
    password: Secret


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, not {value!r}")
    return value.strip()


def truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE + _FALSE:
        raise ValueError(f"must be true or false, not {value!r}")
    return word in _TRUE


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number, both ends included."""

    def read(value: Any) -> int:
        try:
            found = int(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        if type(found) is not int or not low <= found <= high:
            raise ValueError(f"must be a whole number {low}..{high}, not {value!r}")
        return found

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    """A number, both ends included."""

    def read(value: Any) -> float:
        try:
            found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            found = math.nan
        if not low <= found <= high:  # also where it is not a number
            raise ValueError(f"must be a number {low:g}..{high:g}, not {value!r}")
        return found

    return read


share = number(0, 1)


def one_of(*words: str) -> Callable[[Any], str]:
    """One of the words, in either case."""

    def read(value: Any) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in words:
            meant = closest(word, words)
            hint = f"; did you mean {meant}?" if meant else ""
            raise ValueError(f"must be one of {', '.join(words)}, not {value!r}{hint}")
        return word

    return read


def list_of(item: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A list, or a text with commas, each once."""

    def read(value: Any) -> tuple[T, ...]:
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list, not {value!r}")
        return tuple(dict.fromkeys(map(item, value)))

    return read


def optional(item: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """None stays."""
    return lambda value: None if value is None else item(value)


def preset_name(value: Any) -> str:
    name = str(value) if isinstance(value, Path) else text(value)
    try:
        get_preset(name)
    except ConfigError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return name


def device_name(value: Any) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value.strip()):
        raise ValueError(f"must be auto, cpu, cuda or cuda:N, not {value!r}")
    return value.strip()


def folder(value: Any) -> Path:
    path = value if isinstance(value, Path) else Path(text(value))
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"must be a folder; {value!r} names a home that does not exist") from None


def basic_auth(value: Any) -> BasicAuth:
    """From "user:password" or a pair. Messages do not repeat the value: half of it is secret."""
    user, password = value.split(":", 1) if isinstance(value, str) and ":" in value else _pair(value)
    if not isinstance(password, Secret):
        password = Secret(password)
    if not user or ":" in user or not password.reveal():
        raise ValueError("must be USER:PASSWORD, neither empty")
    return BasicAuth(user, password)


def _pair(value: Any) -> tuple[str, Any]:
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str):
        user, password = value
        if isinstance(password, str | Secret):
            return user, password
    raise ValueError("must be USER:PASSWORD, neither empty")


def api_key(value: Any) -> Secret:
    key = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(key, str) or not re.fullmatch(r"[\x21-\x7e]+", key.strip()):
        raise ValueError("must be a token without spaces; copy it again from Label Studio's account page")
    return Secret(key.strip())


def server_url(value: Any) -> str:
    """http(s)://host[:port][/path] without a slash at its end. The message does not repeat the value: it may hold a
    password.
    """
    try:
        url = Url.parse(text(value))
    except ConfigError:
        raise
    except Exception as error:
        raise ValueError("must be an address like http://localhost:8080") from error
    if url.credentials is not None or "?" in url.target:
        raise ValueError("must be an address like http://localhost:8080, without user, password and question mark")
    return url.text.rstrip("/")


def _host(value: Any) -> str:
    """NAME, NAME:PORT or *.NAME in its canonical spelling."""
    word = text(value)
    name, _, port = word.rpartition(":") if re.search(r":\d+$", word) and not word.endswith("::") else (word, "", "")
    star, bare = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        canonical = canonical_host(bare)
    except ValueError:
        canonical = ""
    if not canonical or "*" in canonical or (port and int(port) > _LONGEST_PORT):
        raise ValueError(f"must hold host names as NAME, NAME:PORT or *.NAME, not {value!r}")
    return star + canonical + (f":{port}" if port else "")


def _network(value: Any) -> str:
    try:
        return str(ip_network(text(value), strict=False))
    except ValueError:
        raise ValueError(f"must hold networks like 10.1.0.0/16 or fd00::/8, not {value!r}") from None


hosts = list_of(_host)
networks = list_of(_network)
