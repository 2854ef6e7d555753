"""A sweep's folder: one setting, some values, a run each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.report_run import open_run
from zgcore.evaluation.scored import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.evaluation.report_run import Run

SWEEP_FILE: Final = "sweep.json"
SCHEMA: Final = 1
_FIGURES: Final = ("images", "segments", "upper_bound", "boundary", "tgq", "tgq_curve", "labels")  # not only headlines


@dataclass(frozen=True)
class Sweep:
    """param: as named on the command line ("sigma2"). setting: in full ("clip.sigma2"). values: one a run."""

    path: Path
    param: str
    setting: str
    values: tuple[Any, ...]
    runs: tuple[Run, ...]

    @property
    def numbers(self) -> list[float] | None:
        """The values where all are numbers."""
        there = all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)
        return [float(value) for value in self.values] if there else None

    @property
    def says_nothing(self) -> bool:
        """Whether every figure is the same whatever the value: what differs is nowhere in the results."""
        first, *rest = (_figures(run) for run in self.runs)
        return bool(rest) and all(figures == first for figures in rest)


def _figures(run: Run) -> dict[str, Any]:
    return {name: run.summary.get(name) for name in (*KINDS, *_FIGURES)}


def open_sweep(path: Path) -> Sweep:
    """EvaluationError where the folder is no sweep, or one of its runs is not finished."""
    file = path / SWEEP_FILE
    try:
        document = json.loads(file.read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError(f"it is not of schema {SCHEMA}")
        values, names = list(document["values"]), [str(name) for name in document["runs"]]
        if len(values) != len(names) or not names:
            raise ValueError("it must have a run for each value")
        param, setting = str(document["param"]), str(document["setting"])
    except FileNotFoundError:
        raise EvaluationError(
            f"{path} is no sweep: it has no {SWEEP_FILE}; name one that `zeroguide eval sweep` wrote"
        ) from None
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvaluationError(f"{file} is damaged ({error}); make the sweep again") from error
    return Sweep(path, param, setting, tuple(values), tuple(open_run(path / name) for name in names))
