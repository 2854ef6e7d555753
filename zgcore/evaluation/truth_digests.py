"""What truth a run was scored against: the file truth.json of its folder, a digest for each image.

A run that goes on must go on with the same truth. An image that failed may have had its mask mended since.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.files import run_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

TRUTH_FILE: Final = "truth.json"


def keep_digests(run: Path, digests: Mapping[str, str], scored: Collection[str]) -> None:
    """Keep the digests of all images by name, if those of the images that are scored already are as they were.

    A run of an older version has none: nothing is known of what it was scored against, and nothing is kept.
    EvaluationError where the truth of a scored image is another, or the file cannot be read or written.
    """
    path = run / TRUTH_FILE
    known = _read(path)
    if known is None and scored:
        return
    changed = sorted(name for name in scored if known is not None and known.get(name) != digests[name])
    if changed:
        raise EvaluationError(
            f"{run} was scored against other masks than the data set has now: those of {changed[0]}"
            + (f" and {len(changed) - 1:,} more" if changed[1:] else "")
            + " differ; choose another --out"
        )
    if known != digests:
        with run_file(path) as file:
            file.write(json.dumps(digests, indent=1).encode() + b"\n")


def _read(path: Path) -> dict[str, str] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} is damaged ({error}); make the run again in another folder") from error
    if not isinstance(document, dict):
        raise EvaluationError(f"{path} is damaged (it is no object); make the run again in another folder")
    return document
