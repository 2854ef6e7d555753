"""`zeroguide connect`: make a Label Studio project ask the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ls_backend.cli_label_studio import (
    backend_address,
    backend_flag,
    label_studio_flags,
    label_studio_settings,
    print_finding,
    project_flag,
)
from ls_backend.cli_params import OneOf
from ls_backend.connect import TEMPLATES
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@label_studio_flags
@project_flag("The project's number, as in its address.")
@backend_flag("--backend-url")
@click.option(
    "--template",
    type=OneOf(TEMPLATES),
    default=TEMPLATES[0],
    show_default=True,
    help="Labelling config for a project without one, and for --set-config and --print-config.",
)
@click.option(
    "--set-config",
    is_flag=True,
    help="Replace the project's labelling config. Refused where its annotations would not fit.",
)
@click.option("--print-config", is_flag=True, help="Print the template and stop.")
@click.option(
    "--preannotate",
    is_flag=True,
    help="Begin annotations with predictions; a task without one gets it when it is opened.",
)
@click.option("--interactive/--no-interactive", default=None,
              help="Whether the backend is asked while somebody annotates.")  # fmt: skip
def connect(
    file: Path | None,
    project: int | None,
    backend: str | None,
    template: str,
    set_config: bool,
    print_config: bool,
    preannotate: bool,
    interactive: bool | None,
    **flags: Any,
) -> None:
    """Connect a Label Studio project to the backend; again is no harm.

    \b
    With Label Studio and `zeroguide serve` running:
      export LABEL_STUDIO_API_KEY=...
      zeroguide connect --url http://localhost:8080 --project 1

    A project without a labelling config gets the template's; one that has a config keeps it, unless you say
    --set-config. With --auth, or BASIC_AUTH_USER and BASIC_AUTH_PASS, Label Studio sends them to the backend.
    """
    from ls_backend.connect import Connection, connect_project, template_config
    from ls_backend.label_studio_api import connect as connect_api

    if print_config:
        click.echo(template_config(template), nl=False)
        return
    if project is None:
        raise click.UsageError("which project? Name it: --project N, the number in its address")
    settings = label_studio_settings(flags, file)
    api = connect_api(settings)
    if api is None:
        raise ConfigError("a token is needed; set LABEL_STUDIO_API_KEY to one of a user who may change the project")
    address = backend or backend_address(settings)
    wanted = Connection(project, address, settings.auth, template, set_config, preannotate, interactive)
    for step in connect_project(api, wanted):
        print_finding(step)
    click.echo(f"Open {api.url}/projects/{project}/data")
