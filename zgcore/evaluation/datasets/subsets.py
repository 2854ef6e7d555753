"""Parts of a data set that anybody can take again: the first, random ones by a seed, or a list."""

from __future__ import annotations

import hashlib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.layout import read_names
from zgcore.images import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.ground_truth import DataSet, Sample

# What the paper's ablations and its TT figures were measured on. Which 1,000 were drawn is not published: these are
# ours, by seed 0.
PAPER: Final = {"paper-first-1000": ("first:1000", 0), "paper-random-1000": ("random:1000", 0)}
FORMS: Final = ("all", "first:COUNT", "random:COUNT", "list:FILE", *PAPER)


def subset(data: DataSet, spec: str, seed: int = 0) -> Sequence[Sample]:
    """The part that `spec` means, in the data set's order.

    spec: "all"; "first:COUNT"; "random:COUNT", by `seed`; "list:FILE", names one a line, with or without an image's
    suffix; "paper-first-1000" or "paper-random-1000", whatever the seed.

    Random images are those whose names, hashed with the seed, come first: the same on every machine and version, a
    larger count contains a smaller one, and a copy that lacks some images draws the others all the same.

    Raises EvaluationError for any other text, more images than there are, and names that are not in the data set.
    """
    form, seed = PAPER.get(spec, (spec, seed))
    kind, _, value = form.partition(":")
    if form == "all":
        return data.samples
    if kind == "list" and value:
        return _listed(data, Path(value).expanduser())
    if kind == "first":
        return data.samples[: _count(value, spec, data)]
    if kind == "random":
        return _random(data.samples, _count(value, spec, data), seed)
    raise EvaluationError(f"subset {spec!r} is not known; give one of {', '.join(FORMS)}")


def _random(samples: Sequence[Sample], count: int, seed: int) -> Sequence[Sample]:
    drawn = sorted(samples, key=lambda s: hashlib.sha256(f"{seed}:{s.name}".encode()).digest())[:count]
    chosen = {sample.name for sample in drawn}
    return tuple(sample for sample in samples if sample.name in chosen)


def _listed(data: DataSet, path: Path) -> Sequence[Sample]:
    known = {sample.name for sample in data.samples}
    wanted = set()
    for name in read_names(path):
        found = name if name in known or Path(name).suffix.lower() not in SUFFIXES else Path(name).stem
        if found not in known:
            near = get_close_matches(found, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            raise EvaluationError(f"{path}: {name} is not an image of {data.name}; {hint}")
        wanted.add(found)
    if not wanted:
        raise EvaluationError(f"{path}: lists no image; write one name a line")
    return tuple(sample for sample in data.samples if sample.name in wanted)


def _count(text: str, spec: str, data: DataSet) -> int:
    if not (text.isascii() and text.isdigit()):
        raise EvaluationError(f"subset {spec!r}: {text!r} is not a number of images; give for example first:100")
    if not 1 <= int(text) <= len(data.samples):
        raise EvaluationError(f"subset {spec!r}: {data.name} has {len(data.samples):,} images; give 1 to that many")
    return int(text)
