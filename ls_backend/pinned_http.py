"""One HTTP exchange with a checked address, bounded in time and size.

urllib3's connections are used one by one: its pools would look the name up again, follow redirects and read proxies
from the environment, and each of these would go round the check of addresses.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import SHUT_RDWR
from typing import TYPE_CHECKING

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, IncompleteRead

from ls_backend.addresses import FetchDelayed, FetchError
from zgcore import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from ls_backend.addresses import AddressPolicy, Url

_CHUNK = 1 << 16
_SOON = 0.001
_BROKEN = (HTTPError, http.client.HTTPException, OSError, ValueError)


class Deadline:
    """A moment by which all of a fetch must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, at least a millisecond: a timeout of 0 means another thing to sockets."""
        return max(self._end - time.monotonic(), _SOON)

    def check(self, what: str) -> None:
        """FetchError where the moment has passed."""
        if time.monotonic() >= self._end:
            raise FetchDelayed(
                f"{what}: did not arrive within {self.seconds:g} s; try again later or raise fetch.timeout_s"
            )


class TooLarge(FetchError):
    """The content is above the limit."""


class ConnectionLost(FetchDelayed):
    """No connection came about, or it broke. sent: whether the request may have arrived."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


def too_large(shown: str, max_bytes: int) -> TooLarge:
    return TooLarge(
        f"{shown}: larger than {max_bytes / 1e6:g} MB; scale the image down or raise fetch.max_mb (--fetch-max-mb)"
    )


def basic_authorization(user: str, password: str) -> dict[str, str]:
    """The header of HTTP basic authentication (RFC 7617)."""
    pair = f"{user}:{password}".encode("utf-8", "surrogatepass")
    return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}


@dataclass(frozen=True)
class Answer:
    """headers: names in lower case. body: decompressed; empty unless the status is 200 or all bodies are wanted."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PinnedHttp:
    """Sends requests to addresses that a policy allows.

    max_bytes: largest body, decompressed. all_bodies: read them whatever the status is. Certificates are checked
    against the system's authorities, or those that SSL_CERT_FILE names.
    """

    def __init__(self, policy: AddressPolicy, max_bytes: int, *, all_bodies: bool = False) -> None:
        self._policy = policy
        self._max_bytes = max_bytes
        self._all_bodies = all_bodies
        self._tls = ssl.create_default_context()

    def send(
        self,
        url: Url,
        deadline: Deadline,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """One request and its answer; redirects are answers too.

        Raises FetchError where the address is refused or cannot be reached, the answer is no HTTP, or a limit is met.
        """
        addresses = self._policy.addresses(url)
        deadline.check(url.shown)  # looking up a name cannot be interrupted
        connection = self._connect(url, addresses, deadline)
        try:
            with _cut_off(connection, deadline):
                connection.request(
                    method,
                    url.target,
                    body=body,
                    headers={
                        "Host": url.netloc,
                        "User-Agent": f"zeroguide/{__version__}",
                        "Accept-Encoding": "identity",
                        **headers,
                    },
                    preload_content=False,
                )
                with connection.getresponse() as response:
                    wanted = self._all_bodies or response.status == http.client.OK
                    content = self._body(url, response) if wanted else b""
                    names = {name.lower(): value for name, value in response.headers.items()}
            deadline.check(url.shown)  # a connection that was cut off may look like one that ended
        except _BROKEN as error:
            deadline.check(url.shown)
            message = f"{url.shown}: the connection broke: {_reason(error)}; try again later"
            raise ConnectionLost(message, sent=True) from None
        finally:
            connection.close()
        return Answer(response.status, names, content)

    def _connect(self, url: Url, addresses: list[str], deadline: Deadline) -> HTTPConnection:
        """A connection to the first of the addresses that answers, each given its share of the time left."""
        for index, address in enumerate(addresses):
            timeout = deadline.left / (len(addresses) - index)
            connection = self._connection(url, address, timeout)
            try:
                connection.connect()
            except _BROKEN as error:
                connection.close()
                failed = error
            else:
                return connection
        deadline.check(url.shown)
        cure = "check that it is up and reachable from here"
        if isinstance(failed, ssl.SSLCertVerificationError):
            cure = "let SSL_CERT_FILE name a file with its certificate authority"
        message = f"{url.shown}: {url.netloc} cannot be reached: {_reason(failed)}; {cure}"
        raise ConnectionLost(message, sent=False) from None

    def _connection(self, url: Url, address: str, timeout: float) -> HTTPConnection:
        if url.scheme == "http":
            return HTTPConnection(address, url.port, timeout=timeout)
        return HTTPSConnection(address, url.port, timeout=timeout, ssl_context=self._tls, server_hostname=url.host)

    def _body(self, url: Url, response: BaseHTTPResponse) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise too_large(url.shown, self._max_bytes)
        content = bytearray()
        while chunk := response.read(_CHUNK):
            content += chunk
            if len(content) > self._max_bytes:
                raise too_large(url.shown, self._max_bytes)
        return bytes(content)


@contextmanager
def _cut_off(connection: HTTPConnection, deadline: Deadline) -> Iterator[None]:
    """Shuts the connection down at the deadline: a socket's own timeout starts anew with every byte that drips in."""
    socket = connection.sock

    def cut() -> None:
        with suppress(OSError, AttributeError):
            socket.shutdown(SHUT_RDWR)

    timer = threading.Timer(deadline.left, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reason(error: Exception) -> str:
    """What went wrong, in few words and without the address."""
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({inner.verify_message})"
    if isinstance(inner, TimeoutError):
        return "it does not answer"
    if isinstance(inner, (IncompleteRead, http.client.IncompleteRead)):
        return "it ended before its time"
    if isinstance(error, DecodeError):
        return "its compressed data is damaged"
    return (isinstance(inner, OSError) and inner.strerror) or "it does not speak HTTP as it should"
