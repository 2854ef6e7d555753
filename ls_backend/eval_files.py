"""Predictions of any system, read from a COCO file, as a predictor of the evaluation.

Two forms: a COCO document (images, annotations, categories), and COCO's list of results (image_id, segmentation,
score), where each entry says its text itself ("caption", "label" or "category").
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ijson
import numpy as np

from ls_backend.exports import compact, rle
from ls_backend.exports.choose import Choice
from ls_backend.exports.inputs import open_input
from ls_backend.exports.losses import Losses
from ls_backend.exports.nesting import ShallowFile
from zgcore.errors import ConfigError, EvaluationError
from zgcore.evaluation.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ls_backend.exports.items import ImageItem
    from zgcore.evaluation.ground_truth import Sample
    from zgcore.evaluation.predictors import LabelFeatures, Scene

PREFIX: Final = "file:"
MOST_SEGMENTS: Final = 10_000  # of one image; a file with more is broken
_TEXTS: Final = ("caption", "label", "category")
_NOTED: Final = 3  # kinds of losses in a run's notes

Entry = dict[str, Any]  # text, score, height, width, counts


class FilePredictor:
    """Segments as a file has them; they may overlap. An image that the file does not name has none.

    Images are found by file name: by the longest path that ends like the photo's, else by the name without its suffix.
    The file is read once, into a file of its own on disk: memory does not grow with it.

    Raises EvaluationError for a file that is missing, not JSON, or holds no predictions.
    """

    label_features: LabelFeatures | None = None  # nobody knows its embeddings' space

    def __init__(self, path: Path) -> None:
        self.name = PREFIX + path.name
        self.path = path
        self.losses = Losses()
        self._store = sqlite3.connect("", check_same_thread=False)  # goes when the process does
        self._store.execute("CREATE TABLE image (stem TEXT, path TEXT, document TEXT)")
        try:
            self._read()
        except ConfigError as error:
            raise EvaluationError(str(error)) from error
        self._store.execute("CREATE INDEX of_stem ON image (stem)")
        if not self._store.execute("SELECT 1 FROM image").fetchone():
            raise EvaluationError(f"{path} holds no predictions that can be read{self._why()}; {_CURE}")

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file could not be read, a sentence each."""
        rows = self.losses.unreadable.most_common(_NOTED)
        return tuple(
            f"{self.path.name}: {count} {what} are left out"
            + "".join(f" ({example})" for example in self.losses.examples[what][:1])
            for what, count in rows
        )

    def check(self, samples: Sequence[Sample]) -> None:
        """EvaluationError where the file has none of the images: it is of another data set."""
        if not any(self._rows(sample) for sample in samples):
            first = self._store.execute("SELECT path FROM image").fetchone()[0]
            raise EvaluationError(
                f"{self.path} has none of the data set's images (its first is {first!r}, the data set's "
                f"{samples[0].image.name!r}); images are matched by file name"
            )

    def predict(self, scene: Scene) -> Prediction:
        entries = [entry for document in self._rows(scene.sample) for entry in json.loads(document)]
        if len({(entry["height"], entry["width"]) for entry in entries}) > 1:
            raise EvaluationError(f"{self.path}: the masks of {scene.sample.name} are of different sizes")
        return Prediction(
            masks=tuple({"size": [entry["height"], entry["width"]], "counts": entry["counts"]} for entry in entries),
            texts=tuple(entry["text"] for entry in entries),
            scores=np.array([entry["score"] for entry in entries], np.float32),
        )

    def label_true_masks(self, scene: Scene) -> Prediction | None:
        return None

    def _rows(self, sample: Sample) -> list[str]:
        """The documents of an image."""
        found = self._store.execute("SELECT path, document FROM image WHERE stem = ?", (sample.image.stem,)).fetchall()
        whole = f"/{sample.image.as_posix()}"
        fitting = [row for row in found if whole.endswith(f"/{row[0]}")] or found
        paths = {path for path, _ in fitting}
        if len(paths) > 1:  # the longest that fits
            longest = max(paths, key=len)
            if not whole.endswith(f"/{longest}"):
                raise EvaluationError(f"{self.path} has several images called {sample.image.stem}: {sorted(paths)[:3]}")
            fitting = [row for row in fitting if row[0] == longest]
        return [document for _, document in fitting]

    def _read(self) -> None:
        if not self.path.is_file():
            raise EvaluationError(f"there is no file of predictions {self.path}")
        found = open_input(self.path)
        if found.kind == "coco":
            for item in found.items(Choice(), self.losses, lambda bytes_read: None):
                self._keep(item.file_name, self._of_item(item))
        else:
            for name, entry in self._results():
                self._keep(name, [entry])

    def _keep(self, path: str, entries: list[Entry]) -> None:
        if len(entries) > MOST_SEGMENTS:
            raise EvaluationError(f"{self.path}: {path} has {len(entries):,} segments, more than {MOST_SEGMENTS:,}")
        row = (Path(path).stem, path, compact(entries))
        self._store.execute("INSERT INTO image VALUES (?, ?, ?)", row)

    def _of_item(self, item: ImageItem) -> list[Entry]:
        entries = []
        for region in item.regions:
            text = region.caption or ", ".join(region.labels)
            if text.strip():
                entries.append(_entry(text, region.score, region.rle))
            else:
                self.losses.skip("regions without a text", f"{item.file_name}: region {region.id}")
        return entries

    def _results(self) -> Iterator[tuple[str, Entry]]:
        counts: Counter[str] = Counter()
        with self.path.open("rb") as opened:
            try:
                for number, result in enumerate(
                    ijson.items(ShallowFile(opened, str(self.path)), "item", use_float=True)
                ):
                    try:
                        name, entry = _result(result)
                    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
                        self.losses.skip("results that cannot be read", f"result {number}: {error}")
                        continue
                    counts[name] += 1
                    if counts[name] > MOST_SEGMENTS:
                        raise EvaluationError(f"{self.path}: image {name} has more than {MOST_SEGMENTS:,} results")
                    yield name, entry
            except (ijson.JSONError, UnicodeDecodeError) as error:
                raise EvaluationError(f"{self.path} is no whole JSON ({error}); fetch the file again") from error

    def _why(self) -> str:
        return "".join(f" ({note})" for note in self.notes[:1])


_CURE: Final = "give a COCO document, or COCO results with image_id, segmentation and a text"


def file_fingerprint(path: Path) -> str:
    """12 hex digits of a file's content. EvaluationError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error


def _entry(text: str, score: float | None, mask: rle.Rle) -> Entry:
    known = 1.0 if score is None or not math.isfinite(score) else float(score)
    return {"text": text, "score": known, "height": mask.height, "width": mask.width, "counts": mask.counts}


def _result(result: Any) -> tuple[str, Entry]:
    """An image's name and the entry of one of COCO's results. ValueError where it is none."""
    if not isinstance(result, dict):
        raise ValueError("it is no object")
    text = next((value for key in _TEXTS if isinstance(value := result.get(key), str) and value.strip()), None)
    if text is None:
        raise ValueError(f"it says no text ({', '.join(_TEXTS)}); with category_id, give a document with categories")
    shape = result["segmentation"]
    if not isinstance(shape, dict):
        raise ValueError("its segmentation is no run lengths; polygons need a document with the images' sizes")
    height, width = shape["size"]
    if type(height) is not int or type(width) is not int:
        raise ValueError("its size is no numbers of pixels")
    score = result.get("score")
    mask = rle.read(shape["counts"], height, width)
    return _name(result["image_id"]), _entry(text, score if isinstance(score, (int, float)) else None, mask)


def _name(image: object) -> str:
    """COCO's photos are called by their id in twelve digits."""
    if type(image) is int and image >= 0:
        return f"{image:012d}"
    if isinstance(image, str) and image:
        return image
    raise ValueError("its image_id is neither a number nor a file name")
