"""How a study's page is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ls_backend.studies.page_store import ABANDONED_S

if TYPE_CHECKING:
    from ls_backend.setting_values import BasicAuth


@dataclass(frozen=True)
class PageSettings:
    """host, port: to listen on; port 0 takes a free one. public_url: what raters open when a proxy stands before the
    server, http(s)://host[:port][/path] without a slash at its end. trusted_proxy: its address, whose X-Forwarded-For,
    -Proto and -Host are believed; nobody's are without it. auth: asked of everybody before anything. abandoned_s and
    most_batches: as `PageStore` says.
    """

    host: str = "127.0.0.1"
    port: int = 9091
    public_url: str | None = None
    trusted_proxy: str | None = None
    auth: BasicAuth | None = None
    abandoned_s: float = ABANDONED_S
    most_batches: int | None = None

    @property
    def prefix(self) -> str:
        """The path that the proxy serves the page under: "" or "/..." without a slash at its end."""
        return "" if self.public_url is None else urlsplit(self.public_url).path.rstrip("/")

    @property
    def origin(self) -> str | None:
        """scheme://host[:port] of the public address, None where there is none."""
        if self.public_url is None:
            return None
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"
