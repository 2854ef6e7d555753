"""Images that tasks name, as bytes: from the web, Label Studio's uploads, object stores, data: URIs and local files.

Whatever a task says is taken for hostile: addresses are checked after every lookup and every redirect, and each source
is bounded in time and size (`FetchSettings`).
"""

from __future__ import annotations

import binascii
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urljoin, urlsplit

from ls_backend.addresses import DEFAULT_PORTS, AddressPolicy, FetchDelayed, FetchError, Url, resolve, shortened
from ls_backend.label_studio_token import LabelStudioToken
from ls_backend.local_files import read_below
from ls_backend.pinned_http import Deadline, PinnedHttp, basic_authorization, too_large
from ls_backend.settings import OBJECT_STORES, STORE_ALIASES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ls_backend.pinned_http import Answer
    from ls_backend.settings import Settings

__all__ = ["FetchDelayed", "FetchError", "Fetcher"]

MAX_REDIRECTS = 5
MAX_REFERENCE = 8192  # characters of an address that is not a data: URI
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_REDIRECTS = (301, 302, 303, 307, 308)
_LOCAL_FILES = "/data/local-files"
_LOGIN = "/user/login"
_IMAGES = re.compile(r"/data/|/storage-data/|/(tasks|projects)/\d+/(resolve|presign)/")
_LEADS_UP = re.compile(r"(^|[/\\])\.\.?([/\\]|$)|//|\\|%(25|2e|2f|5c)", re.I)  # a proxy may read another path
_PASSING = (401, 403, 408, 425, 429)  # and those from 500 on: another may be answered later, or with another token
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_CHUNK = 1 << 20


class Fetcher:
    """Reads what tasks name; safe to use from several threads.

    resolver: host and port to addresses; the system's by default.
    """

    def __init__(self, settings: Settings, resolver: Callable[[str, int], list[str]] = resolve) -> None:
        self._limits = settings.fetch
        self._max_bytes = int(self._limits.max_mb * 1e6)
        self._base = settings.label_studio_url
        self._own = Url.parse(self._base).origin if self._base else None
        self._has_key = settings.label_studio_api_key is not None
        policy = AddressPolicy(self._limits.allow_hosts, self._limits.allow_networks, self._own, resolver)
        self._http = PinnedHttp(policy, self._max_bytes)
        self.token = LabelStudioToken(self._base, settings.label_studio_api_key, self._http) if self._base else None

    def fetch(self, reference: str) -> bytes:
        """The bytes of the image that a task names; they have not been looked into.

        reference: http(s), data:, file:, s3:, gs:, az: or azure-blob: address, a path on Label Studio's host as it
        writes them for uploads and local files, or a path below `fetch.local_root`.

        Raises FetchError, and nothing else, whatever the reference is; FetchDelayed where another try may succeed.
        """
        if not isinstance(reference, str) or not reference.strip():
            raise FetchError("image: the task names no image; its value must be an address, not empty")
        reference = reference.strip()
        scheme = _scheme(reference)
        if scheme == "data":
            return self._data(reference)
        if len(reference) > MAX_REFERENCE:
            raise FetchError(f"{_shown(reference)}: the address has more than {MAX_REFERENCE} characters; shorten it")
        if scheme is None:
            return self._path(reference)
        if scheme == "file":
            return self._file(reference)
        if scheme in STORE_ALIASES:
            reference, scheme = STORE_ALIASES[scheme] + reference[len(scheme) :], STORE_ALIASES[scheme]
        if scheme in OBJECT_STORES:
            return self._object(reference, scheme)
        if scheme not in DEFAULT_PORTS:
            raise FetchError(f"{_shown(reference)}: addresses of kind {scheme}: are not read; use http or https")
        return self._web(self._url(reference))

    def _path(self, reference: str) -> bytes:
        """A reference without a scheme: a local file if it is one, else a path on Label Studio's host."""
        if reference.startswith("//"):  # the page's own scheme, as browsers read it
            return self._web(self._url(f"{self._own[0] if self._own else 'https'}:{reference}"))
        if self._limits.local_root is not None:
            name = _local_name(reference, self._limits.local_root)
            content = (
                None if name is None else read_below(self._limits.local_root, name, _shown(reference), self._max_bytes)
            )
            if content is not None:
                return content
        if self._base is None:
            raise FetchError(
                f"{_shown(reference)}: this is a path on Label Studio's host; set label_studio_url "
                "(LABEL_STUDIO_URL) to where it runs, or fetch.local_root for files of this machine"
            )
        return self._web(self._url(_join(self._base, reference)))

    def _url(self, text: str) -> Url:
        try:
            return Url.parse(text)
        except ValueError as error:
            raise FetchError(f"{_shown(text)}: {error}; correct it in the task") from None

    def _web(self, url: Url) -> bytes:
        """Follow an address to its bytes, checking every hop.

        The token goes to Label Studio's origin only, there only to where it serves images, and not after another host
        had a say in where to go. A user and password in the address go to its own origin only.
        """
        first, deadline, own_so_far = url, Deadline(self._limits.timeout_s), True
        for _ in range(MAX_REDIRECTS + 1):
            self._check_scheme(url)
            own_so_far = own_so_far and url.origin == self._own
            answer = self._ask(url, first, deadline, with_token=own_so_far and self._serves_images(url))
            if answer.status not in _REDIRECTS:
                return self._content(url, answer)
            url = self._next(url, answer)
        raise FetchError(f"{first.shown}: more than {MAX_REDIRECTS} redirects; name the last address in the task")

    def _check_scheme(self, url: Url) -> None:
        if url.origin != self._own and url.scheme not in self._limits.allow_schemes:
            raise _not_allowed(url.shown, url.scheme)

    def _serves_images(self, url: Url) -> bool:
        """Whether an address on Label Studio's origin is one of those that give what a task names. Its API, read with
        our token, would let whoever writes a task ask in our name.
        """
        path = unquote(url.target.partition("?")[0])
        folder = Url.parse(self._base).target.rstrip("/") if self._base else ""
        inside = path.removeprefix(folder) if path.startswith(f"{folder}/") else ""
        return _IMAGES.match(inside) is not None and not _LEADS_UP.search(path)

    def _ask(self, url: Url, first: Url, deadline: Deadline, *, with_token: bool) -> Answer:
        headers = {"Accept": "image/*, */*;q=0.1"}
        if first.credentials is not None and url.origin == first.origin:
            headers |= basic_authorization(*first.credentials)
        if not with_token or self.token is None:
            return self._http.send(url, deadline, headers)
        return self.token.send(url, deadline, headers)

    def _next(self, url: Url, answer: Answer) -> Url:
        """Where a redirect leads."""
        location = answer.headers.get("location", "")
        with suppress(UnicodeError):  # headers are read as Latin-1, and servers write UTF-8
            location = location.encode("latin-1").decode()
        try:
            target = Url.parse(urljoin(url.text, location) if location else "")
        except ValueError:
            raise FetchError(f"{url.shown}: redirects to something that is no http address") from None
        if url.origin == self._own and _LOGIN in target.target.partition("?")[0]:
            raise self._login_wanted(url)
        return target

    def _content(self, url: Url, answer: Answer) -> bytes:
        """The body of an answer that is final and good; FetchError otherwise."""
        own = url.origin == self._own
        if own and answer.status in (401, 403):
            raise self._login_wanted(url)
        if answer.status != 200:
            shown, cure = url.shown, "check that it is there and may be read without a login"
            if own and url.target.startswith(_LOCAL_FILES):
                shown = shortened(url.text)  # its query is the file's name
                cure = (
                    "check that the file is there, and that the project has a source storage of type Local files on a "
                    "folder that holds it"
                )
            kind = FetchDelayed if answer.status in _PASSING or answer.status >= 500 else FetchError
            raise kind(f"{shown}: answered with status {answer.status}; {cure}")
        if not answer.body:
            raise FetchError(f"{url.shown}: the answer is empty; check that the image is there")
        if answer.body[:1024].lstrip().startswith(b"<"):  # as no image does
            raise FetchError(f"{url.shown}: is a page and not an image; name the image's own address in the task")
        return answer.body

    def _login_wanted(self, url: Url) -> FetchError:
        """FetchDelayed where another token would help."""
        if not self._serves_images(url):
            return FetchError(
                f"{url.shown}: Label Studio asks for a login, and the token is sent only to where it serves images "
                "(/data/, /storage-data/, .../resolve/); name the image's own address in the task"
            )
        if not self._has_key:
            cure = "set label_studio_api_key (LABEL_STUDIO_API_KEY) to a token of a user who may see the project"
            return FetchDelayed(f"{url.shown}: Label Studio asks for a login; {cure}")
        cure = (
            "the user may not see the project, or legacy tokens are off: make a personal access token on its account "
            "page"
        )
        return FetchDelayed(f"{url.shown}: Label Studio refuses label_studio_api_key; {cure}")

    def _data(self, reference: str) -> bytes:
        """The bytes of a data: URI (RFC 2397), with the base64 that browsers forgive."""
        head, comma, payload = reference.partition(",")
        shown = shortened(head)
        if "data" not in self._limits.allow_schemes:
            raise _not_allowed(shown, "data")
        if not comma:
            raise FetchError(f"{shown}: the data: address has no data; import the image again")
        if len(payload) > 4 * self._max_bytes + 4:  # percent-encoding takes 3 characters a byte, base64 with lines 1.4
            raise too_large(shown, self._max_bytes)
        try:
            content = unquote_to_bytes(payload)
            if head.lower().endswith(";base64"):
                content = _from_base64(content)
        except ValueError:
            raise FetchError(f"{shown}: the data: address is damaged; import the image again") from None
        if len(content) > self._max_bytes:
            raise too_large(shown, self._max_bytes)
        return content

    def _file(self, reference: str) -> bytes:
        if self._limits.local_root is None:
            raise FetchError(
                f"{_shown(reference)}: files of this machine are not read; set fetch.local_root to a folder above it"
            )
        try:
            parts = urlsplit(reference)
        except ValueError:
            parts = None
        if parts is None or parts.netloc not in ("", "localhost"):
            raise FetchError(f"{_shown(reference)}: not a file of this machine; write file:///folder/name")
        content = read_below(self._limits.local_root, unquote(parts.path), _shown(reference), self._max_bytes)
        if content is None:
            raise FetchError(f"{_shown(reference)}: no such file; check the spelling")
        return content

    def _object(self, reference: str, scheme: str) -> bytes:
        """An object of a cloud's store, read with this machine's credentials."""
        shown = _shown(reference)
        if scheme not in self._limits.allow_schemes:
            raise _not_allowed(shown, scheme)
        bucket = urlsplit(reference).netloc if "[" not in reference else ""
        if not bucket or "@" in bucket or "::" in reference:  # another account; fsspec's chains of file systems
            raise FetchError(f"{shown}: must be {scheme}://bucket/key")
        deadline = Deadline(self._limits.timeout_s)
        store = object_store(scheme, shown, self._limits.timeout_s)
        content = bytearray()
        try:
            with store.open(reference, "rb") as file:
                while chunk := file.read(_CHUNK):
                    deadline.check(shown)
                    content += chunk
                    if len(content) > self._max_bytes:
                        raise too_large(shown, self._max_bytes)
        except FetchError:
            raise
        except Exception as error:  # the stores' own libraries raise what they like; their texts may hold keys
            raise FetchError(
                f"{shown}: cannot be read ({type(error).__name__}); check that it is there and that this machine's "
                "cloud credentials may read it"
            ) from None
        return bytes(content)


def _scheme(reference: str) -> str | None:
    found = _SCHEME.match(reference)
    return found[1].lower() if found else None


def _shown(reference: str) -> str:
    """A reference for messages: without user, password and query."""
    with suppress(ValueError):
        return Url.parse(reference).shown
    bare, mark, _ = reference.partition("?")
    scheme = _scheme(bare)
    if scheme is not None and "@" in bare:  # a user and password, perhaps with signs that should have been escaped
        bare = f"{scheme}://{bare.rpartition('@')[2]}"
    return shortened(bare + (mark and "?..."))


def _not_allowed(shown: str, scheme: str) -> FetchError:
    return FetchError(f"{shown}: addresses of kind {scheme}: are not read; add {scheme} to fetch.allow_schemes")


def _from_base64(text: bytes) -> bytes:
    """Base64 as browsers forgive it: white space anywhere, and no need of the equals signs. ValueError otherwise."""
    digits = b"".join(text.split()).rstrip(b"=")
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)


def _join(base: str, path: str) -> str:
    """A path on Label Studio's host, below the folder it is served from unless the path already names that."""
    path = path if path.startswith("/") else f"/{path}"
    folder = Url.parse(base).target.rstrip("/")
    return base.removesuffix(folder) + path if folder and path.startswith(f"{folder}/") else base + path


def _local_name(reference: str, root: Path) -> str | None:
    """The file name that a reference without a scheme may mean; None for other paths on Label Studio's host."""
    if reference.startswith(_LOCAL_FILES):
        query = reference.partition("?")[2]
        with suppress(ValueError):
            return parse_qs(query, max_num_fields=16).get("d", [None])[0]
        return None
    inside = os.path.normpath(reference).startswith(os.path.join(root, ""))
    return reference if inside or not reference.startswith("/") else None


def object_store(scheme: str, shown: str, timeout_s: float) -> Any:
    """The fsspec file system of an object store; FetchError where its package is missing."""
    import fsspec  # type: ignore[import-untyped]

    options: dict[str, Any] = {}
    if scheme == "s3":
        options["config_kwargs"] = {
            "connect_timeout": timeout_s,
            "read_timeout": timeout_s,
            "retries": {"total_max_attempts": 1},
        }
    try:
        return fsspec.filesystem(scheme, **options)
    except ImportError:
        package = _PACKAGES[scheme]
        raise FetchError(f"{shown}: {scheme}: addresses need {package}; install it: pip install {package}") from None
    except Exception as error:
        raise FetchError(f"{shown}: the {scheme} client cannot be made ({type(error).__name__})") from None
