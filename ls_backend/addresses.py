"""Addresses in tasks, and which of them the server may connect to.

Whoever writes a task writes its addresses, and the server stands where that person may not: beside databases, cloud
metadata services and other people's machines. So a name is resolved once, every address it gives is checked, and the
connection goes to a checked address and not to the name again.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from ls_backend.messages import one_line
from zgcore.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Address = IPv4Address | IPv6Address
Origin = tuple[str, str, int]  # scheme, host, port

DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_SHOWN = 200

# IANA's registries of special-purpose addresses, and the one public address that is a cloud's own: written out because
# `is_global` says different things in different versions of Python.
_SPECIAL_IPV4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST_IPV6 = ip_network("2000::/3")
_SPECIAL_IPV6 = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4: holds an IPv4 address that no one checks
        "3fff::/20",
    )
)
_NAT64 = ip_network("64:ff9b::/96")


class FetchError(ImageError):
    """An image that a task names was not read. The message begins with its address, without passwords and query, and
    says what would mend it.
    """


class FetchDelayed(FetchError):
    """Asked again later, the same address may give the image: nobody answered, or not as they should."""


@dataclass(frozen=True)
class Url:
    """An http or https address, normalised as it goes over the wire.

    host: lower case, IDNA, without brackets and final dot. target: path and query, percent-encoded.
    credentials: user and password that stood in the address; never part of `text` or `shown`.
    """

    scheme: str
    host: str
    port: int
    target: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Url:
        """Raises ValueError where the text is no http(s) address; the message does not repeat it."""
        try:
            found = parse_url(text.strip())
            user, password = found.auth_decoded
        except (HTTPError, ValueError):  # UnicodeError is a ValueError
            raise ValueError("not a valid address") from None
        scheme, host = found.scheme or "", (found.host or "").removeprefix("[").removesuffix("]").removesuffix(".")
        if scheme not in DEFAULT_PORTS or not host or "%" in host or found.port == 0:
            raise ValueError("not a valid http or https address")
        port = found.port or DEFAULT_PORTS[scheme]
        return cls(scheme, host, port, found.request_uri, None if user is None else (user, password or ""))

    @property
    def origin(self) -> Origin:
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"

    @property
    def shown(self) -> str:
        """For messages: without credentials, and without the query, which may hold a signature."""
        path, mark, _ = self.target.partition("?")
        return shortened(f"{self.scheme}://{self.netloc}{path}{mark and '?...'}")


def shortened(text: str) -> str:
    """For messages: one line of printable characters, not too long."""
    line = one_line(text[: _LONGEST_SHOWN + 1])
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 3] + "..."


def canonical_host(name: str) -> str:
    """A host name as `Url.host` spells it; ValueError where it is none."""
    bare = name.removeprefix("[").removesuffix("]")
    url = Url.parse(f"http://[{bare}]/" if ":" in bare else f"http://{bare}/")
    if url.credentials is not None or url.target != "/" or url.port != DEFAULT_PORTS["http"]:
        raise ValueError("not a host name")
    return url.host


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host in the system's order, each once. Raises OSError where it has none.

    The system also reads numbers as hosts (2130706433, 0x7f.1, 0177.0.0.1); as addresses they are checked like any.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def plain(address: str) -> Address:
    """An address from text; an IPv4 address mapped into IPv6 as the IPv4 address it stands for."""
    found = ip_address(address.partition("%")[0])
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def is_public(address: Address) -> bool:
    """Whether anyone on the internet may own the address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


class AddressPolicy:
    """Which addresses may be connected to: public ones, those of one origin of our own, and what settings allow.

    hosts: NAME, NAME:PORT or *.NAME as `canonical_host` spells them; whatever they resolve to is allowed.
    networks: in CIDR notation. own: Label Studio's origin. resolver: host and port to addresses.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        networks: Iterable[str] = (),
        own: Origin | None = None,
        resolver: Callable[[str, int], list[str]] = resolve,
    ) -> None:
        self.hosts = frozenset(hosts)
        self.networks = tuple(map(ip_network, networks))
        self.own = own
        self.resolver = resolver

    def addresses(self, url: Url) -> list[str]:
        """The addresses that `url` may be connected at, in the resolver's order; FetchError where there is none."""
        try:
            found = [plain(address) for address in self.resolver(url.host, url.port)]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no such name"
            kind = FetchDelayed if getattr(error, "errno", None) == socket.EAI_AGAIN else FetchError
            raise kind(f"{url.shown}: the host {url.host} cannot be resolved: {reason}; check its name") from None
        if url.origin == self.own or self._names(url):
            allowed = found
        else:
            allowed = [address for address in found if self._allows(address)]
        if not allowed:
            raise FetchError(_refusal(url, found))
        return [str(address) for address in allowed]

    def _names(self, url: Url) -> bool:
        parents = (f"*{url.host[index:]}" for index, char in enumerate(url.host) if char == ".")
        return not self.hosts.isdisjoint((url.host, f"{url.host}:{url.port}", *parents))

    def _allows(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self.networks)


def _refusal(url: Url, found: list[Address]) -> str:
    if not found:
        return f"{url.shown}: the host {url.host} has no address; check its name"
    where = url.host if str(found[0]) == url.host else f"{url.host} ({found[0]})"
    hint = " If it is Label Studio, set label_studio_url to it." if url.target.startswith("/data/") else ""
    return (
        f"{url.shown}: {where} is not a public address, so it is not read. If it may be, add it to "
        f"fetch.allow_networks (--fetch-allow-networks {found[0]}) or fetch.allow_hosts "
        f"(--fetch-allow-hosts {url.netloc}).{hint}"
    )
