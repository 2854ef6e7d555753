"""`zeroguide mini`: remake the mini preset's weights, or make them of your own photos."""

from __future__ import annotations

from pathlib import Path

import click

from ls_backend.cli_params import SuggestingGroup
from ls_backend.cli_report import printable
from zgcore.errors import ConfigError
from zgcore.wordnet import FOLDER as WORDNET

PARTS = ("vision", "text", "language")  # what zgcore.mini.training.run trains, named here for --help to be quick

Folder = click.Path(path_type=Path, file_okay=False)
PresentFolder = click.Path(path_type=Path, file_okay=False, exists=True)

photos_option = click.option("--photos", type=PresentFolder, required=True, metavar="DIR",
                             help="Photos without labels to learn from, subfolders included.")  # fmt: skip
limit_option = click.option("--limit", type=click.IntRange(min=1), help="At most this many photos, drawn by the seed.")
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)


@click.group(cls=SuggestingGroup)
def mini() -> None:
    """Remake the weights of the preset `mini`, or adapt them to your own photos.

    \b
    Needs the teachers: pip install 'zeroguide[train]', and a WordNet folder (Debian: apt install wordnet-base).
    Everything again, as shipped (hours on two cores; a stopped run goes on where it was):
      zeroguide mini train --photos photos/ --out weights/
    Only the vision tower, on photos of your own domain:
      zeroguide mini train --photos photos/ --out weights/ --part vision
      zeroguide label more-photos/ --preset mini --weights weights/
    With names for what your photos show and ImageNet does not know:
      zeroguide mini sheets --photos photos/ --to sheets/     (look at the pictures, fill in sheets/names.csv)
      zeroguide mini train --photos photos/ --out weights/ --part vision --names sheets/
    """


@mini.command()
@photos_option
@click.option("--out", type=Folder, required=True, metavar="DIR",
              help="Folder for mini.safetensors, words.json and training.json, the record.")  # fmt: skip
@click.option("--work", type=Folder, metavar="DIR",
              help="Folder for what is kept between stages, 0.9 MB a photo.  [default: OUT.work]")  # fmt: skip
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True,
              help="Train only this part, the others stay as shipped; may be repeated.  [default: all]")  # fmt: skip
@click.option("--names", "sheets", type=PresentFolder, metavar="DIR",
              help="A folder of `mini sheets` with names filled in, used beside the names that ship.")  # fmt: skip
@click.option("--wordnet", type=Folder, default=WORDNET, show_default=True,
              metavar="DIR", help="WordNet 3.0 dictionary folder.")  # fmt: skip
@click.option("--vision-steps", type=click.IntRange(min=1), help="Steps of 8 photos.")
@click.option("--text-steps", type=click.IntRange(min=1), help="Steps of 256 phrases.")
@click.option("--language-steps", type=click.IntRange(min=1), help="Steps of 128 texts.")
@click.option(
    "--phrases", type=click.IntRange(min=1000), help="Phrases the text tower learns from, beside the everyday words."
)
@limit_option
@seed_option
def train(
    photos: Path,
    out: Path,
    work: Path | None,
    parts: tuple[str, ...],
    sheets: Path | None,
    wordnet: Path,
    limit: int | None,
    seed: int,
    **steps: int | None,
) -> None:
    """Make the mini weights from packaged teachers and a folder of photos without labels."""
    from zgcore.mini.training.naming import NamedRegions
    from zgcore.mini.training.run import Training, TrainingConfig
    from zgcore.mini.training.sheets import read_names

    given = {name: value for name, value in steps.items() if value is not None}
    config = TrainingConfig(parts=parts or PARTS, limit=limit, seed=seed, **given)
    named = NamedRegions.load()
    if sheets is not None:
        own = read_names(sheets)
        if not own.names:
            raise ConfigError(f"no name is filled in in {sheets / 'names.csv'}")
        named = named + own
    file = Training(photos, out, work or _beside(out), wordnet, config, named, _say).run()
    click.echo(printable(str(file)))


@mini.command()
@photos_option
@click.option("--to", type=Folder, required=True, metavar="DIR",
              help="Folder for the sheets and names.csv.")  # fmt: skip
@click.option("--work", type=Folder, metavar="DIR",
              help="As in `mini train`; give both the same.  [default: TO.work]")  # fmt: skip
@click.option("--rows", "clusters", type=click.IntRange(min=1), default=90, show_default=True,
              help="Rows of alike regions, nine to a sheet.")  # fmt: skip
@limit_option
@seed_option
def sheets(photos: Path, to: Path, work: Path | None, clusters: int, limit: int | None, seed: int) -> None:
    """Make contact sheets of what your photos show, to be named in a table.

    Each row of a sheet shows regions that look alike. Fill in the column `name` of names.csv for the cells you know;
    leave it empty where a region is unclear. Then give the folder to `zeroguide mini train --names`.
    """
    from zgcore.mini.training.cache import fill_cache, list_photos, open_cache
    from zgcore.mini.training.run import imagenet_parts
    from zgcore.mini.training.sheets import NAMES_FILE, make_sheets

    files = list_photos(photos, limit, seed)
    trunk, head, _ = imagenet_parts()
    folder = (work or _beside(to)) / "photos"
    cache = open_cache(folder, files)
    fill_cache(cache, files, trunk, folder)
    count = make_sheets(cache, files, head, to, clusters, seed)
    _say(f"{count} sheets; fill in the names in")
    click.echo(printable(str(to / NAMES_FILE)))


def _beside(folder: Path) -> Path:
    """The work folder of an output folder: not inside, so that what is handed on is the output alone."""
    return folder.with_name(folder.name + ".work")


def _say(message: str) -> None:
    click.echo(printable(message), err=True)
