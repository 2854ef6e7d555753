"""Predictions of any system, read from a COCO file, as a predictor of the evaluation.

Two forms: a COCO document (images, annotations, categories), and COCO's list of results (image_id, segmentation,
score), where each entry says its text itself ("caption", "label", "category" or "category_name"), or has a category_id
of the data set.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import ijson
import numpy as np

from ls_backend.eval_entries import LARGEST_ID, LONGEST_TEXT, entry_of, result_entry, result_image, result_text
from ls_backend.exports import compact
from ls_backend.exports.choose import Choice
from ls_backend.exports.inputs import Input
from ls_backend.exports.losses import Losses
from ls_backend.exports.nesting import ShallowFile
from zgcore.errors import ConfigError, EvaluationError
from zgcore.evaluation.formats import count, plural
from zgcore.evaluation.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ls_backend.eval_entries import Entry
    from ls_backend.exports.items import ImageItem
    from zgcore.evaluation.ground_truth import Sample
    from zgcore.evaluation.predictors import LabelFeatures, Scene

PREFIX: Final = "file:"
MOST_SEGMENTS: Final = 10_000  # of one image; a file with more is broken
_NOTED: Final = 3  # kinds of losses in a run's notes
_CURE: Final = "give a COCO document, or COCO results with image_id, segmentation and a text"


class FilePredictor:
    """Segments as a file has them; they may overlap. An image that the file does not name has none.

    Images are found by file name: by the longest path that ends like the photo's, else by the name without its suffix;
    by number where that name is one ("139" and "000000000139" are 139). The file is read once, into a file of its own
    on disk: memory does not grow with it.

    names: of the data set's category ids, for results that say no text.

    Raises EvaluationError for a file that is missing, not JSON, or holds predictions of which none can be read.
    """

    label_features: LabelFeatures | None = None  # nobody knows its embeddings' space

    def __init__(self, path: Path, names: Mapping[int, str] | None = None) -> None:
        self.name = PREFIX + path.name
        self.path = path
        self.losses = Losses()
        self._names = names or {}
        self._cut = self._boxes = 0
        self._store = sqlite3.connect("", check_same_thread=False)  # goes when the process does
        self._store.execute("CREATE TABLE image (number INTEGER, stem TEXT, path TEXT, document TEXT)")
        self._read()
        self._store.execute("CREATE INDEX of_stem ON image (stem)")
        self._store.execute("CREATE INDEX of_number ON image (number)")

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file could not be read or was changed, a sentence each."""
        found = [
            f"{count(number)} {what} are left out"
            + "".join(f" ({example})" for example in self.losses.examples[what][:1])
            for what, number in self.losses.unreadable.most_common(_NOTED)
        ]
        if self._cut:
            found.append(f"{plural(self._cut, 'text')} longer than {count(LONGEST_TEXT)} characters: cut there")
        if self._boxes:
            found.append(f"{plural(self._boxes, 'region')} with a box and no mask: the whole box is scored as the mask")
        return tuple(f"{self.path.name}: {note}" for note in found)

    def check(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """See that the file is of these images. Returns notes: how many of them it does not name.

        Raises EvaluationError where it names others only, or where a name or a number of it means several of them.
        """
        self._check_numbers(samples)
        lacking = sum(not self._places(sample) for sample in samples)
        first = self._store.execute("SELECT path FROM image").fetchone()
        if first is not None and lacking == len(samples):
            raise EvaluationError(
                f"{self.path} has none of the data set's images (its first is {first[0]!r}, the data set's "
                f"{samples[0].image.name!r}); images are matched by file name"
            )
        if not lacking:
            return ()
        some = f"{count(lacking)} of {plural(len(samples), 'image')}"
        return (f"{some} {'is' if lacking == 1 else 'are'} not in {self.path.name}: scored as having no segment",)

    def predict(self, scene: Scene) -> Prediction:
        entries = [entry for document in self._documents(scene.sample) for entry in json.loads(document)]
        if len(entries) > MOST_SEGMENTS:
            raise self._too_many(scene.sample.name)
        sizes = sorted({(entry["height"], entry["width"]) for entry in entries})
        if len(sizes) > 1:
            shown = " and ".join(f"{height} x {width}" for height, width in sizes[:2])
            raise EvaluationError(
                f"{self.path}: the masks of {scene.sample.name} are of different sizes ({shown}); write all masks of "
                "an image in one size, the photo's"
            )
        return Prediction(
            masks=tuple({"size": [entry["height"], entry["width"]], "counts": entry["counts"]} for entry in entries),
            texts=tuple(entry["text"] for entry in entries),
            scores=np.array([entry["score"] for entry in entries], np.float32),
        )

    def label_true_masks(self, scene: Scene) -> Prediction | None:
        return None

    def _documents(self, sample: Sample) -> Iterator[str]:
        for place in self._places(sample):
            yield from self._store.execute("SELECT document FROM image WHERE rowid = ?", (place,)).fetchone()

    def _places(self, sample: Sample) -> list[int]:
        """The rows of an image."""
        stem = sample.image.stem
        found = self._store.execute("SELECT path, rowid FROM image WHERE stem = ?", (stem,)).fetchall()
        whole = f"/{sample.image.as_posix()}"
        fitting = [row for row in found if whole.endswith(f"/{row[0]}")] or found
        paths = {path for path, _ in fitting}
        if len(paths) > 1:  # the longest that fits
            longest = max(paths, key=len)
            if not whole.endswith(f"/{longest}"):
                raise EvaluationError(
                    f"{self.path} has several images called {stem}: {sorted(paths)[:3]}; write their folders as the "
                    "data set has them"
                )
            fitting = [row for row in fitting if row[0] == longest]
        return sorted(place for _, place in fitting) + self._numbered(sample)

    def _numbered(self, sample: Sample) -> list[int]:
        number = _number(sample)
        if number is None:
            return []
        return [place for (place,) in self._store.execute("SELECT rowid FROM image WHERE number = ?", (number,))]

    def _check_numbers(self, samples: Sequence[Sample]) -> None:
        known: dict[int, Sample] = {}
        for sample in samples:
            number = _number(sample)
            if number is None or known.setdefault(number, sample) is sample or not self._numbered(sample):
                continue
            one, other = known[number].image.name, sample.image.name
            raise EvaluationError(
                f"{self.path}: image_id {number} may be {one} or {other}; write the files' names as image_id"
            )

    def _read(self) -> None:
        if not self.path.is_file():
            what = "a folder" if self.path.is_dir() else "not there"
            raise EvaluationError(f"the file of predictions {self.path} is {what}; {_CURE}")
        try:
            if self._is_list():
                for image, entry in self._results():
                    self._keep(image, [entry])
                read = not self.losses.unreadable  # a system may have found nothing at all
            else:
                for item in Input("coco", self.path).items(Choice(), self.losses, lambda bytes_read: None):
                    self._keep(item.file_name, self._of_item(item))
                read = False
        except ConfigError as error:
            raise EvaluationError(_with_cure(str(error))) from error
        except (ijson.JSONError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EvaluationError(_with_cure(f"{self.path} is no whole JSON ({reason}); fetch it again")) from error
        if not read and not self._store.execute("SELECT 1 FROM image").fetchone():
            why = "".join(f" ({note})" for note in self.notes[:1])
            raise EvaluationError(f"{self.path} holds no predictions that can be read{why}; {_CURE}")

    def _is_list(self) -> bool:
        with self.path.open("rb") as opened:
            _, event, _ = next(iter(ijson.parse(ShallowFile(opened, str(self.path)))))
        if event not in ("start_array", "start_map"):
            raise EvaluationError(f"{self.path} is neither a list nor an object; {_CURE}")
        return bool(event == "start_array")

    def _keep(self, image: str | int, entries: list[Entry]) -> None:
        if len(entries) > MOST_SEGMENTS:
            raise self._too_many(image)
        number, stem = (image, None) if isinstance(image, int) else (None, Path(image).stem)
        row = (number, stem, str(image), compact(entries))
        self._store.execute("INSERT INTO image VALUES (?, ?, ?, ?)", row)

    def _too_many(self, image: str | int) -> EvaluationError:
        return EvaluationError(f"{self.path}: image {image} has more than {MOST_SEGMENTS:,} segments; give the best")

    def _of_item(self, item: ImageItem) -> list[Entry]:
        entries = []
        for region in item.regions:
            text = region.caption or ", ".join(region.labels)
            if text.strip():
                entries.append(entry_of(text, region.score, region.rle))
                self._cut += len(text) > LONGEST_TEXT
                self._boxes += region.boxed
            else:
                self.losses.skip("regions without a text", f"{item.file_name}: region {region.id}")
        return entries

    def _results(self) -> Iterator[tuple[str | int, Entry]]:
        counts: Counter[str | int] = Counter()
        with self.path.open("rb") as opened:
            file = ShallowFile(opened, str(self.path))
            for number, result in enumerate(ijson.items(file, "item", use_float=True)):
                try:
                    text = result_text(result, self._names)
                    image, entry = result_image(result), result_entry(result, text)
                except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
                    self.losses.skip("results that cannot be read", f"result {number}: {error}")
                    continue
                self._cut += len(text) > LONGEST_TEXT
                counts[image] += 1
                if counts[image] > MOST_SEGMENTS:
                    raise self._too_many(image)
                yield image, entry


def file_fingerprint(path: Path) -> str:
    """12 hex digits of a file's content. EvaluationError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise EvaluationError(f"the file of predictions {path} cannot be read: {error.strerror}; {_CURE}") from error


def _number(sample: Sample) -> int | None:
    """The number an image is called by, of as many digits as there may be."""
    stem = sample.image.stem
    number = int(stem) if stem.isascii() and stem.isdecimal() else LARGEST_ID + 1
    return number if number <= LARGEST_ID else None


def _with_cure(message: str) -> str:
    """Python writes numbers that are none into JSON, where they may not be."""
    if any(word in message for word in ("NaN", "Infinity")):
        return f"{message.rpartition(';')[0]}; write null in place of NaN and Infinity, which JSON does not have"
    return message
