"""`zeroguide serve`: the ML backend behind waitress."""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, create_server
from waitress.task import ErrorTask

from ls_backend.guards import NO_ENDPOINT, error_document, is_loopback, new_request_id
from ls_backend.settings import SETTINGS, describe, read_settings
from zgcore.errors import ConfigError
from zgcore.garbage import import_for_good

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from ls_backend.metrics import Metrics
    from ls_backend.settings import Setting, Settings

log = logging.getLogger(__name__)

SPARE_THREADS: Final = 8  # answer /health and the like while all places for predictions are taken
MOST_THREADS: Final = 512
CONNECTIONS: Final = 1000


class JsonErrorTask(ErrorTask):
    """What waitress refuses before the app sees it, in the form of the app's own errors."""

    def execute(self) -> None:
        error: Any = self.request.error  # type: ignore[attr-defined]  # the stubs have the wrong class
        request_id = new_request_id()
        metrics: Metrics = self.channel.metrics  # type: ignore[attr-defined]  # of the class that `_channel` makes
        metrics.requests.labels(NO_ENDPOINT, str(error.code)).inc()
        log.warning("%s %s: %d (%s)", request_id, NO_ENDPOINT, error.code, error.reason)
        body = json.dumps(error_document(error.code, f"{error.reason}: {error.body}", request_id)).encode()
        self.status = f"{error.code} {error.reason}"
        own = [("Content-Type", "application/json"), ("X-Request-ID", request_id)]
        self.response_headers = [*self.response_headers, *own]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def _channel(counted: Metrics) -> type[HTTPChannel]:
    """Waitress' channel, refusing in JSON and counting it. Waitress wants a class and gives it nothing of ours."""

    class JsonChannel(HTTPChannel):
        error_task_class = JsonErrorTask
        metrics = counted

    return JsonChannel


def make_server(app: Flask, settings: Settings) -> Any:
    """A waitress server that listens; `run` serves, `close` stops. ConfigError where the address cannot be had.

    Threads are enough for as many predictions as may wait, and some to spare.
    """
    threads = settings.queue_limit + SPARE_THREADS
    if threads > MOST_THREADS:
        raise ConfigError(f"queue_limit must be at most {MOST_THREADS - SPARE_THREADS} for this server")
    try:
        server = create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=threads,
            connection_limit=max(CONNECTIONS, threads),
            channel_timeout=120,
            max_request_body_size=int(settings.max_body_mb * 1e6) + 1,
            asyncore_use_poll=True,  # select takes no more than 1024 files
            ident="zeroguide",
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose others with --host and --port"
        ) from None
    channel = _channel(app.extensions["zeroguide"].metrics)
    for listener in [server, *getattr(server, "map", {}).values()]:  # a name may have several addresses
        if isinstance(listener, TcpWSGIServer):
            listener.channel_class = channel
    return server


def addresses(server: Any) -> list[str]:
    """Where a server listens, as http addresses."""
    listening = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
    return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in listening]


def run(settings: Settings) -> None:
    """Serve until stopped by a signal. Raises ConfigError where the settings cannot be served."""
    import_for_good()  # now: importing torch stops the whole process for a moment, /health included
    from ls_backend.app import create_app

    try:
        app = create_app(settings)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"data_dir {settings.data_dir} cannot be used: {error}; choose another, --data-dir") from None
    backend = app.extensions["zeroguide"]
    try:
        server = make_server(app, settings)
        if settings.auth is None and not is_loopback(settings.host):
            log.warning("anyone who reaches %s may use this server: set --auth USER:PASSWORD", settings.host)
        for address in addresses(server):
            click.echo(f"zeroguide {backend.version} listens on {address}", err=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
        server.run()  # until KeyboardInterrupt
        server.close()
    finally:
        click.echo("Stopping after the image in hand.", err=True)
        backend.close()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a flag for every setting."""
    for setting in reversed(SETTINGS):
        command = setting_option(setting)(command)
    return command


def setting_option(setting: Setting) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flag of one setting. Values are read as those of variables and files are, so click sees only texts."""
    if isinstance(setting.default, bool):
        names = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return click.option(names, setting.key, default=None, help=setting.rule.meaning)
    default = ",".join(setting.default) if isinstance(setting.default, tuple) else setting.default
    return click.option(
        setting.flag,
        setting.key,
        metavar="VALUE",
        show_default=str(default) if default not in (None, "") else False,
        help=setting.rule.meaning,
    )


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file of settings; flags and environment variables go before it.",
)
@click.option("--print-settings", is_flag=True, help="Print every setting, where it came from, and stop.")
@_with_settings
def serve(file: Path | None, print_settings: bool, **flags: Any) -> None:
    """Run Label Studio's ML backend: brush masks with free text for its projects.

    \b
    Start it, then in Label Studio open the project's Settings, Model, Connect Model:
      zeroguide serve --label-studio-url http://localhost:8080 --label-studio-api-key TOKEN

    Each setting may also be an environment variable (ZEROGUIDE_PORT, or LABEL_STUDIO_URL and the like as Label Studio
    calls them) or a line of a TOML file. Keep secrets out of the command line: other users of the machine can read it.
    """
    settings = read_settings(flags, file=file)
    if print_settings:
        click.echo(describe(settings), nl=False)
        return
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(settings)
