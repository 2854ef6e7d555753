"""`zeroguide label`: photos in, a folder of masks with free-text labels out."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ls_backend.cli_model import (
    DEVICE,
    FORMAT,
    IMAGE_ROOT,
    LOG_LEVEL,
    PRESET,
    RECURSIVE,
    SEGMENTS,
    SPEED,
    WEIGHTS,
    with_options,
)
from ls_backend.cli_params import OneOf
from ls_backend.cli_report import RunReport, Watcher, streams
from ls_backend.exports import compact
from ls_backend.find_photos import find_photos
from ls_backend.merged import default_image_root, embeds, image_links, people_notes, write_merged
from ls_backend.model_options import ModelOptions
from ls_backend.people import MODES, PeoplePolicy
from ls_backend.run_folder import RunFolder, RunRecords, common_folder, name_sources
from ls_backend.runner import RunOptions, Segmenter, label_images, stamp_of, worker_count
from zgcore.stage_profile import StageProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ls_backend.people import PeopleMode
    from ls_backend.run_folder import Source

EXIT_FAILURES, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True)
class LabelOptions:
    """The options of `zeroguide label`, by their names there."""

    paths: tuple[Path, ...]
    out: Path
    model: ModelOptions
    formats: tuple[str, ...]
    recursive: bool
    resume: bool
    batch_size: int
    workers: int | None
    image_root: Path | None
    people_labels: PeopleMode
    as_json: bool
    profile: bool
    log_level: str


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=True),
    default=Path("zeroguide-out"),
    show_default=True,
    metavar="DIR",
    help="Folder for the results; made if it is not there.",
)
@with_options(PRESET, DEVICE, WEIGHTS, FORMAT, RECURSIVE)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Keep results of unchanged photos made with the same settings; repair or make the others.",
)
@with_options(SEGMENTS, SPEED, IMAGE_ROOT)
@click.option(
    "--people-labels",
    type=OneOf(MODES),
    default="neutral",
    show_default=True,
    help="Texts that describe people by origin, looks or status, in labelstudio.json: put neutral words in their "
    "place, flag the regions, or keep both. The records, annotations.json and index.html have what the model said.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; everything else goes to stderr.")
@click.option(
    "--profile", is_flag=True, help="Tell what each stage took, and how near that is to the device's peak. Slower."
)
@LOG_LEVEL
@click.pass_context
def label(ctx: click.Context, /, **values: Any) -> int:
    """Segment photos and name every segment in free text.

    PATHS are photos (JPEG, PNG, WebP, TIFF, BMP, GIF) and folders of photos.

    \b
    Examples:
      zeroguide label photo.jpg
      zeroguide label photos/ --recursive --out results
      zeroguide label photos/ --preset base --device cuda --batch-size 4
      zeroguide label photos/ --format coco --max-segments 10 --min-area 0.01
      zeroguide label photos/ --json > run.json

    \b
    The results in DIR:
      index.html          gallery to look at
      overlays/NAME.png   masks and labels over each photo
      annotations.json    COCO instances; the free text is category and caption
      labelstudio.json    tasks with predictions for Label Studio
      results/NAME.json   one record an image, from which all else can be made again
      results/NAME.npz    the segments' embeddings

    Stop with Ctrl-C and run the same command again to go on: what is done is kept.

    \b
    Label Studio: make a project, paste labelstudio_config.xml as its labelling
    interface (Code), import labelstudio.json. The photos travel inside the file up
    to 100 MB. Beyond that, or with --image-root, Label Studio must serve them:
      LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
      LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<the image root>
    and the project needs a source storage of type "Local files" on the photos' folder,
    which must be below the image root and not the image root itself.
    """
    options = LabelOptions(model=ModelOptions.taken_from(values), **values)
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    return run(options)


def run(options: LabelOptions) -> int:
    """Label the photos and return the exit code. Raises ZeroguideError where the run as a whole is impossible."""
    progress, summary = streams(options.as_json)
    paths = find_photos(options.paths, recursive=options.recursive, out=options.out)
    links = image_links(paths, options.image_root)
    folder = RunFolder(options.out)
    model = build_model(options.model)
    sources = name_sources(paths)
    report = RunReport(len(sources), stamp_of(model), options.out)
    started = time.monotonic()
    profile = StageProfile(model.device) if options.profile else None
    try:
        with nullcontext() if profile is None else profile.active():
            label_all(model, folder, sources, options, report, progress)
    except KeyboardInterrupt:
        report.interrupted = True
        progress.print("Stopped by Ctrl-C; writing what is done.")
    records = RunRecords(folder, tuple(sources), report.stamp, options.image_root or common_folder(paths))
    people = PeoplePolicy(options.people_labels)
    report.files = write_merged(records, options.formats, links, people)
    report.seconds = time.monotonic() - started
    if profile is not None:
        report.profile = profile.document(model.precision)
    report.notes = [*notes(options, folder, sources, report, embeds(links)), *people_notes(people)]
    if options.as_json:
        click.echo(compact(report.document()))
    report.show(summary)
    return EXIT_INTERRUPTED if report.interrupted else EXIT_FAILURES if report.counts["failed"] else 0


def build_model(options: ModelOptions) -> Segmenter:
    """The model to label with."""
    return options.build()


def label_all(
    model: Segmenter,
    folder: RunFolder,
    sources: Sequence[Source],
    options: LabelOptions,
    report: RunReport,
    progress: Console,
) -> None:
    """Drive the image loop, telling of each outcome."""
    run_options = RunOptions(
        resume=options.resume,
        overlays="png" in options.formats,
        batch=options.batch_size,
        workers=worker_count(options.workers, len(sources)),
    )
    with Watcher(progress, len(sources)) as watcher:
        for outcome in label_images(model, folder, sources, run_options):
            report.add(outcome)
            watcher.see(outcome)


def notes(
    options: LabelOptions, folder: RunFolder, sources: Sequence[Source], report: RunReport, embedded: bool
) -> list[str]:
    """What a reader of the summary should know."""
    found = []
    if report.stamp.random_weights:
        found.append("random weights: the masks and labels mean nothing, they show that the pipeline runs")
    if report.counts["skipped"]:
        found.append("earlier results were kept; --no-resume makes them again")
    if others := folder.others(sources):
        found.append(f"{folder.results} also holds {others} other images, which the merged files leave out")
    if "labelstudio" in options.formats and not embedded:
        root = (options.image_root or default_image_root([source.path for source in sources])).resolve()
        found.append(f"labelstudio.json needs Label Studio to serve local files from {root} (see label --help)")
    return found
