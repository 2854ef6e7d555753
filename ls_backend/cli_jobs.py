"""`zeroguide jobs`: what became of the runs of `zeroguide prelabel`, and decisions about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click
from rich.live import Live

from ls_backend.cli_jobs_report import list_table, show_list, show_run
from ls_backend.cli_params import SuggestingGroup
from ls_backend.cli_report import line, streams
from ls_backend.exports import compact
from ls_backend.jobs.registry import find, jobs_overview
from ls_backend.jobs.snapshot import snapshot
from ls_backend.jobs.store import StateStore
from ls_backend.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXIT_UNFINISHED: Final = 1
WATCH_S: Final = 2.0

JOB: Final = click.argument("job", metavar="JOB")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(cls=SuggestingGroup, no_args_is_help=True)
@click.option(
    "--data-dir",
    metavar="DIR",
    help="Folder that knows the runs; ZEROGUIDE_DATA_DIR or that of zeroguide serve by default.",
)
@click.pass_context
def jobs(ctx: click.Context, data_dir: str | None) -> None:
    """Look at the runs of zeroguide prelabel, and retry or cancel them.

    JOB is a run's id or the beginning of it, or its folder.

    \b
    Examples:
      zeroguide jobs list
      zeroguide jobs watch
      zeroguide jobs show results
      zeroguide jobs retry 3fa2 --reason "no such file; check the spelling"
      zeroguide jobs cancel 3fa2
    """
    ctx.obj = read_settings({"data_dir": data_dir}).data_dir


@jobs.command("list")
@JSON
@click.pass_obj
def list_runs(data_dir: Path, as_json: bool) -> None:
    """All runs of this machine, the latest first."""
    runs = jobs_overview(data_dir)
    if as_json:
        click.echo(compact([run.document() for run in runs]))
    elif runs:
        show_list(runs, streams(False)[1])
    else:
        click.echo("No runs yet; zeroguide prelabel makes them.")


@jobs.command()
@JOB
@JSON
@click.pass_obj
def show(data_dir: Path, job: str, as_json: bool) -> None:
    """One run: images by state, speed, time left, failures grouped by reason."""
    with StateStore(find(data_dir, job)) as store:
        found = snapshot(store)
    if as_json:
        click.echo(compact(found.document()))
    else:
        show_run(found, streams(False)[1])


@jobs.command()
@click.argument("job", required=False)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=WATCH_S,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.pass_obj
def watch(data_dir: Path, job: str | None, interval: float) -> int:
    """Follow one run, or all, until no process is at them any more.

    The exit code is 0 if what was watched is finished without a failure.
    """
    out = streams(False)[1]
    state = None if job is None else find(data_dir, job)
    with Live(console=out, auto_refresh=False, transient=False) as live:
        while True:
            if state is None:
                runs = jobs_overview(data_dir)
            else:
                with StateStore(state) as store:
                    runs = [snapshot(store)]
            live.update(list_table(runs), refresh=out.is_terminal)
            if not any(run.processes for run in runs):
                break
            time.sleep(interval)
    return 0 if all(run.status == "finished" and not run.failed for run in runs) else EXIT_UNFINISHED


@jobs.command()
@JOB
@click.option("--reason", metavar="TEXT", help="Only images that failed for this reason, as `jobs show` words it.")
@click.pass_obj
def retry(data_dir: Path, job: str, reason: str | None) -> None:
    """Queue failed images again; processes that are at the run take them, or the next zeroguide prelabel does."""
    _change(data_dir, job, lambda store: f"{store.retry(reason)} images are queued again")


@jobs.command()
@JOB
@click.pass_obj
def cancel(data_dir: Path, job: str) -> None:
    """Let the processes of a run end after the images in hand. zeroguide prelabel goes on with it."""

    def stop(store: StateStore) -> str:
        store.cancel()
        return "cancelled; images in hand are finished"

    _change(data_dir, job, stop)


def _change(data_dir: Path, job: str, change: Callable[[StateStore], str]) -> None:
    """Change a run and say what to do next."""
    with StateStore(find(data_dir, job)) as store:
        said, target = change(store), store.get("target")
        idle = not snapshot(store).processes
    out: Any = streams(False)[1]
    line(out, f"{said}.")
    if idle:
        line(out, f"No process is at this run; to go on: zeroguide prelabel --to {target}")
