"""vocabulary.yaml: written for people, read with care.

Every value is read as text (`no`, `1` and `~` are labels like others), nothing is ever constructed but texts, lists and
mappings, and what people wrote in `decisions` comes back byte for byte, comments included, when the file is made again.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from zgcore.vocabulary.decisions import Decisions
from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.labels import Label, Member
from zgcore.vocabulary.vocabulary import Vocabulary, digest, packed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = "1"
LARGEST = 256 * 2**20  # bytes
DEEPEST = 12
MADE = "# ---- everything below is made again by `zeroguide vocab build`; put your wishes above ----"
HEAD = """\
# A vocabulary of zeroguide: which label each free text means. `zeroguide vocab --help` tells what to do with it.
"""
NO_DECISIONS = """\
decisions:
  # Your own, in the forms shown. They win over everything, at once, and stay when the file is built again.
  # keep: [polar bear]                      stays a label of its own
  # merge: {sofa: [couch, settee]}          these texts, or labels, are sofa
  # rename: {motor car: car}                the label is called car
  # split: [[cup, glass], [car, truck]]     no two of a list share a label
  # drop: [thing]                           means nothing
"""
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PLAIN_TAGS = frozenset(["!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))])
_SURROGATE = re.compile("[\ud800-\udfff]")  # halves of characters, which JSON can hold and UTF-8 cannot


class _Row(dict):
    """A mapping that is written on one line."""


class _Words(list):
    """A list that is written on one line."""


class _Dumper(_DUMPER):  # type: ignore[misc, valid-type]
    pass


def _represent_row(dumper: Any, row: _Row) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", row, flow_style=True)


def _represent_words(dumper: Any, words: _Words) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", words, flow_style=True)


_Dumper.add_representer(_Row, _represent_row)
_Dumper.add_representer(_Words, _represent_words)


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of a file, its decisions laid over its labels. VocabularyError where that cannot be."""
    built, decisions = read_built(path)
    try:
        return built.decided(decisions)
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from None


def read_built(path: Path) -> tuple[Vocabulary, Decisions]:
    """The vocabulary as the last build left it, and the decisions that stand in the file now.

    Of the decisions of that build, which people may have changed since, the first has none but to drop what it dropped:
    all others are in its labels. VocabularyError as above.
    """
    document = _read(path)
    try:
        labels, dropped = _labels(document, "labels"), _labels(document, "dropped")
        decisions = Decisions.from_document(document.get("decisions"))
        made_by = {key: str(value) for key, value in _mapping(document.get("made_by", {}), "made_by").items()}
        return Vocabulary(labels, dropped, Decisions(drop=tuple(label.name for label in dropped)), made_by), decisions
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from None


def edited_below(path: Path) -> bool:
    """True where somebody changed the labels themselves, which a rebuild would undo. VocabularyError as above."""
    document = _read(path)
    return bool(document.get("version") != digest(_labels(document, "labels"), _labels(document, "dropped")))


def read_decisions_text(path: Path) -> str:
    """The `decisions` of a file as they stand there, with their comments; those of a new file where there are none."""
    text = _text(path)
    start = end = None
    for key, _ in _root(path, text).value:
        if start is not None:
            end = key.start_mark.line
            break
        if key.value == "decisions":
            start = key.start_mark.line
    if start is None:
        return NO_DECISIONS
    block = "\n".join(text.splitlines()[start:end])
    return block.partition(MADE)[0].rstrip() + "\n"


def vocabulary_text(vocabulary: Vocabulary, decisions_text: str | None = None) -> str:
    """The file. decisions_text: the block as people wrote it; made of the decisions where it is not given."""
    if decisions_text is None:
        document = vocabulary.decisions.to_document()
        decisions_text = _dump({"decisions": document}) if document else NO_DECISIONS
    body: dict[str, Any] = {"format": int(FORMAT), "version": vocabulary.version, "made_by": dict(vocabulary.made_by)}
    body["labels"] = [_label_document(label) for label in vocabulary.labels]
    if vocabulary.dropped:
        body["dropped"] = [_label_document(label) for label in vocabulary.dropped]
    return f"{HEAD}{decisions_text}\n{MADE}\n{_dump(body)}"


def _dump(document: dict[str, Any]) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return str(text)


def _label_document(label: Label) -> dict[str, Any]:
    document: dict[str, Any] = {"name": label.name, "count": label.count}
    if label.parents:
        document["parents"] = _Words(label.parents)
    if label.flags:
        document["flags"] = _Words(label.flags)
    document["members"] = [_member_document(member) for member in label.members]
    return document


def _member_document(member: Member) -> _Row:
    row = _Row(text=_SURROGATE.sub("\ufffd", member.text), count=member.count)
    if member.why:
        row.update(why=member.why, confidence=round(member.confidence, 3))
    if member.centre is not None:
        row["centre"] = base64.b64encode(packed(member.centre)).decode("ascii")
    return row


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise VocabularyError(f"{path} is larger than {LARGEST >> 20} MiB, which no vocabulary is")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise VocabularyError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        hint = "make one with `zeroguide vocab build`"
        raise VocabularyError(f"cannot read {path}: {error.strerror or error}; {hint}") from None


def _root(path: Path, text: str) -> yaml.MappingNode:
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        raise VocabularyError(f"{path} is not YAML: {_where(error)}") from None
    if not isinstance(node, yaml.MappingNode):
        raise VocabularyError(f"{path} is no vocabulary; make one with `zeroguide vocab build`")
    return node


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return problem if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _read(path: Path) -> dict[str, Any]:
    root = _root(path, _text(path))
    try:
        document = _plain(root, set(), 0)
        if document.get("format") != FORMAT:
            raise VocabularyError(
                f"it has format {document.get('format', 'none')}, this version of zeroguide reads {FORMAT}; "
                "a vocabulary is made with `zeroguide vocab build`"
            )
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from None
    return document


def _plain(node: yaml.Node, seen: set[int], depth: int) -> Any:
    """Texts, lists and mappings. Aliases, tags, doubled keys and deep nests have no place in a vocabulary."""
    line = f"line {node.start_mark.line + 1}"
    if id(node) in seen:
        raise VocabularyError(f"{line}: YAML aliases (*name) are not allowed; write the value again")
    if depth > DEEPEST:
        raise VocabularyError(f"{line}: nested too deeply")
    if node.tag is not None and node.tag not in _PLAIN_TAGS:
        raise VocabularyError(f"{line}: the tag {node.tag} is not allowed; take it out")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, seen, depth + 1) for item in node.value]
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = _plain(key, seen, depth + 1)
        if not isinstance(name, str):
            raise VocabularyError(f"line {key.start_mark.line + 1}: a key is a text")
        if name in found:
            raise VocabularyError(f'line {key.start_mark.line + 1}: "{name}" is here twice; put both into one')
        found[name] = _plain(value, seen, depth + 1)
    return found


def _mapping(value: object, where: str) -> dict[str, Any]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise VocabularyError(f"{where} is a mapping")
    return value


def _list(value: object, where: str) -> list[Any]:
    if value in (None, ""):
        return []
    if not isinstance(value, list):
        raise VocabularyError(f"{where} is a list")
    return value


def _labels(document: dict[str, Any], key: str) -> tuple[Label, ...]:
    labels = []
    for number, entry in enumerate(_list(document.get(key), key), start=1):
        entry = _mapping(entry, f"label {number}")
        name = _name(entry.get("name"), f"label {number}: name")
        lists = {part: tuple(_name(text, f"{name}: {part}") for text in _list(entry.get(part), f"{name}: {part}"))
                 for part in ("parents", "flags")}  # fmt: skip
        members = _members(entry, "members", name) or [Member(name, 0)]  # written by hand: a bare name means itself
        labels.append(Label(name, tuple(members), lists["parents"], lists["flags"]))
    return tuple(labels)


def _members(entry: dict[str, Any], key: str, where: str) -> list[Member]:
    found = []
    for row in _list(entry.get(key), f"{where}: {key}"):
        if isinstance(row, str):  # written by hand: a bare text
            row = {"text": row}
        row = _mapping(row, f"{where}: a member")
        text = row.get("text")
        if not isinstance(text, str):
            raise VocabularyError(f"{where}: a member has no text")
        place = f'{where}: "{text}"'
        count = _number(row.get("count", "1"), f"{place}: count")
        confidence = _number(row.get("confidence", "1"), f"{place}: confidence")
        if count < 0 or count != int(count) or not 0 <= confidence <= 1:
            raise VocabularyError(f"{place}: count is a whole number from 0, confidence lies between 0 and 1")
        found.append(Member(text, int(count), str(row.get("why", "")), confidence, _centre(row.get("centre"), place)))
    return found


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise VocabularyError(f"{where} is a text")
    return value


def _number(value: object, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise VocabularyError(f"{where} is a number, not {value!r}")
    return number


def _centre(value: object, where: str) -> NDArray[np.float32] | None:
    if value in (None, ""):
        return None
    try:
        raw = np.frombuffer(base64.b64decode(str(value), validate=True), dtype="<f2")
    except (binascii.Error, ValueError):
        raise VocabularyError(f"{where}: centre is not base64 of 16-bit numbers; build the vocabulary again") from None
    if not np.isfinite(raw).all():
        raise VocabularyError(f"{where}: centre holds numbers that are not finite; build the vocabulary again")
    return raw.astype(np.float32)
