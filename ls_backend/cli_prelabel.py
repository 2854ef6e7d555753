"""`zeroguide prelabel`: any number of images into a folder or a Label Studio project, whatever happens on the way."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from ls_backend.cli_jobs_report import show_run
from ls_backend.cli_model import (
    FORMAT,
    IMAGE_ROOT,
    LOG_LEVEL,
    PRESET,
    RECURSIVE,
    SEGMENTS,
    SPEED,
    WEIGHTS,
    device_option,
    with_options,
)
from ls_backend.cli_params import Devices, OneOf
from ls_backend.cli_report import Watcher, line, printable, streams
from ls_backend.cli_serve import setting_option
from ls_backend.exports import compact
from ls_backend.jobs.prelabel import Engines, Prelabel
from ls_backend.jobs.project import WHICH
from ls_backend.jobs.run import RunSettings
from ls_backend.jobs.snapshot import snapshot
from ls_backend.settings import OBJECT_STORES, SETTINGS, read_settings

if TYPE_CHECKING:
    from ls_backend.jobs.project import Which
    from ls_backend.jobs.run import Run
    from ls_backend.jobs.work import Told
    from ls_backend.model_options import ModelOptions
    from ls_backend.runner import Segmenter
    from ls_backend.settings import Settings

EXIT_FAILURES: Final = 1
EXIT_STOPPED: Final = 130
_FLAGS: Final = (
    "label_studio_url",
    "label_studio_api_key",
    "data_dir",
    "max_regions",
    "vocabulary",
    "people_labels",
    "fetch.timeout_s",
    "fetch.max_mb",
    "fetch.allow_hosts",
    "fetch.allow_networks",
)


@dataclass(frozen=True)
class PrelabelOptions:
    """The options of `zeroguide prelabel` that are not settings, by their names there.

    given: what was said about the results, by the names of `RunSettings`; the run keeps what was not.
    """

    sources: tuple[str, ...]
    to: str
    which: Which
    images: Path | None
    recursive: bool
    given: dict[str, Any]
    devices: tuple[str, ...]
    batch_size: int
    workers: int | None
    resume: bool
    retry_failed: bool
    engine: str
    address: str | None
    actors: int | None
    state: Path | None
    as_json: bool
    quiet: bool
    helping: bool


def build_model(options: ModelOptions) -> Segmenter:
    """The model to label with."""
    return options.build()


@click.command(no_args_is_help=True)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--to", required=True, metavar="TARGET", help="A folder, or a Label Studio project (see above).")
@click.option(
    "--tasks",
    "which",
    type=OneOf(WHICH),
    default="all",
    show_default=True,
    help="Of a project as SOURCE: all tasks, those without annotations, or without a prediction of this model version.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of a COCO file's photos; the file's own folder by default.",
)
@with_options(RECURSIVE, PRESET)
@device_option(
    Devices(),
    "auto takes all GPUs, or the CPU. Several, as cuda:0,cuda:1, get a process each.",
)
@with_options(WEIGHTS, FORMAT, SEGMENTS, SPEED, IMAGE_ROOT)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with what is left, or delete the results and make everything again.",
)
@click.option("--retry-failed", is_flag=True, help="Also try failed images again.")
@click.option(
    "--engine",
    type=OneOf(("local", "ray")),
    default="local",
    show_default=True,
    help="ray spreads the images over a Ray cluster, or over this machine without --address.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of a Ray cluster that runs; auto for the one of this machine. A cluster that asks for a token gets that of "
    "RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token.",
)
@click.option("--actors", type=click.IntRange(1, 4096), metavar="N", help="Ray actors, each with a model of its own.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to keep the state if TARGET is on a network file system: a file on a disk of this machine. Name it "
    "again to go on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; everything else goes to stderr.")
@click.option("--quiet", "-q", is_flag=True, help="No line or bar for images.")
@click.option("--helping", is_flag=True, hidden=True)
@LOG_LEVEL
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file of settings, as of zeroguide serve.",
)
@with_options(*(setting_option(setting) for setting in SETTINGS if setting.name in _FLAGS))
@click.pass_context
def prelabel(ctx: click.Context, /, log_level: str, file: Path | None, **values: Any) -> int:
    """Label any number of images, so that nothing that happens on the way loses more than the images in hand.

    \b
    SOURCE, any number of these:
      photos/  "photos/**/*.jpg"  photo.jpg   folders, globs, files
      @list.txt                               a path or address a line, relative to the list
      instances.json                          the images of a COCO file (see --images)
      https://host/photo.jpg                  a web address; many in a list
      s3://bucket/prefix/  gs://  az://       object stores (needs s3fs, gcsfs or adlfs)
      http://host:8080/projects/12            a Label Studio project, or label-studio:12 (see --tasks)

    \b
    TARGET:
      results/                                a folder, with all that zeroguide label writes
      http://host:8080/projects/12            a project: tasks are made where there are none, predictions sent
      label-studio:12  label-studio:new       the same at LABEL_STUDIO_URL; new makes one

    \b
    Examples:
      zeroguide prelabel photos/ --recursive --to results
      zeroguide prelabel --to results                     # go on, or help on a run that is under way
      zeroguide prelabel @urls.txt --to label-studio:12
      zeroguide prelabel label-studio:12 --tasks unlabelled --to label-studio:12
      zeroguide jobs watch

    What became of each image is kept in state.sqlite beside the results. Run the same command again to go on
    after Ctrl-C, a crash or a power cut, or at the same time to share the work. Images that changed are done again:
    files by size and time, objects below a prefix by what the store tells. Web addresses and objects named singly are
    not asked again once they are done; --no-resume does so. Options that are not given stay as the run has them. A
    token is best given as LABEL_STUDIO_API_KEY.
    """
    logging.basicConfig(level=log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    flags = {setting.key: values.pop(setting.key) for setting in SETTINGS if setting.name in _FLAGS}
    given = _given(ctx, values)
    options = PrelabelOptions(given=given, devices=values.pop("device"), **values)
    return run(options, _with_schemes(read_settings(flags, file=file)))


def _given(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Take out of a command's values those that the run keeps; gives the ones that somebody typed."""
    names = [field.name for field in fields(RunSettings)]
    typed = {name: values.pop(name) for name in names}
    sources = {name: ctx.get_parameter_source(name) for name in names}
    return {name: value for name, value in typed.items() if sources[name] is not ParameterSource.DEFAULT}


def _with_schemes(settings: Settings) -> Settings:
    """Who names an object store on the command line may read it."""
    schemes = tuple(dict.fromkeys((*settings.fetch.allow_schemes, *OBJECT_STORES)))
    return replace(settings, fetch=replace(settings.fetch, allow_schemes=schemes))


def run(options: PrelabelOptions, settings: Settings) -> int:
    """Do a process's share of a run; returns the exit code. Raises ZeroguideError where the run cannot go on."""
    progress, summary = streams(options.as_json)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    job = Prelabel(options.to, settings, options.given, build_model, options.state, helping=options.helping)
    with job.opened(new=bool(options.sources)) as opened:
        stopped, notes = False, list[str]()
        files: dict[str, Path] = {}
        try:
            added = job.list_sources(
                options.sources, which=options.which, recursive=options.recursive, images=options.images
            )
            if added.away:
                notes.append(f"{added.away} images are done and their files are not there now; their results are kept")
            notes += job.prepare(resume=options.resume, retry_failed=options.retry_failed)
            _work(job, opened, options, progress)
            files, more = job.gather()
            notes += more
        except KeyboardInterrupt:
            stopped = True
        found = snapshot(opened.store)
        if options.as_json:
            paths = {name: str(path) for name, path in files.items()}
            click.echo(compact({**found.document(), "interrupted": stopped, "files": paths, "notes": notes}))
        if not options.quiet:
            show_run(found, summary)
            for note in notes:
                line(summary, f"note: {printable(note)}", "yellow")
        if stopped or found.queued or found.running:
            line(progress, f"Stopped; to go on: zeroguide prelabel --to {printable(options.to)}")
            return EXIT_STOPPED
        where = files.get("html") or opened.store.get("target")
        line(summary, f"Look at {printable(str(where))}", "bold")
        return EXIT_FAILURES if found.failed else 0


def _work(job: Prelabel, opened: Run, options: PrelabelOptions, progress: Any) -> None:
    """Work off the queue, telling of each image."""
    engines = Engines(
        name=options.engine,
        devices=options.devices,
        batch=options.batch_size,
        workers=options.workers,
        address=options.address,
        actors=options.actors,
    )
    if options.quiet:
        job.work(engines, lambda _: None)
        return
    counts = opened.store.counts()
    with Watcher(progress, counts["queued"] + counts["running"]) as watcher:

        def tell(told: Told) -> None:
            result = told.result
            watcher.tell(job.photos.of(told.image).shown, result.status, result.segments, result.error)

        job.work(engines, tell)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
