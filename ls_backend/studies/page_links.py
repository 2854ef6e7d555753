"""The links of a study's raters: made when they are needed, and kept in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ls_backend.studies.tokens import ORGANISER, link, read_links, who, write_links
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ls_backend.studies.manifest import Study
    from ls_backend.studies.page_people import People


class Links(NamedTuple):
    """fresh: links that were made now, by who has them. people: all who have one. lost: how many are in no file."""

    fresh: Mapping[str, str]
    people: int
    lost: int


def wanted_raters(study: Study, raters: int | None, there: int = 0) -> int:
    """How many raters to have. raters: asked for, None for those that there are, or at first as many as a question
    needs; there: who have a link. StudyError where they are too few for the study.
    """
    needed = study.settings.raters
    wanted = max(there, (there or needed) if raters is None else raters)
    if wanted < needed:
        raise StudyError(f"each question needs {needed} different raters; set --raters to {needed} or more")
    return wanted


def have_links(study: Study, people: People, path: Path, base: str, raters: int | None, renew: bool = False) -> Links:
    """See to it that so many raters have a link, and that the file at `path` has those that are known.

    base: what all links begin with from now on. raters: as `wanted_raters` says, which may raise. renew: make all links
    new.
    """
    fresh = people.add(wanted_raters(study, raters, people.raters))
    if renew:
        fresh = people.renew()
    known = {**people.valid(read_links(path)), **fresh}
    if known:
        write_links(path, base, known)
    shown = {who(number): link(base, token) for number, token in sorted(fresh.items()) if number != ORGANISER}
    if ORGANISER in fresh:
        shown[who(ORGANISER)] = link(base, fresh[ORGANISER])
    everybody = people.raters + 1
    return Links(shown, everybody, everybody - len(known))
