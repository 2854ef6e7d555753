"""`zeroguide study`: human ratings of labels, from drawing the questions to a finished report."""

from __future__ import annotations

import importlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from ls_backend.cli_params import OneOf, SuggestingGroup
from ls_backend.cli_report import line, printable, streams
from ls_backend.cli_study_collect import collect, export_csv, publish
from ls_backend.cli_study_progress import Counter
from ls_backend.exports import compact
from ls_backend.studies.manifest import Labels, Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from ls_backend.studies.create import Created

Folder = click.Path(path_type=Path, file_okay=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
REASSIGNED_BY: Final = ("st", "tt", "lexical")
_ELSEWHERE: Final = {"serve": "ls_backend.cli_study_serve", "analyse": "ls_backend.cli_study_analyse"}
_COMMANDS: Final = ("create", "publish", "serve", "export-csv", "collect", "analyse")


class StudyGroup(SuggestingGroup):
    """The commands in the order of a study's life; two of them live in files of their own, read when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            command = getattr(importlib.import_module(_ELSEWHERE[cmd_name]), cmd_name)
            assert isinstance(command, click.Command)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=StudyGroup)
def study() -> None:
    """Ask people how good the labels are, as the paper's user study does (section 5.2).

    \b
    A whole study:
      zeroguide label photos/ --out labelled                  # or: zeroguide eval
      zeroguide study create labelled/ --out study --questions 300
      zeroguide study serve study                             # a page of our own; links for raters in study/links.csv
      zeroguide study collect study                           # when they are done
      zeroguide study analyse study                           # study/analysis/index.html

    In place of serve: `study publish` makes a project in Label Studio, `study export-csv` a table
    for a crowd platform. Each question shows one segment and its label; raters give 0 (incorrect),
    1 (partially correct), 2 (correct, but too general or too specific) or 3 (correct). They never
    see which method made a label, nor which questions have known answers.
    """


study.add_command(collect)
study.add_command(export_csv)
study.add_command(publish)


def _option(name: str, kind: Any, default: Any, text: str, **more: Any) -> Callable[..., Any]:
    return click.option(name, type=kind, default=default, show_default=default is not None, help=text, **more)


def rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the rules that leave raters out, by the names of `Rules`."""
    default = Rules()
    share, names = click.FloatRange(0, 1), "0 turns the rule off."
    for name, kind, text in reversed(
        (
            ("min_gold_accuracy", share, f"Least share of a rater's gold answers that are right. {names}"),
            ("min_repeat_consistency", share, f"Least share of repeats with scores at most one apart. {names}"),
            ("min_seconds", click.FloatRange(0), f"Least median of a rater's seconds a question. {names}"),
            ("max_same_score", share, f"Largest share of one score among a rater's answers. {names}"),
            ("min_checks", click.IntRange(1), "With fewer checks of a kind its rule decides nothing."),
        )
    ):
        command = _option("--" + name.replace("_", "-"), kind, getattr(default, name), text)(command)
    return command


@study.command(no_args_is_help=True)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", "-o", type=Folder, required=True, metavar="DIR", help="Folder of the study.")
@_option("--questions", click.IntRange(1), None, "Segments to rate; all if not given.", metavar="N")
@_option("--per-task", click.IntRange(1, 1000), 30, "Questions a batch, gold ones and repeats included.", metavar="N")
@_option("--raters", click.IntRange(1, 100), 3, "Distinct raters a question.", metavar="N")
@_option("--score", OneOf(get_args(Labels)), "predicted", "Which label to show: the free text, or the class it became.")
@_option("--reassigned-by", OneOf(REASSIGNED_BY), "st", "Which class, with --score reassigned.")
@click.option("--methods", metavar="A,B", help="Only these methods of the runs.")
@_option("--per-image", click.IntRange(1), None, "Rated questions an image at most.", metavar="K")
@_option("--gold", click.IntRange(0), 2, "Questions with known answers a batch.", metavar="N")
@_option("--repeat", click.IntRange(0), 1, "Questions a batch that come back later in it.", metavar="N")
@click.option(
    "--gold-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="Gold questions of your own: columns method, image, segment (from 0), expected (0 to 3, or 2|3), label.",
)
@_option("--seed", click.IntRange(0), 0, "Of all draws; the same seed gives the same study.")
@_option("--title", str, "Rating study", "For you and for Label Studio; raters may see it.")
@rule_options
@_option("--workers", click.IntRange(1), None, "Processes that draw pictures.  [default: one a core, at most 8]")
@json_option
def create(runs: tuple[str, ...], as_json: bool, **values: Any) -> int:
    """Draw the questions of a study from one RUN or more, and make everything raters will see.

    \b
    RUN is a folder of zeroguide label, prelabel or eval; its name is the method's, unless it is given:
      zeroguide study create labelled/ --out study --questions 300 --per-image 3
      zeroguide study create full=runs/a no-merge=runs/b --out study --questions 600
      zeroguide study create eval-voc/ --out study --score reassigned

    Segments are drawn at random from the seed: methods get equal shares, sizes their share of the
    segments, images are spread evenly. Batches are shuffled. In a batch of 30 two questions are gold
    and one comes back. Where you give no gold questions they are made: from the true masks of an
    evaluation, else by taking the label of a far-away segment of another photo: 0 or 1 is right.
    Look at gold.csv in DIR: made answers are likely right, not certain.

    \b
    The files in DIR:
      study.json, questions.jsonl    everything the study asks, and the rules that will leave raters out
      gold.csv                       the gold questions, in the form --gold-file takes
      pictures/, instruction/        what raters see

    A study that was stopped goes on with the same command. Pictures that were lost later are drawn
    again by it, too, from questions.jsonl where the runs are gone; the photos must still be there.
    """
    from ls_backend.studies.batches import BatchSizes
    from ls_backend.studies.create import CreateOptions
    from ls_backend.studies.create import create as run

    rules = Rules(**{field.name: values.pop(field.name) for field in fields(Rules)})
    sizes = BatchSizes(values.pop("per_task"), values.pop("gold"), values.pop("repeat"))
    methods = values.pop("methods")
    chosen = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    labels = values.pop("score")
    options = CreateOptions(runs=runs, methods=chosen, sizes=sizes, labels=labels, rules=rules, **values)
    progress, summary = streams(as_json)
    with Counter(progress, "drawing pictures") as counter:
        created = run(options, counter.at)
    if as_json:
        click.echo(compact(_document(created)))
    _show(created, summary)
    return 0


def _document(created: Created) -> dict[str, Any]:
    settings = created.study.settings
    return {
        "study": str(created.study.root),
        "rated": settings.rated,
        "questions": len(created.study.questions),
        "batches": len(created.study.batches),
        "methods": {source.method: asdict(source) for source in settings.sources},
        "strata": settings.strata,
        "gold": settings.gold_from,
        "pictures_made": created.pictures,
        "notes": list(created.notes),
    }


def _show(created: Created, to: Console) -> None:
    found, settings = created.study, created.study.settings
    tasks = f"{len(found.batches)} batches, {len(found.questions)} questions with gold and repeats"
    line(to, f"{settings.rated} segments to rate in {tasks}, {settings.raters} raters each")
    for method, sizes in settings.strata.items():
        parts = ", ".join(f"{chosen} of {there} {size}" for size, (there, chosen) in sizes.items())
        line(to, f"  {printable(method)}: {parts}")
    for note in created.notes:
        line(to, f"note: {printable(note)}", "yellow")
    root = printable(str(found.root))
    line(to, f"Now: zeroguide study serve {root}, study publish {root} or study export-csv {root}", "bold")
