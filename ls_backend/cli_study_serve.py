"""`zeroguide study serve`: a study's own page, for raters with a link each."""

from __future__ import annotations

import logging
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ls_backend.cli_report import printable
from ls_backend.setting_values import basic_auth, server_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from ls_backend.studies.page_links import Links
    from ls_backend.studies.page_settings import PageSettings

T = TypeVar("T")

log = logging.getLogger(__name__)

LINKS: Final = "links.csv"


def _read_by(reader: Callable[[Any], T]) -> Callable[..., T | None]:
    """A callback of an option whose text is read as settings are."""

    def read(context: click.Context, option: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else reader(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--raters",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Have so many raters, with a link each; at first as many as a question needs. More than before adds links.",
)
@click.option("--new-links", is_flag=True, help="Give everybody a new link; the old ones open nothing any more.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9091,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--public-url",
    callback=_read_by(server_url),
    metavar="URL",
    help="What raters open where a proxy stands before the server, as https://example.org/rating; the links begin so.",
)
@click.option(
    "--trust-proxy",
    metavar="ADDRESS",
    help="Address of the proxy whose X-Forwarded-For, -Proto and -Host are believed; nobody's are without it.",
)
@click.option(
    "--auth",
    callback=_read_by(basic_auth),
    envvar="ZEROGUIDE_AUTH",
    metavar="USER:PASSWORD",
    help="Asked of everybody before anything. Also ZEROGUIDE_AUTH, which other users of the machine cannot read.",
)
@click.option(
    "--abandoned-after",
    type=click.FloatRange(1, 60 * 24 * 365),
    default=120.0,
    show_default=True,
    metavar="MINUTES",
    help="Give a batch to another rater when its own was not heard of for so long.",
)
@click.option("--most-batches", type=click.IntRange(1), metavar="N", help="At most so many batches a rater.")
def serve(
    study: Path, raters: int | None, new_links: bool, host: str, port: int, public_url: str | None,
    trust_proxy: str | None, auth: Any, abandoned_after: float, most_batches: int | None,
) -> None:  # fmt: skip
    """Serve the rating page of STUDY, a folder of `zeroguide study create`.

    \b
    Start it, and give each rater a link of STUDY/links.csv:
      zeroguide study serve STUDY --raters 12
      zeroguide study serve STUDY --raters 12 --public-url https://example.org/rating --trust-proxy 127.0.0.1

    Each link is one rater; the last one shows the progress. Answers are in STUDY/answers.sqlite as soon as they are
    given; Ctrl-C stops the server, and the next start goes on. Where raters are not on this machine use a proxy with
    TLS.
    """
    from ls_backend.studies.page_settings import PageSettings

    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = PageSettings(host, port, public_url, trust_proxy, auth, 60 * abandoned_after, most_batches)
    _run(study, settings, raters, new_links)


def _run(root: Path, settings: PageSettings, raters: int | None, new_links: bool) -> None:
    """Serve until stopped by a signal. StudyError or ConfigError where that cannot be."""
    from ls_backend.cli_serve import addresses
    from ls_backend.guards import is_loopback
    from ls_backend.studies.manifest import load_study
    from ls_backend.studies.page_links import have_links, wanted_raters
    from ls_backend.studies.page_listen import listen
    from ls_backend.studies.page_schema import FILE
    from ls_backend.studies.page_server import create_page_app

    study = load_study(root)
    if not (study.root / FILE).exists():
        wanted_raters(study, raters)  # refused before a file of answers is made
    app = create_page_app(study, settings)
    parts = app.extensions["study"]
    try:
        server = listen(app, settings)
        base = settings.public_url or _reachable(addresses(server)[0])
        _tell(have_links(parts.study, parts.people, root / LINKS, base, raters, new_links), root / LINKS)
        if not is_loopback(settings.host) and not base.startswith("https:"):
            log.warning("links and answers travel unencrypted: put a TLS proxy before the server and set --public-url")
        click.echo(f"zeroguide study listens on {addresses(server)[0]}", err=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
        server.run()  # until KeyboardInterrupt
        server.close()
    finally:
        parts.close()


def _tell(links: Links, path: Path) -> None:
    """Where the links are; those that are new only to a terminal, since others may read what goes elsewhere."""
    if sys.stderr.isatty():
        for who, link in links.fresh.items():
            click.echo(f"{who}: {link}", err=True)
    click.echo(f"Links of {links.people - 1} raters, and of the progress: {printable(str(path))}", err=True)
    if links.lost:
        click.echo(f"{links.lost} of them are not in the file; they work, and --new-links makes others.", err=True)


def _reachable(address: str) -> str:
    """The address with the machine's name in place of one that means all addresses."""
    return re.sub(r"//(0\.0\.0\.0|\[::\])", f"//{socket.gethostname()}", address)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
