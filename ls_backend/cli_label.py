"""`zeroguide label`: photos in, a folder of masks with free-text labels out."""

from __future__ import annotations

import logging
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ls_backend.cli_params import Device, OneOf, Words
from ls_backend.cli_report import RunReport, Watcher, streams
from ls_backend.exports import compact
from ls_backend.merged import FORMATS, default_image_root, embeds, image_links, write_merged
from ls_backend.run_folder import RunFolder, RunRecords, common_folder, name_sources
from ls_backend.runner import RunOptions, Segmenter, label_images, stamp_of
from zgcore.errors import ImageError
from zgcore.images import find_images
from zgcore.presets import PRESETS
from zgcore.stage_profile import StageProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ls_backend.run_folder import Source

LOG_LEVELS = ("debug", "info", "warning", "error")
EXIT_FAILURES, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True)
class LabelOptions:
    """The options of `zeroguide label`, by their names there."""

    paths: tuple[Path, ...]
    out: Path
    preset: str
    device: str
    weights: Path | None
    formats: tuple[str, ...]
    recursive: bool
    resume: bool
    max_segments: int | None
    min_area: float | None
    seed: int
    batch_size: int
    workers: int | None
    image_root: Path | None
    as_json: bool
    profile: bool
    log_level: str


class WorkerCount(click.ParamType):
    """A number of processes, or "auto" (None)."""

    name = "workers"
    numbers = click.IntRange(0, 64)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == "auto" else self.numbers.convert(value, param, ctx)


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
@click.option(
    "--preset",
    type=OneOf(tuple(PRESETS), folder=True),
    default="mini",
    show_default=True,
    help="mini: small weights that ship with zeroguide. base: for modest GPUs. paper: the published settings. "
    "untrained: random weights, to try the plumbing.",
)
@click.option("--device", type=Device(), default="auto", show_default=True, help="auto takes a GPU if there is one.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of weights to use in place of the model hub (see: zeroguide weights pull).",
)
@click.option(
    "--format",
    "formats",
    type=Words(FORMATS),
    default=",".join(FORMATS),
    help="What to write, separated by commas. All by default.",
)
@click.option("--recursive", "-r", is_flag=True, help="Also take photos from folders below the named ones.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Keep results of unchanged photos made with the same settings; repair or make the others.",
)
@click.option(
    "--max-segments",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most N segments an image; the most alike are merged.",
)
@click.option(
    "--min-area",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Smaller segments join the one they came from. Share of the image, 0.01 is one percent.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Images the model gets together. More is faster on a GPU and takes more memory.",
)
@click.option(
    "--workers",
    type=WorkerCount(),
    default="auto",
    show_default=True,
    metavar="N",
    help="Processes that refine masks while the model is at other images. 0 does everything in one process, with the "
    "least memory.",
)
@click.option(
    "--image-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="LOCAL_FILES_DOCUMENT_ROOT of your Label Studio, a folder above the photos' folder. labelstudio.json "
    "then names the photos as local files instead of carrying them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; everything else goes to stderr.")
@click.option(
    "--profile", is_flag=True, help="Tell what each stage took, and how near that is to the device's peak. Slower."
)
@click.option("--log-level", type=OneOf(LOG_LEVELS), default="warning", show_default=True,
              help="debug shows where an image failed.")  # fmt: skip
@click.pass_context
def label(ctx: click.Context, /, **values: object) -> int:
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
    options = LabelOptions(**values)  # type: ignore[arg-type]  # click has converted each to its type
    logging.basicConfig(level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    return run(options)


def run(options: LabelOptions) -> int:
    """Label the photos and return the exit code. Raises ZeroguideError where the run as a whole is impossible."""
    progress, summary = streams(options.as_json)
    paths = inputs(options)
    links = image_links(paths, options.image_root)
    folder = RunFolder(options.out)
    model = build_model(options)
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
    report.files = write_merged(records, options.formats, links)
    report.seconds = time.monotonic() - started
    if profile is not None:
        report.profile = profile.document(model.precision)
    report.notes = notes(options, folder, sources, report, embeds(links))
    if options.as_json:
        click.echo(compact(report.document()))
    report.show(summary)
    return EXIT_INTERRUPTED if report.interrupted else EXIT_FAILURES if report.counts["failed"] else 0


def build_model(options: LabelOptions) -> Segmenter:
    """The preset on its device. WeightsError or ConfigError where that cannot be."""
    from zgcore import ZeroGuidance

    return ZeroGuidance.from_preset(
        options.preset,
        device=options.device,
        weights=options.weights,
        max_segments=options.max_segments,
        min_area=options.min_area,
        seed=options.seed,
    )


def inputs(options: LabelOptions) -> list[Path]:
    """The photos, each once, sorted; never the run's own pictures. A path that cannot be used stays in the list and
    fails there like any photo, unless no other is left: then its ImageError is raised. UsageError where folders hold
    no photos.
    """
    out = os.path.join(os.path.abspath(options.out), "")
    found: dict[str, Path] = {}
    broken: list[tuple[Path, ImageError]] = []
    for path in options.paths:
        try:
            photos = find_images([path], recursive=options.recursive)
        except ImageError as error:
            broken.append((path, error))
            continue
        found.update((os.path.abspath(photo), photo) for photo in photos)
    found = {absolute: photo for absolute, photo in found.items() if not absolute.startswith(out)}
    if not found:
        if broken:
            raise broken[0][1]
        where = ", ".join(str(path) for path in options.paths)
        hint = "" if options.recursive else "; --recursive also looks into the folders below"
        raise click.UsageError(f"no photos in {where}{hint}")
    found.update((os.path.abspath(path), path) for path, _ in broken)
    return sorted(found.values())


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
        workers=options.workers,
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
