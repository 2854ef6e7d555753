"""What raters said, as a table: one answer a row, read from any usual CSV and written as one."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sys import intern
from typing import IO, TYPE_CHECKING, Final

from ls_backend.exports.table import FORMULA_STARTS
from ls_backend.files import atomic_write
from zgcore.errors import StudyError
from zgcore.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REQUIRED: Final = ("rater", "question", "score")
COLUMNS: Final = (
    *REQUIRED, "batch", "seconds", "answered_at", "method", "image", "segment", "label", "kind", "expected", "of",
)  # fmt: skip
KINDS: Final = ("rated", "gold", "repeat")
MAX_BYTES: Final = 256 << 20
MAX_ROWS: Final = 1_000_000
MAX_CELL: Final = 10_000  # characters
MAX_COLUMNS: Final = 1_000
BAD_KEPT: Final = 1_000  # of the rows that were left out, so many are told one by one
_PARSED: Final = ("score", "seconds", "expected", "kind")
_DELIMITERS: Final = (",", ";", "\t", "|")
_MISSING: Final = frozenset(
    ("", "na", "n/a", "<na>", "nan", "null", "*", ".")
)  # as spreadsheets, R, SQL, SAS ... write it
_SCORE: Final = re.compile(r"([0-3])(?:[.,]0*)?")
_SEPARATOR: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # a first line by which Excel is told the delimiter


@dataclass(frozen=True, slots=True)
class Answer:
    """One score for one question by one rater.

    rater, question: names, any text. score: 0 to 3. batch: of the questions that were asked together. seconds: it took.
    answered_at: ISO 8601. The rest says what a study's manifest knows better, for tables without one: method and image;
    segment in the image; label that was rated; kind: "rated", "gold" or "repeat"; expected: right scores of a gold
    question; of: the question that a repeat asks again.
    """

    rater: str
    question: str
    score: int
    batch: str = ""
    seconds: float | None = None
    answered_at: str = ""
    method: str = ""
    image: str = ""
    segment: str = ""
    label: str = ""
    kind: str = ""
    expected: tuple[int, ...] = ()
    of: str = ""


@dataclass
class AnswerTable:
    """What a file held.

    bad: line and reason of rows that cannot be used, the first of them; skipped: of how many. missing: rows whose score
    is blank, or NA, which is no mistake: most tables of ratings have such cells.
    """

    answers: list[Answer] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    skipped: int = 0
    missing: int = 0


def as_score(text: str) -> int:
    """ "2", " 2.0 " or "2,0" as 2. ValueError where it is not a score from 0 to 3."""
    found = _SCORE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"score is {_shown(text)}, and should be 0, 1, 2 or 3")
    return int(found[1])


def read_answers(path: Path, *, skip_bad: bool = False) -> AnswerTable:
    """Read a table with a header; columns by name, in any order, those that are not known are passed over.

    Commas, semicolons, tabs or bars between; UTF-8 with or without a byte order mark, or UTF-16 with one. skip_bad:
    leave rows out that cannot be used, in place of a StudyError that names the first. Rows without a score (a blank
    cell, NA, nan, * and the like) are missing ratings: passed over and counted. Files of more than `MAX_BYTES`,
    `MAX_ROWS` or `MAX_CELL` are refused.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StudyError(f"{path} is larger than {MAX_BYTES >> 20} MB; split it")
        with path.open(encoding=_encoding(path), newline="") as file:
            return _read(path, file, skip_bad)
    except UnicodeError:
        raise StudyError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from None


def write_answers(path: Path, answers: Iterable[Answer]) -> int:
    """Write a table that `read_answers` gives back and spreadsheets do not run; returns how many answers.

    Names that start like a formula get a ' in front, which the reader takes off.
    """
    count = 0
    with atomic_write(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="replace", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for answer in answers:
            writer.writerow([_cell(answer, name) for name in COLUMNS])
            count += 1
        text.detach()
    return count


def safe_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = text.replace("\0", "\ufffd")
    return "'" + text if text.lstrip(" '").startswith(FORMULA_STARTS) else text


def _cell(answer: Answer, name: str) -> str:
    value = getattr(answer, name)
    if name == "expected":
        return "|".join(map(str, value))
    if isinstance(value, str):
        return safe_cell(value)
    return "" if value is None else str(value)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _read(path: Path, file: IO[str], skip_bad: bool) -> AnswerTable:
    lines = _Lines(file)
    header = _header(path, lines)
    table = AnswerTable()
    rows = csv.reader(lines, delimiter=header.delimiter)
    for row in _rows(path, rows, lines):
        if not any(cell.strip() for cell in row):
            continue
        if _is_missing(row, header.at["score"]):
            table.missing += 1
            continue
        try:
            table.answers.append(_answer(row, header.at))
        except ValueError as error:
            if not skip_bad:
                raise StudyError(f"{path}, line {lines.row_starts}: {error}; --skip-bad leaves such rows out") from None
            table.skipped += 1
            if len(table.bad) < BAD_KEPT:
                table.bad.append((lines.row_starts, str(error)))
        if len(table.answers) > MAX_ROWS:
            raise StudyError(f"{path} has more than {MAX_ROWS:,} answers; split it")
    return table


def _rows(path: Path, rows: Iterator[list[str]], lines: _Lines) -> Iterator[list[str]]:
    while True:
        lines.row_starts = lines.number + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise StudyError(f"{path}, line {lines.row_starts}: no CSV ({error})") from None
        if row is None:
            return
        yield row


class _Lines:
    """Lines of a file, counted, none longer than a row may be: a file of one endless line is never held whole."""

    limit: Final = MAX_CELL * 20

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.number = 0
        self.row_starts = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(self.limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self.limit:
            raise csv.Error(f"a line of more than {self.limit:,} characters")
        return line


@dataclass(frozen=True)
class _Header:
    delimiter: str
    at: dict[str, int]


def _header(path: Path, lines: _Lines) -> _Header:
    """The delimiter is the one by which the first line has the most columns that we know."""
    try:
        first = next((line for line in lines if line.strip() and not _SEPARATOR.fullmatch(line.strip())), "")
    except csv.Error as error:
        raise StudyError(f"{path}: no CSV ({error})") from None
    found = max((_columns(first, delimiter) for delimiter in _DELIMITERS), key=lambda header: len(header.at))
    missing = [name for name in REQUIRED if name not in found.at]
    if missing:
        there = [cell.strip() for cell in first.split(found.delimiter)][:20]
        near = closest(missing[0], there)
        hint = f' (is "{near}" meant?)' if near else ""
        raise StudyError(
            f"{path}: the first line must name the columns {', '.join(REQUIRED)}; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing{hint}"
        )
    return found


def _columns(line: str, delimiter: str) -> _Header:
    try:
        names = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        names = []
    names = names[:MAX_COLUMNS]
    return _Header(delimiter, {name: names.index(name) for name in COLUMNS if name in names})


def _is_missing(row: list[str], at: int) -> bool:
    """Whether the cell of the score is there and says that there is none; a row that ends before it is damaged."""
    return at < len(row) and row[at].strip().lower() in _MISSING


def _answer(row: list[str], at: dict[str, int]) -> Answer:
    """ValueError where the row cannot be used."""
    cells = {name: row[index].strip() if index < len(row) else "" for name, index in at.items()}
    if any(len(cell) > MAX_CELL for cell in cells.values()):
        raise ValueError(f"a cell has more than {MAX_CELL:,} characters")
    for name in ("rater", "question"):
        if not cells[name]:
            raise ValueError(f"{name} is empty")
    texts = {name: intern(plain_cell(cells[name])) for name in cells if name not in _PARSED}  # most texts come often
    return Answer(
        **texts,
        score=as_score(cells["score"]),
        seconds=_seconds(cells.get("seconds", "")),
        kind=_kind(cells.get("kind", "")),
        expected=_expected(cells.get("expected", "")),
    )


def plain_cell(cell: str) -> str:
    """The cell without the ' that `safe_cell` puts in front."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell


def _seconds(cell: str) -> float | None:
    if not cell:
        return None
    try:
        seconds = float(cell.replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is {_shown(cell)}, and should be a number of at least 0")
    return seconds


def _kind(cell: str) -> str:
    kind = {"rating": "rated"}.get(cell.lower(), cell.lower())
    if kind and kind not in KINDS:
        raise ValueError(f"kind is {_shown(cell)}, and should be {', '.join(KINDS)} or empty")
    return kind


def _expected(cell: str) -> tuple[int, ...]:
    return tuple(sorted({as_score(part) for part in cell.split("|")})) if cell else ()


def moment(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time (UTC where it names no zone); NaN where it is none."""
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
