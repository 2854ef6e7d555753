"""Where `zeroguide vocab` takes its texts from: results of a run, COCO, Label Studio's tasks, or a plain list."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ls_backend.exports.choose import Choice
from ls_backend.exports.inputs import open_input, photo_path
from ls_backend.exports.losses import Losses
from ls_backend.exports.task_texts import with_raw
from ls_backend.labelling_config import label_kind
from ls_backend.record import ImageRecord, RecordError
from ls_backend.run_folder import read_embeddings
from zgcore.errors import ConfigError
from zgcore.vocabulary.uses import LabelUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ls_backend.exports.items import ImageItem
    from ls_backend.exports.rle import Rle

LISTS: Final = (".txt", ".csv", ".tsv")
TEXT_COLUMNS: Final = ("text", "label", "caption", "name", "category")
KEPT_EMBEDDINGS: Final = 64  # a text: enough for its mean and for two looks, and memory stays bounded
KEPT_SAMPLES: Final = 4


@dataclass(frozen=True)
class Sample:
    """One segment to show. photo: its file, None where it is not on this machine."""

    rle: Rle
    photo: Path | None


@dataclass
class Texts:
    """What was found. samples: some segments of each text. images: how many were read.

    by_control: of regions without free text, the labels of each control, until all of them are known.
    """

    counts: Counter[str] = field(default_factory=Counter)
    embeddings: dict[str, list[NDArray[np.float32]]] = field(default_factory=lambda: defaultdict(list))
    samples: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    losses: Losses = field(default_factory=Losses)
    images: int = 0
    by_control: dict[str, Texts] = field(default_factory=dict)

    def see(self, item: ImageItem, photos: Path | None) -> None:
        """Count an image's regions, and keep some of them. A region is named by its free text, else by its label."""
        self.images += 1
        photo = Path(item.path) if item.path else photo_path(item, photos)
        for region in map(with_raw, item.regions):
            sample = Sample(region.rle, photo)
            if region.texts:
                self._add(tidy(region.caption), sample)
            elif region.labels:
                self.by_control.setdefault(region.control, Texts())._add(tidy(region.labels[0]), sample)

    def settle(self) -> None:
        """Take the labels of those controls where they are names of things, and not a palette ("obj 1", "obj 2")."""
        for labelled in self.by_control.values():
            if label_kind(sorted(labelled.counts)) == "closed":
                self.counts.update(labelled.counts)
                for text, samples in labelled.samples.items():
                    self.samples[text] = [*self.samples[text], *samples][:KEPT_SAMPLES]
        self.by_control.clear()

    def uses(self) -> list[LabelUse]:
        """As the builder takes them."""
        return [
            LabelUse(text, count, np.stack(self.embeddings[text]) if text in self.embeddings else None)
            for text, count in self.counts.items()
        ]

    def _add(self, text: str, sample: Sample) -> None:
        self.counts[text] += 1
        if len(self.samples[text]) < KEPT_SAMPLES and sample.rle.area:
            self.samples[text].append(sample)


def tidy(text: str) -> str:
    """A text in one line. Halves of characters, which JSON can hold and no file can, are replaced."""
    return " ".join(text.split()).encode("utf-8", "replace").decode()


def read_texts(source: Path, photos: Path | None, sources: str, tick: Callable[[], None]) -> Texts:
    """The texts of an input. photos: folder with the photos, for pictures. tick: called once an image.

    sources: of Label Studio's tasks, "annotations", "predictions" or "both". Raises ConfigError where the input is none
    that can be read, or holds no text.
    """
    texts = Texts()
    if source.suffix.lower() in LISTS and not source.is_dir():
        texts.counts.update(read_list(source))
    else:
        opened = open_input(source)
        choice = Choice(sources) if opened.kind == "tasks" else Choice()  # type: ignore[arg-type]
        for item in opened.items(choice, texts.losses, lambda _: None):
            texts.see(item, photos)
            tick()
        texts.settle()
        if opened.kind == "run":
            _read_embeddings(source, texts)
    if not texts.counts:
        hint = "; --source both also reads predictions" if sources == "annotations" else ""
        raise ConfigError(f"{source} holds no label{hint}")
    return texts


def read_list(path: Path) -> Counter[str]:
    """A text file with one label a line, or a table with a column of labels and perhaps one called count.

    Equal labels add up. Raises ConfigError where the file cannot be read as such.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".txt":
                return Counter(line.strip() for line in file if line.strip())
            return _read_table(path, list(csv.reader(file, "excel-tab" if path.suffix.lower() == ".tsv" else "excel")))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise ConfigError(f"{path} is no table: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_table(path: Path, rows: list[list[str]]) -> Counter[str]:
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    at = next((header.index(name) for name in TEXT_COLUMNS if name in header), None)
    count_at = header.index("count") if at is not None and "count" in header else None
    found: Counter[str] = Counter()
    for number, row in enumerate(rows[0 if at is None else 1 :], start=1 if at is None else 2):
        if len(row) <= (at or 0) or not row[at or 0].strip():
            continue
        count = row[count_at].strip() if count_at is not None and len(row) > count_at else "1"
        if not count.isdecimal():
            raise ConfigError(f"{path}, line {number}: count is a whole number, not {count!r}")
        found[row[at or 0].strip()] += int(count)
    return found


def _read_embeddings(folder: Path, texts: Texts) -> None:
    """The segments' embeddings of a run; the first so many of each text, in the order of the images' names."""
    for record, embeddings in run_embeddings(folder):
        for segment, row in zip(record.segments, embeddings, strict=True):
            text = tidy(segment.label)
            if text in texts.counts and len(texts.embeddings[text]) < KEPT_EMBEDDINGS:
                texts.embeddings[text].append(row)


def run_embeddings(folder: Path) -> Iterator[tuple[ImageRecord, NDArray[np.float32]]]:
    """The records of a run with their (n, d) embeddings; those without, or with damaged ones, are left out."""
    for path in sorted((folder / "results").glob("*.json")):
        try:
            record = ImageRecord.from_json(path.read_bytes())
        except (OSError, RecordError):
            continue
        embeddings = read_embeddings(path.with_suffix(".npz"))
        if (
            embeddings is not None
            and record.segments
            and len(embeddings) == len(record.segments)
            and np.isfinite(embeddings).all()
        ):
            yield record, embeddings
