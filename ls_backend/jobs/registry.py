"""Which runs this machine has: a small file for each in the data folder that names its state."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ls_backend.files import atomic_write, make_folder
from ls_backend.jobs.schema import StateError
from ls_backend.jobs.snapshot import snapshot
from ls_backend.jobs.store import StateStore
from zgcore.suggest import closest

if TYPE_CHECKING:
    from ls_backend.jobs.snapshot import Snapshot

log = logging.getLogger(__name__)

STATE_FILE: Final = "state.sqlite"
_FOLDER: Final = "jobs"
_ID_DIGITS: Final = 8


def job_id(state: Path) -> str:
    """The name a run goes by: 8 hex digits, the same each time for the same file."""
    return hashlib.sha256(os.fsencode(os.path.abspath(state))).hexdigest()[:_ID_DIGITS]


def project_folder(data_dir: Path, url: str, project: int) -> Path:
    """Where the results of a run into a Label Studio project are kept."""
    return data_dir / _FOLDER / f"project-{project}-{hashlib.sha256(url.encode()).hexdigest()[:_ID_DIGITS]}"


def register(data_dir: Path, state: Path) -> str:
    """Let `zeroguide jobs` and the status page know a run; returns its id. OutputError where that cannot be."""
    folder, name = data_dir / _FOLDER, job_id(state)
    make_folder(folder, "--data-dir")
    with atomic_write(folder / f"{name}.json") as handle:
        handle.write(json.dumps({"state": os.path.abspath(state)}).encode())
    return name


def known(data_dir: Path) -> dict[str, Path]:
    """The state files of the runs by id; what was deleted since is left out."""
    found = {}
    for entry in sorted((data_dir / _FOLDER).glob("*.json")):
        try:
            state = Path(json.loads(entry.read_bytes())["state"])
        except (OSError, ValueError, TypeError, LookupError):
            continue
        if state.is_file():
            found[entry.stem] = state
    return found


def jobs_overview(data_dir: Path) -> list[Snapshot]:
    """Every run of the data folder as it stands, the latest first; left out are those that cannot be read, and those
    without images, which never began.
    """
    found = []
    for name, state in known(data_dir).items():
        try:
            with StateStore(state) as store:
                found.append(snapshot(store))
        except StateError as error:
            log.warning("run %s: %s", name, error)
    begun = [run for run in found if run.images]
    return sorted(begun, key=lambda run: run.started, reverse=True)


def find(data_dir: Path, name: str) -> Path:
    """The state file of a run: by its id or the beginning of it, or by its folder. StateError where there is none."""
    runs = known(data_dir)
    matches = [state for known_id, state in runs.items() if known_id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    for path in (Path(name), Path(name) / STATE_FILE):
        if path.is_file():
            return path
    meant = closest(name, runs)
    hint = f' did you mean "{meant}"?' if meant else " zeroguide jobs list shows those that there are"
    raise StateError(f"{name}: {'several runs begin so;' if matches else 'there is no such run;'}{hint}")
