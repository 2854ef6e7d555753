"""`zeroguide export`: regions out of Label Studio, a run or COCO, into the formats that other tools read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ls_backend.cli_export_report import ExportReport, Progress, Watched
from ls_backend.cli_params import OneOf, Words
from ls_backend.cli_report import streams
from ls_backend.exports import compact
from ls_backend.exports.categories import RULES, NamedItems, Naming, Survey, settled
from ls_backend.exports.choose import MERGES, SOURCES, Choice
from ls_backend.exports.inputs import Input, open_input, with_size
from ls_backend.exports.labelstudio import write_labelling_config
from ls_backend.exports.links import PhotoLinks, photos_fit
from ls_backend.exports.losses import Losses
from ls_backend.exports.spool import Spool
from ls_backend.exports.writing import FORMATS, Export
from ls_backend.files import make_folder
from ls_backend.label_studio_project import NEW, ProjectAddress, connected
from ls_backend.people import MODES, PeoplePolicy

if TYPE_CHECKING:
    from ls_backend.exports.categories import CategoryRule
    from ls_backend.exports.choose import Merge, Sources
    from ls_backend.exports.coco import MaskForm
    from ls_backend.exports.items import Items
    from ls_backend.people import PeopleMode

EXIT_UNREADABLE = 1
MASKS = ("rle", "polygon")


@dataclass(frozen=True)
class ExportOptions:
    """The options of `zeroguide export`, by their names there."""

    source: str | None
    out: Path
    formats: tuple[str, ...]
    sources: Sources
    annotators: tuple[str, ...]
    model_version: str
    merge: Merge
    category: CategoryRule
    vocabulary: Path | None
    people_labels: PeopleMode
    masks: MaskForm
    tolerance: float
    images: Path | None
    image_root: Path | None
    url: str | None
    project: int | None
    as_json: bool


@click.command(no_args_is_help=True)
@click.argument("source", metavar="INPUT", required=False)
@click.option(
    "--format",
    "formats",
    type=Words(FORMATS),
    default="coco",
    show_default=True,
    help="What to write, separated by commas.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=True),
    default=Path("zeroguide-export"),
    show_default=True,
    metavar="DIR",
    help="Folder for the exports; made if it is not there.",
)
@click.option(
    "--source",
    "sources",
    type=OneOf(SOURCES),
    default="annotations",
    show_default=True,
    help="Whose regions: people's, models' or both.",
)
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="WHO",
    help="Only annotations by this person, an id or e-mail address as in the export. May be given several times.",
)
@click.option("--model-version", default="", metavar="VERSION", help="Only predictions of this version.")
@click.option(
    "--merge",
    type=OneOf(MERGES),
    default="all",
    show_default=True,
    help="What becomes of several results of one task. all: beside each other. latest: the newest alone. "
    "majority: the regions, and of them the pixels, that more than half of the annotators marked.",
)
@click.option(
    "--category",
    type=OneOf(RULES),
    default="auto",
    show_default=True,
    help="What names a region's category. auto: its label, or its free text where labels are a palette (obj 1, obj 2).",
)
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="vocabulary.yaml: categories, and texts in labelstudio, get their canonical names; the raw text stays as "
    "caption, in labelstudio in the mask's meta. Regions whose name it drops are in no format, and counted.",
)
@click.option(
    "--people-labels",
    type=OneOf(MODES),
    default="neutral",
    show_default=True,
    help="Texts of a run that describe people by origin, looks or status, in labelstudio: put neutral words in their "
    "place, flag the regions, or keep both. Counted; the other formats have the texts as they are.",
)
@click.option(
    "--masks",
    type=OneOf(MASKS),
    default="rle",
    show_default=True,
    help="Masks in COCO. polygon: along the edges of pixels, holes and parts included, no pixel changed.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    default=0.0,
    show_default=True,
    metavar="PIXELS",
    help="By how much polygons (COCO and YOLO) may leave the edge to need fewer points. Changed pixels are counted.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder with the photos: tells the size of images without regions.",
)
@click.option(
    "--image-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="LOCAL_FILES_DOCUMENT_ROOT of your Label Studio: labelstudio.json then names photos as local files.",
)
@click.option("--url", metavar="URL", help="Label Studio's address, with --project and in place of INPUT.")
@click.option("--project", type=click.IntRange(min=1), metavar="N", help="Number of the project.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; everything else goes to stderr.")
def export(**values: object) -> int:
    """Export regions with masks and free text, and say what each format cannot hold.

    \b
    INPUT is one of
      a Label Studio export (JSON)            project-3.json
      a project in Label Studio               http://localhost:8080/projects/3, label-studio:3
      a folder of zeroguide label, prelabel   labelled/
      a COCO file, ours or another tool's     annotations.json

    \b
    Examples:
      zeroguide export project-3.json --out data
      zeroguide export project-3.json --format coco,panoptic,yolo,voc,labelstudio,csv
      zeroguide export project-3.json --merge majority --masks polygon
      zeroguide export http://localhost:8080/projects/3 --source predictions
      zeroguide export labelled/ --format yolo --tolerance 1
      zeroguide export data/annotations.json --format labelstudio

    \b
    The files in DIR:
      annotations.json           coco: one annotation a region, exact masks; loads in pycocotools
      panoptic.json, panoptic/   COCO panoptic; every category is a thing, for labels do not say what is stuff
      yolo/                      YOLO segmentation: labels/, data.yaml
      voc/                       Pascal VOC: indexed PNGs of classes and of objects
      labelstudio.json           tasks with annotations and predictions
      labels.csv                 one row a region, without masks
      losses.json                what could not be read, and what each format lost, counted

    A further export into DIR takes the place of the last one: files in yolo/, voc/ and panoptic/ that it wrote, of
    images that are gone, are removed; files of others stay.

    coco and labelstudio carry everything: exporting one from the other gives every pixel, text, id and score back.

    A project is read with the token in LABEL_STUDIO_API_KEY; label-studio:3 is one of LABEL_STUDIO_URL.
    Tasks and regions that cannot be read are counted and
    left out, and make the exit code 1.
    """
    return run(ExportOptions(**values))  # type: ignore[arg-type]  # click has converted each to its type


def run(options: ExportOptions) -> int:
    """Export and return the exit code. Raises ZeroguideError where the input or --out is unusable as a whole."""
    progress, summary = streams(options.as_json)
    source = find_input(options)
    choice = Choice(options.sources, options.annotators, options.model_version, options.merge)
    if choice != Choice() and source.kind in ("run", "coco"):
        raise click.UsageError(
            "--source, --annotator, --model-version and --merge choose among the results of Label Studio tasks"
        )
    if options.vocabulary is not None:
        from zgcore.vocabulary import Vocabulary

        source.vocabulary = Vocabulary.load(options.vocabulary)
        source.info["vocabulary"] = source.vocabulary.version
    make_folder(options.out)
    report = ExportReport(options.out, Losses())
    with Spool(options.out) as spool, Progress(progress) as bars:
        read(source, choice, options, spool, bars, report)
        write(source, options, spool, bars, report)
    report.files["losses"] = report.losses.write(options.out / "losses.json")
    if options.as_json:
        click.echo(compact(report.document()))
    report.show(summary)
    return EXIT_UNREADABLE if report.losses.unreadable else 0


def read(
    source: Input, choice: Choice, options: ExportOptions, spool: Spool, bars: Progress, report: ExportReport
) -> None:
    """Put the input into the spool."""
    several = 0
    with bars.stage("reading", source.total) as stage:
        for item in source.items(choice, report.losses, stage.at):
            several += sum(result.source == "annotation" for result in item.results) > 1
            try:
                spool.append(with_size(item, options.images))
            except (ValueError, RecursionError) as error:  # nested too deep for JSON
                report.losses.skip("tasks that cannot be read", f"task {item.task}: {error}")
            stage.advance()
    if several:
        report.notes.append(f"{several} images have several annotations, side by side; see --merge and --annotator")


def write(source: Input, options: ExportOptions, spool: Spool, bars: Progress, report: ExportReport) -> None:
    """Write the formats out of the spool."""
    naming = Naming(spool, options.category, source.vocabulary)
    report.notes += vocabulary_notes(spool, naming, report.losses)
    watched = Watched(spool, bars)
    survey = Survey(NamedItems(spool, naming), naming)
    embed = "labelstudio" in options.formats and options.image_root is None and photos_fit(spool, options.images)
    links = PhotoLinks(options.images, options.image_root, embed)
    people = PeoplePolicy(options.people_labels)
    named = NamedItems(watched, naming)
    exported = Export(named, survey, source.info, links, options.masks, options.tolerance, people)
    for name in options.formats:
        watched.name = name
        report.files[name] = exported.write(name, options.out, report.losses.start(name))
    if "labelstudio" in options.formats and source.kind in ("run", "coco"):
        report.files["labelstudio_config"] = write_labelling_config(options.out)
    if flagged := people.counts["flagged"]:
        report.notes.append(f"{flagged} texts in labelstudio may describe people; their regions ask to be checked")
    report.see(survey)


def find_input(options: ExportOptions) -> Input:
    """What to export. UsageError where that is not said, or said twice; ConfigError where it cannot be read."""
    address = ProjectAddress.parse(options.source or "")
    if address is not None:
        return project_input(address)
    if options.url is not None or options.project is not None:
        if options.source is not None or options.url is None or options.project is None:
            raise click.UsageError("name INPUT alone, or --url and --project together")
        return project_input(ProjectAddress(options.url, options.project))
    if options.source is None:
        raise click.UsageError("name INPUT: a file, a folder or the address of a project")
    if options.source.startswith(("http://", "https://")):
        raise click.UsageError(f"{options.source} is no address of a project, such as http://HOST/projects/3")
    return open_input(Path(options.source))


def project_input(address: ProjectAddress) -> Input:
    """A project in Label Studio. ConfigError where there is no address or token."""
    from ls_backend.settings import read_settings

    if address.number == NEW:
        raise click.UsageError("a new project has nothing to export; name one by its number, as label-studio:12")
    settings = read_settings({} if address.url is None else {"label_studio_url": address.url})
    return Input("project", api=connected(settings), project=address.number)


def vocabulary_notes(items: Items, naming: Naming, losses: Losses) -> list[str]:
    """What the vocabulary does not settle, for people; what it drops is counted in `losses`."""
    found = settled(items, naming, losses)
    return [
        f"{number} regions have {what}"
        for number, what in (
            (found.unknown.total(), "names that the vocabulary does not know; they stand for themselves"),
            (
                found.ambiguous.total(),
                "names of several meanings and no embedding to tell them by; they stand for themselves",
            ),
        )
        if number
    ]
