"""A vocabulary put to files: canonical names in, the raw text kept beside, so that another version can be put later."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ls_backend.exports import compact, json_list
from ls_backend.exports.table import cell
from ls_backend.files import atomic_write
from ls_backend.vocab_inputs import LISTS, read_list, run_embeddings, tidy
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from zgcore.vocabulary import Vocabulary

RAW: Final = "raw_text"  # in a Label Studio region's `meta`


@dataclass
class Applied:
    """What was done. dropped: segments left out. unknown, ambiguous: texts that stay as they are, with their counts."""

    segments: int = 0
    dropped: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    ambiguous: Counter[str] = field(default_factory=Counter)

    def name(self, vocabulary: Vocabulary, text: str, embedding: NDArray | None = None) -> str | None:
        """The label of one segment's text, counted."""
        found = vocabulary.resolve(text, embedding)
        self.segments += 1
        self.dropped += found.name is None
        if not found.known:
            self.unknown[text] += 1
        if found.ambiguous:
            self.ambiguous[text] += 1
        return found.name

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "segments": self.segments,
            "dropped": self.dropped,
            "unknown": dict(self.unknown.most_common()),
            "ambiguous": dict(self.ambiguous.most_common()),
        }


def apply(vocabulary: Vocabulary, source: Path, out: Path) -> Applied:
    """Write `source` with canonical names to `out`: COCO to COCO, tasks to tasks, a run to COCO, a list to CSV.

    Raises ConfigError where the source cannot be read, OutputError where `out` cannot be written.
    """
    applied = Applied()
    if source.is_dir():
        document = _load(source / "annotations.json")
        text = compact(coco(document, vocabulary, applied, _run_lookup(source)))
    elif source.suffix.lower() in LISTS:
        text = _list_csv(read_list(source), vocabulary, applied)
    else:
        document = _load(source)
        if isinstance(document, list):
            text = "".join(json_list(compact(task(one, vocabulary, applied)) for one in document)) + "\n"
        else:
            text = compact(coco(document, vocabulary, applied, lambda *_: None))
    with atomic_write(out) as handle:
        handle.write(text.encode())
    return applied


def coco(
    document: Any,
    vocabulary: Vocabulary,
    applied: Applied,
    embedding_of: Callable[[str, dict[str, Any]], NDArray | None],
) -> dict[str, Any]:
    """A COCO document whose categories are the labels in use, numbered by name; the raw text is each caption.

    Annotations whose text is dropped are left out. embedding_of: (file name, annotation) -> embedding or None.
    ConfigError where the document is no COCO.
    """
    try:
        names = {category["id"]: str(category["name"]) for category in document.get("categories", ())}
        files = {image["id"]: str(image.get("file_name", "")) for image in document["images"]}
        kept = []
        for annotation in document["annotations"]:
            raw = annotation.get("caption") or names.get(annotation.get("category_id"), "")
            embedding = embedding_of(files.get(annotation.get("image_id"), ""), annotation)
            name = applied.name(vocabulary, tidy(str(raw)), embedding)
            if name is not None:
                kept.append(({**annotation, "caption": raw}, name))
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"this is no COCO document of instances ({error!r})") from None
    numbers = {name: number for number, name in enumerate(sorted({name for _, name in kept}), start=1)}
    parents = {label.name: next(iter(label.parents), "") for label in vocabulary.labels}
    return {
        **document,
        "info": {**(document.get("info") or {}), "vocabulary": vocabulary.version},
        "categories": [
            {"id": number, "name": name, "supercategory": parents.get(name, "")} for name, number in numbers.items()
        ],
        "annotations": [{**annotation, "category_id": numbers[name]} for annotation, name in kept],
    }


def task(document: Any, vocabulary: Vocabulary, applied: Applied) -> Any:
    """A Label Studio task whose regions' free texts are labels; the raw text is in each entry's `meta.raw_text`.

    A region whose every text is dropped keeps its mask and loses its text. Texts that were labels already are made
    again from the raw text. ConfigError where the task is none.
    """
    if not isinstance(document, dict):
        raise ConfigError("a task is an object; export the project from Label Studio as JSON")
    found = dict(document)
    for kind in ("annotations", "predictions"):
        results = found.get(kind)
        if isinstance(results, list):
            found[kind] = [_result(result, vocabulary, applied) for result in results]
    return found


def _result(result: Any, vocabulary: Vocabulary, applied: Applied) -> Any:
    if not isinstance(result, dict) or not isinstance(result.get("result"), list):
        return result
    entries = [_entry(entry, vocabulary, applied) for entry in result["result"]]
    return {**result, "result": [entry for entry in entries if entry is not None]}


def _entry(entry: Any, vocabulary: Vocabulary, applied: Applied) -> Any:
    value = entry.get("value") if isinstance(entry, dict) else None
    is_region = isinstance(entry, dict) and entry.get("type") == "textarea" and "original_width" in entry
    if not is_region or not isinstance(value, dict) or "text" not in value:
        return entry
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    given = value["text"] if isinstance(value["text"], list) else [value["text"]]
    raw = meta.get(RAW, given)
    names = [applied.name(vocabulary, tidy(text)) for text in raw if isinstance(text, str)]
    kept = [name for name in dict.fromkeys(names) if name is not None]
    return {**entry, "value": {**value, "text": kept}, "meta": {**meta, RAW: raw}} if kept else None


def _list_csv(counts: Counter[str], vocabulary: Vocabulary, applied: Applied) -> str:
    out = io.StringIO()
    writer, guarded = csv.writer(out, lineterminator="\n"), Counter[str]()
    writer.writerow(["text", "count", "label", "known"])
    for text, count in counts.items():
        found = vocabulary.resolve(text)
        applied.name(vocabulary, text)
        row = (text, count, found.name, "yes" if found.known else "no")
        writer.writerow([cell(value, guarded) for value in row])
    return out.getvalue()


def _run_lookup(folder: Path) -> Callable[[str, dict[str, Any]], NDArray | None]:
    """Finds the embedding of a run's annotation by its photo and its number in the segment tree."""
    rows: dict[str, list[tuple[str, NDArray]]] = defaultdict(list)
    for record, embeddings in run_embeddings(folder):
        path = Path(record.source.path).as_posix()
        for segment, embedding in zip(record.segments, embeddings, strict=True):
            rows[segment.node].append((path, embedding))

    def find(file_name: str, annotation: dict[str, Any]) -> NDArray | None:
        here = [row for path, row in rows.get(str(annotation.get("node")), ()) if f"/{path}".endswith(f"/{file_name}")]
        return here[0] if len(here) == 1 else None

    return find


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        hint = "; make it with: zeroguide label --format coco" if path.name == "annotations.json" else ""
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}{hint}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is no JSON") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
