"""`zeroguide study publish`, `export-csv` and `collect`: questions to where raters are, and answers back."""

from __future__ import annotations

from collections import Counter as Counts
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.cli_params import OneOf
from ls_backend.cli_report import line, printable, streams
from ls_backend.cli_study_progress import Counter
from ls_backend.exports import compact
from ls_backend.label_studio_project import NEW, ProjectAddress, connected
from ls_backend.studies.manifest import load_study
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ls_backend.label_studio_api import LabelStudioApi
    from ls_backend.studies.collect import Collected, RawAnswer
    from ls_backend.studies.manifest import Study

PAGE_FILE: Final = "answers.sqlite"
LAYOUTS: Final = ("hits", "rows")
study_argument = click.argument(
    "folder", metavar="STUDY", type=click.Path(path_type=Path, file_okay=False, exists=True)
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@study_argument
@click.option(
    "--to",
    metavar="PROJECT",
    help="An empty project: its page's address or label-studio:N.  [default: where it was published, else a new one]",
)
@click.option(
    "--picture-url", metavar="URL", help="Address under which you serve STUDY/pictures, in place of uploading them."
)
@click.option(
    "--image-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="LOCAL_FILES_DOCUMENT_ROOT of your Label Studio, above STUDY, in place of uploading.",
)
@json_option
def publish(folder: Path, to: str | None, picture_url: str | None, image_root: Path | None, as_json: bool) -> int:
    """Make a study a project in Label Studio.

    \b
      export LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=...
      zeroguide study publish study

    The project shows the instruction, asks for one of four scores (keys 0 to 3, Ctrl+Enter to send),
    takes as many raters a question as the study says, and lets nobody skip. Pictures are uploaded
    through the API, which needs no setting of Label Studio. Publishing again adds what is missing.

    Let raters work with "Label All Tasks". Label Studio's open edition hides neither their answers
    from each other in the data manager nor counts agreement; `study collect` and `study analyse` do.
    """
    from ls_backend.settings import read_settings
    from ls_backend.studies.label_studio import PicturePlace, published
    from ls_backend.studies.label_studio import publish as run

    study = load_study(folder)
    address = _address(to)
    if address is None and (before := published(study)) is not None:
        address = ProjectAddress(before.url, before.project)
    settings = read_settings({} if address is None or address.url is None else {"label_studio_url": address.url})
    project = None if address is None or address.number == NEW else address.number
    progress, summary = streams(as_json)
    with Counter(progress, "publishing") as counter:
        place = PicturePlace(picture_url, image_root)
        found, new = run(study, connected(settings), project, place, counter.step)
    if as_json:
        click.echo(compact({"project": found.page, "tasks": len(study.questions), "new_tasks": new}))
    line(summary, f"{len(study.questions)} questions, {new} of them new, each for {study.settings.raters} raters")
    line(summary, f"Raters work at {printable(found.page)}", "bold")
    return 0


def _address(to: str | None) -> ProjectAddress | None:
    if to is None:
        return None
    address = ProjectAddress.parse("label-studio:new" if to == "label-studio" else to)
    if address is None:
        raise click.UsageError(
            f"{to} is no project; name one as http://HOST/projects/3, label-studio:3 or label-studio"
        )
    return address


@click.command("export-csv")
@study_argument
@click.option(
    "--picture-url", metavar="URL", required=True, help="Address under which raters find the files of STUDY/pictures."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CSV",
    help="The table.  [default: STUDY/questions.csv]",
)
@click.option(
    "--layout",
    type=OneOf(LAYOUTS),
    default="hits",
    show_default=True,
    help="A row a task of 30 questions, as Mechanical Turk takes them, or a row a question with its task's number.",
)
@json_option
def export_csv(folder: Path, picture_url: str, out: Path | None, layout: str, as_json: bool) -> int:
    """Write the questions for a crowd platform: one task (HIT) a batch.

    \b
      zeroguide study export-csv study --picture-url https://example.org/study/pictures
      zeroguide study collect study --from results.csv

    hits: columns hit, question_1, label_1, picture_1, question_2, ... Name the answers of your form
    score_1, score_2, ...; the platform's results can then be collected as they are.
    rows: columns hit, position, question, label, picture. Collect a table with the columns rater,
    question and score, and, as far as they are known, seconds and answered_at.

    Put the files of STUDY/pictures where the address leads, and give raters STUDY/instruction. Ask
    for as many workers a task as the study has raters a question. Labels are plain text, whatever
    they look like: have your form escape them.
    """
    from ls_backend.studies.crowd_csv import write_questions

    study = load_study(folder)
    path = out or folder / "questions.csv"
    tasks = write_questions(study, path, picture_url, layout)
    if as_json:
        click.echo(compact({"file": str(path), "tasks": tasks, "questions": len(study.questions)}))
    _, summary = streams(as_json)
    line(summary, f"{tasks} tasks with {len(study.questions)} questions: {printable(str(path))}", "bold")
    return 0


@click.command()
@study_argument
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="page|label-studio|CSV",
    help="Where answers are; may be given several times.  [default: the page and the project, whichever there is]",
)
@json_option
def collect(folder: Path, sources: tuple[str, ...], as_json: bool) -> int:
    """Bring the answers of a study into STUDY/answers.csv.

    \b
    Counted and left out are answers
      without a score of 0 to 3, without a rater, or cancelled
      by a rater who had answered the question before
      beyond the number of raters a question
      of questions that are not in the study

    Raters get numbers; STUDY/raters.csv, which only you can read, says who they are. Collect as often
    as you like: the files are made anew of all that is there. Name the tables of a platform together,
    --from a.csv --from b.csv: workers and answers that are in several of them count once.
    """
    from ls_backend.studies.collect import check_keeps_answers, write_collected
    from ls_backend.studies.collect import collect as run

    study = load_study(folder)
    found: list[RawAnswer] = []
    unread: Counts[str] = Counts()
    known = sources or _known_sources(study)
    for source in known:
        answers, rows = _answers(study, source)
        found += answers
        unread.update(rows)
    collected = run(study, found, unread)
    check_keeps_answers(study, collected, None if sources else known)
    path = write_collected(study, collected)
    if as_json:
        click.echo(compact(_document(study, path, collected)))
    _, summary = streams(as_json)
    wanted = len(study.questions) * study.settings.raters
    line(summary, f"{len(collected.answers)} of {wanted} answers by {len(collected.raters)} raters")
    line(summary, f"{collected.complete} of {len(study.questions)} questions have all {study.settings.raters}")
    for reason, count in collected.dropped.items():
        line(summary, f"left out: {count} {reason}", "yellow")
    line(summary, f"Now: zeroguide study analyse {printable(str(folder))}", "bold")
    return 0


def _document(study: Study, path: Path, collected: Collected) -> dict[str, Any]:
    return {
        "file": str(path),
        "answers": len(collected.answers),
        "wanted": len(study.questions) * study.settings.raters,
        "questions": len(study.questions),
        "complete": collected.complete,
        "raters": len(collected.raters),
        "dropped": collected.dropped,
    }


def _known_sources(study: Study) -> tuple[str, ...]:
    from ls_backend.studies.label_studio import published

    found = ["page"] if (study.root / PAGE_FILE).exists() else []
    found += ["label-studio"] if published(study) is not None else []
    if not found:
        raise StudyError(f"{study.root} has neither a page nor a project; serve or publish it, or name a CSV by --from")
    return tuple(found)


def _answers(study: Study, source: str) -> tuple[Iterable[RawAnswer], Mapping[str, int]]:
    """The answers of a source, and how many of its rows hold none, by reason."""
    if source == "page":
        return _page_answers(study), {}
    if source == "label-studio" or ProjectAddress.parse(source) is not None:
        from ls_backend.studies.label_studio import label_studio_answers

        return label_studio_answers(*_project(study, source)), {}
    from ls_backend.studies.crowd_csv import crowd_answers

    return crowd_answers(Path(source))


def _page_answers(study: Study) -> list[RawAnswer]:
    from ls_backend.studies.collect import RawAnswer
    from ls_backend.studies.page_reader import read_page_answers

    return [
        RawAnswer("page", one.rater, one.question, one.score, one.seconds, one.answered_at, spare=one.spare)
        for one in read_page_answers(study)
    ]


def _project(study: Study, source: str) -> tuple[LabelStudioApi, int]:
    from ls_backend.settings import read_settings
    from ls_backend.studies.label_studio import published

    address = ProjectAddress.parse(source)
    if address is None:
        before = published(study)
        if before is None:
            raise StudyError(f"{study.root} was not published; name its project as label-studio:N")
        address = ProjectAddress(before.url, before.project)
    settings = read_settings({} if address.url is None else {"label_studio_url": address.url})
    return connected(settings), address.number
