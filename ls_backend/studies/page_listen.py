"""The web server behind a study's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from waitress.server import create_server

from ls_backend.studies.page_guard import MAX_BODY
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from flask import Flask

    from ls_backend.studies.page_settings import PageSettings

THREADS: Final = 12
CONNECTIONS: Final = 2000
MAX_HEADERS: Final = 16_384  # bytes
_FORWARDED: Final = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}


def listen(app: Flask, settings: PageSettings) -> Any:
    """A waitress server that listens; `run` serves, `close` stops. ConfigError where the address cannot be had."""
    proxy: dict[str, Any] = {}
    if settings.trusted_proxy is not None:
        proxy = {"trusted_proxy": settings.trusted_proxy, "trusted_proxy_headers": _FORWARDED}
    try:
        return create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=120,
            max_request_body_size=MAX_BODY + 1,
            max_request_header_size=MAX_HEADERS,
            asyncore_use_poll=True,  # select takes no more than 1024 files
            ident="zeroguide",
            url_prefix=settings.prefix,
            clear_untrusted_proxy_headers=True,
            **proxy,
        )
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose others with --host and --port"
        ) from None
