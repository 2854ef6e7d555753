"""A report as Markdown: for the terminal, where columns line up, and for a README, where they do not need to."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from zgcore.evaluation.report_model import LONGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.report_model import Cell, Report, Section, Table

_LONG: Final = 20  # rows of a long table that are worth a terminal; the page has all
_WIDE: Final = 60  # characters of a cell in a terminal


def to_markdown(report: Report, *, figures: str = "", cut: bool = True) -> str:
    """The whole report. figures: folder of the plots, "" for none. cut: long tables to their start."""
    lines = [f"# {escape(report.title)}", ""]
    lines += [" · ".join(f"{escape(name)} **{escape(value)}**" for name, value in report.facts), ""]
    for note in report.notes:
        lines += [f"> {escape(note)}", ""]
    if report.tiles:
        lines += [f"- {escape(t.name)}: **{escape(t.value)}** {escape(t.note)}".rstrip() for t in report.tiles] + [""]
    for section in report.sections:
        lines += section_lines(section, figures=figures, cut=cut)
    if report.failures:
        lines += [f"## {len(report.failures)} without a result", ""]
        lines += [f"- {escape(name)}: {escape(reason)}" for name, reason in report.failures] + [""]
    return "\n".join(lines).rstrip() + "\n"


def section_lines(section: Section, *, figures: str = "", cut: bool = True) -> list[str]:
    """One section; cards are pictures, which Markdown has no room for. Empty where nothing else is in it."""
    if not (section.tables or (figures and section.plots) or (section.text and not section.cards)):
        return []
    lines = [f"## {escape(section.title)}", ""]
    for paragraph in section.text:
        lines += [escape(paragraph), ""]
    for table in section.tables:
        lines += table_lines(table, cut=cut)
    if figures:
        for plot in section.plots:
            lines += [f"![{escape(plot.text)}]({figures}/{plot.name}.svg)", ""]
    return lines


def table_lines(table: Table, *, cut: bool = True) -> list[str]:
    """A pipe table with its title and note; columns padded to line up in a terminal."""
    shown = table.rows[:_LONG] if cut and table.long else table.rows
    head = [escape(column.name) for column in table.columns]
    rows = [[_cell(cell, _WIDE if cut else LONGEST) for cell in row] for row in shown]
    widths = [max(3, *(width(row[k]) for row in [head, *rows])) for k in range(len(head))]
    rule = ["-" * (w - 1) + ":" if column.number else "-" * w for w, column in zip(widths, table.columns, strict=True)]
    right = [column.number for column in table.columns]
    lines = [f"**{escape(table.title)}**", "", _line(head, widths, right), _line(rule, widths, right)]
    lines += [_line(row, widths, right) for row in rows] + [""]
    if len(shown) < len(table.rows):
        lines += [f"{len(table.rows) - len(shown)} more rows are in the page.", ""]
    if table.note:
        lines += [escape(table.note), ""]
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, wide, to_right in zip(cells, widths, right, strict=True):
        space = " " * (wide - width(text))
        padded.append(space + text if to_right else text + space)
    return "| " + " | ".join(padded) + " |"


def _cell(cell: Cell, wide: int) -> str:
    text = cell.text if len(cell.text) <= wide else cell.text[: wide - 1] + "…"
    note = cell.note if cell.note.startswith("[") or not cell.note else f"({cell.note})"
    return escape(f"{text} {note}".strip())


def escape(text: str) -> str:
    """Text that stays text in Markdown, and in a terminal: no markup, no links, no control or direction characters."""
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text.replace("&", "&amp;"))  # "<0.001" is no markup
    return re.sub(r"([\\`*_|~#]|!(?=\[)|\](?=\())", r"\\\1", text)


def width(text: str) -> int:
    """Columns in a terminal: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
