"""What a report says, before anybody decides how it looks: the page and the terminal's Markdown are made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zgcore.evaluation import formats
from zgcore.placement import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 160  # characters of a label: some systems write essays
FOOTER: Final = "every figure is remade from the run's folder, without a model"


@dataclass(frozen=True)
class Cell:
    """text: as printed. value: what to sort by; the text itself where it is None. note: smaller, behind the text.

    soft: of somebody else, a published figure say. bold: what the row is about.
    """

    text: str
    value: float | None = None
    note: str = ""
    soft: bool = False
    bold: bool = False

    @property
    def order(self) -> float | None:
        """`value` where it is a number: what is none stands last in a sorted column."""
        return None if self.value is None or math.isnan(self.value) else self.value


@dataclass(frozen=True)
class Column:
    """hint: what it means, in a sentence. number: set to the right, and sorted from the largest."""

    name: str
    hint: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """columns: the first is the row's head. long: offered with a filter, in a box of its own height."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    sortable: bool = False
    long: bool = False


@dataclass(frozen=True)
class Plot:
    """name: of its file, without suffix. text: what it shows, for readers who do not see it, and under it."""

    name: str
    title: str
    svg: bytes
    text: str


@dataclass(frozen=True)
class Tag:
    """One entry beside a picture. number: as in the picture, 0 for none. note: soft, behind the name."""

    name: str
    colour: str = ""
    number: int = 0
    note: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Picture:
    """jpeg: None where the photo could not be had; note says why. width, height: of the picture, in pixels."""

    title: str
    jpeg: bytes | None
    width: int
    height: int
    tags: tuple[Tag, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One image of the gallery."""

    name: str
    facts: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Section:
    """key: its address in the page."""

    key: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    cards: tuple[Card, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.tables or self.plots or self.cards)


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """facts: what was measured, on what and by what. notes: what a reader must know before any figure."""

    title: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    footer: str = FOOTER

    @property
    def plots(self) -> list[Plot]:
        return [plot for section in self.sections for plot in section.plots]


def word(text: str, *, note: str = "", soft: bool = False, bold: bool = False) -> Cell:
    """A cell with free text, cut where it would fill the page."""
    return Cell(short(text), note=short(note), soft=soft, bold=bold)


def short(text: str) -> str:
    """One clean line of at most LONGEST characters."""
    text = clean_text(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def share(
    fraction: float | None, bounds: Sequence[float] | None = None, *, signed: bool = False, bold: bool = False
) -> Cell:
    """A cell with a fraction in percent and its interval."""
    return Cell(formats.percent(fraction, signed=signed), fraction, formats.interval(bounds, signed=signed), bold=bold)


def published(percent: float | None, note: str = "") -> Cell:
    """A cell with a figure the paper prints, given in percent."""
    return Cell(formats.NOTHING if percent is None else f"{percent:.1f}", percent, note, soft=True)


def whole(number: float | None) -> Cell:
    """A cell with a count."""
    return Cell(formats.count(number), number)
