"""Pictures of a study that were lost, drawn again from its own questions: that takes the photos, and no run."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from ls_backend.studies.instruction import write_instruction
from ls_backend.studies.manifest import SETTINGS_FILE, load_study
from ls_backend.studies.picture_files import write_pictures
from ls_backend.studies.pictures import PictureStyle
from ls_backend.studies.sources import run_kind, split_name
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ls_backend.studies.create import CreateOptions
    from ls_backend.studies.manifest import Study, StudySettings


def runs_gone(names: Iterable[str]) -> bool:
    """Whether one of the runs, named as for `open_runs`, is not there any more."""
    return any(run_kind(folder) is None for _, folder in map(split_name, names))


def redrawn(options: CreateOptions, tell: Callable[[int, int], None]) -> tuple[Study, int]:
    """The study as it is, and how many pictures it lacked. StudyError where other runs or settings were named."""
    study = load_study(options.out)
    named = {(method, os.path.abspath(folder)) for method, folder in map(split_name, options.runs)}
    sources = {(source.method, source.path) for source in study.settings.sources}
    if not sources <= named or _asked(options, study.settings) != study.settings:
        raise StudyError(
            f"{options.out} holds a study of other runs or settings, and not all runs that were named are there; "
            f"choose another folder with --out, or name runs and options as {options.out / SETTINGS_FILE} has them"
        )
    write_instruction(study.instruction)
    return study, write_pictures(study, _style(study.settings.picture), options.workers, tell)


def _asked(options: CreateOptions, known: StudySettings) -> StudySettings:
    """The settings of a study with all that the options decide, and the runs do not."""
    return dataclasses.replace(
        known,
        title=options.title,
        seed=options.seed,
        labels=options.labels,
        questions=options.questions,
        per_task=options.sizes.per_task,
        raters=options.raters,
        gold=options.sizes.gold,
        repeat=options.sizes.repeat,
        per_image=options.per_image,
        rules=options.rules,
        reassigned_by=options.reassigned_by if options.labels == "reassigned" else "",
    )


def _style(values: Mapping[str, Any]) -> PictureStyle:
    try:
        return PictureStyle(**{**values, "between": tuple(values["between"])})
    except (TypeError, KeyError) as error:
        raise StudyError(f"{SETTINGS_FILE} has pictures of another version's style ({error})") from error
