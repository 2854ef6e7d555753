"""`zeroguide doctor`: what keeps Label Studio and the backend from working together."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ls_backend.cli_label_studio import (
    COLOURS,
    backend_address,
    backend_flag,
    label_studio_flags,
    label_studio_settings,
    print_finding,
    project_flag,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ls_backend.doctor import Finding


@click.command()
@label_studio_flags
@project_flag("Check this project's connection, labelling config and first image too.")
@backend_flag("--backend")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(file: Path | None, project: int | None, backend: str | None, as_json: bool, **flags: Any) -> None:
    """Check that Label Studio and the backend can work together, and say how to mend what is broken.

    \b
    With Label Studio and `zeroguide serve` running:
      export LABEL_STUDIO_API_KEY=...
      zeroguide doctor --url http://localhost:8080 --project 1

    Looks at Label Studio's version, the token, whether Label Studio blocks the backend's address, whether each
    reaches the other, the project's labelling config and a photo of it, and at this machine's disk, device, weights
    and memory. All settings of `zeroguide serve` count, from the environment or --config. Nothing is changed.

    Exit codes: 0 nothing failed (there may be warnings), 1 something did, 2 wrong use.
    """
    from ls_backend.doctor import examine

    settings = label_studio_settings(flags, file)
    findings = []
    for finding in examine(settings, project, backend or backend_address(settings)):
        findings.append(finding)
        if not as_json:
            print_finding(finding)
    failed = sum(finding.state == "failed" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "checks": list(map(dataclasses.asdict, findings))}, indent=2))
    else:
        click.echo(_summary(findings, project))
    sys.exit(1 if failed else 0)


def _summary(findings: list[Finding], project: int | None) -> str:
    counts = {state: sum(finding.state == state for finding in findings) for state in COLOURS}
    text = f"{len(findings)} checks: {counts['ok']} ok, {counts['warning']} warnings, {counts['failed']} failed."
    return text if project is not None else f"{text} With --project N a project is checked too."
