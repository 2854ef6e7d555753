"""What a run was made with, exactly: the file run.json of its folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin, get_type_hints

from zgcore import __version__
from zgcore.errors import EvaluationError
from zgcore.evaluation.files import run_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA: Final = 1
RUN_FILE: Final = "run.json"
_PACKAGES: Final = ("torch", "numpy", "scipy", "open_clip_torch", "timm", "transformers", "pydensecrf2", "pyarrow")


@dataclass(frozen=True)
class RunInfo:
    """Everything that decides a run's results.

    data: the data set as it was named ("voc:DIR"). data_set: its short name. classes: their names.
    subset: which of its images, as named; None for all. sample_digest: 12 hex digits of the images' names, in order.
    predictor: as named. preset, settings, weights: of the model, where there is one; settings are the whole
    `PipelineConfig`, weights a fingerprint. random_weights: True where labels mean nothing.
    threshold_tt, threshold_st: similarities from which on a segment keeps its class.
    sentence_model: what TT compares texts with. tgq: whether true masks are labelled too. notes: what could not be had.
    versions: of the packages that compute.
    """

    data: str
    data_set: str
    classes: tuple[str, ...]
    samples: int
    sample_digest: str
    predictor: str
    preset: str | None = None
    settings: dict[str, Any] | None = None
    weights: str = ""
    random_weights: bool = False
    seed: int = 0
    subset: str | None = None
    threshold_tt: float = 0.5
    threshold_st: float = 0.1
    sentence_model: str = ""
    tgq: bool = False
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> RunInfo:
        """ValueError for anything that `to_json` did not write."""
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError(f"it is not of schema {SCHEMA}")
        try:
            lists = {name: tuple(document[name]) for name in ("classes", "notes")}
            found = cls(**{**document, **lists})
        except (TypeError, KeyError) as error:
            raise ValueError(f"it lacks or has unknown entries: {error}") from error
        for name, kind in get_type_hints(cls).items():
            if not _is_of(getattr(found, name), kind):
                raise ValueError(f"its {name} is not {getattr(kind, '__name__', kind)}")
        return found

    def differences(self, other: RunInfo) -> list[str]:
        """The names of what differs and changes results, settings of stages by their own ("clip.sigma2")."""
        mine, theirs = _flat(self), _flat(other)
        return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a type as the fields of `RunInfo` have them."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in inner)
    if origin is tuple:
        return all(_is_of(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is_of(one, inner[1]) for one in value.values())
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _flat(info: RunInfo) -> dict[str, Any]:
    document = dataclasses.asdict(info)
    settings = document.pop("settings") or {}
    document.pop("data")  # the same images may lie elsewhere now: their names and classes are compared
    for stage, value in settings.items():
        document |= {f"{stage}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {}
    versions = document.pop("versions")
    return document | {f"version of {name}": number for name, number in versions.items()}


def versions() -> dict[str, str]:
    """Of ourselves, Python, and the packages that results depend on."""
    found = {"zeroguide": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def names_digest(names: Iterable[str]) -> str:
    """12 hex digits of names in their order."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:12]


def write_run(run: Path, info: RunInfo) -> None:
    """EvaluationError where the folder cannot be written."""
    with run_file(run / RUN_FILE) as file:
        file.write(info.to_json())


def read_run(run: Path) -> RunInfo:
    """The settings of a run's folder. EvaluationError where it is none."""
    path = run / RUN_FILE
    try:
        return RunInfo.from_json(path.read_bytes())
    except FileNotFoundError:
        raise EvaluationError(
            f"{run} is not the folder of an evaluation run: it has no {RUN_FILE}; name one that `zeroguide eval` wrote"
        ) from None
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path} is damaged ({error}); make the run again in another folder") from error
