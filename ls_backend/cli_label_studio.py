"""Flags of the commands that talk to a Label Studio, and how its token is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.cli_report import printable
from ls_backend.setting_values import server_url
from ls_backend.settings import read_settings
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ls_backend.doctor import Finding
    from ls_backend.settings import Settings

COLOURS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}
_WIDEST: Final = len("Label Studio to backend")
_FLAGS: Final = (
    click.option("--url", "--label-studio-url", "label_studio_url", metavar="URL",
                 help="Label Studio's address, such as http://localhost:8080; LABEL_STUDIO_URL if not given."),
    click.option("--api-key", "--label-studio-api-key", "label_studio_api_key", metavar="TOKEN",
                 help="Token of a Label Studio user. Other users of the machine can read a command line: better set "
                      "LABEL_STUDIO_API_KEY, or leave both out and be asked."),
    click.option("--auth", metavar="USER:PASSWORD",
                 help="What the backend asks for; BASIC_AUTH_USER and BASIC_AUTH_PASS if not given."),
    click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE",
                 help="TOML file of settings, as `zeroguide serve` takes it."),
)  # fmt: skip


def label_studio_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --url, --api-key, --auth and --config."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def project_flag(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--project, a project's number."""
    return click.option("--project", type=click.IntRange(min=1), metavar="N", help=help_text)


def backend_flag(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The backend's address, which the command gets as `backend`; None where it is not given: see backend_address."""
    return click.option(
        name,
        "backend",
        type=Address(),
        metavar="URL",
        help="The backend as Label Studio's machine or container reaches it; `zeroguide serve` on this machine "
        "if not given.",
    )


def label_studio_settings(flags: Mapping[str, Any], file: Path | None) -> Settings:
    """The settings, with a token that was asked for if there is none and somebody can answer.

    Raises ConfigError where no address is given.
    """
    settings = read_settings(flags, file=file)
    if settings.label_studio_url is None:
        raise ConfigError("where is Label Studio? Name it: --url http://localhost:8080, or set LABEL_STUDIO_URL")
    if settings.label_studio_api_key is None and _somebody_can_answer():
        token = click.prompt("Token (not shown)", hide_input=True, default="", show_default=False, err=True)
        settings = read_settings({**flags, "label_studio_api_key": token or None}, file=file)
    return settings


def _somebody_can_answer() -> bool:
    return sys.stdin.isatty()


def backend_address(settings: Settings) -> str:
    """Where `zeroguide serve` listens with these settings, as a machine beside it would write it."""
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def print_finding(finding: Finding) -> None:
    """A line for what was found or done, and a second one with the cure."""
    state = click.style(f"{finding.state:8}", fg=COLOURS[finding.state])
    click.echo(f"{state} {finding.check:{_WIDEST}}  {printable(finding.message)}")
    if finding.cure:
        click.echo(f"{'':8} {'':{_WIDEST}}  -> {printable(finding.cure)}")


class Address(click.ParamType):
    """An http address, without a slash at its end."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return server_url(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
