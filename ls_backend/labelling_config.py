"""What a Label Studio project asks for, read from its labelling config.

Masks need a `BrushLabels` control on an `Image`; free text needs a per-region `TextArea` on the same image. Names of
tags and attributes are read in any case, as the editor does. What a config cannot carry is said in words that name the
cure, never raised: a project may well be set up for something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import ImageColor

from zgcore.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element

LabelKind = Literal["palette", "closed"]

MAX_CHARACTERS: Final = 1_000_000
MOST_MESSAGES: Final = 10
LONGEST_NAME: Final = 60  # in a message
EXAMPLE: Final = '<BrushLabels name="mask" toName="image"><Label value="obj 1"/>...</BrushLabels>'

_SHAPES: Final = {
    "brush": "Brush",
    "bitmask": "Bitmask",
    "bitmasklabels": "BitmaskLabels",
    "rectangle": "Rectangle",
    "rectanglelabels": "RectangleLabels",
    "polygon": "Polygon",
    "polygonlabels": "PolygonLabels",
    "ellipse": "Ellipse",
    "ellipselabels": "EllipseLabels",
    "keypoint": "KeyPoint",
    "keypointlabels": "KeyPointLabels",
}
_DIGITS: Final = "0123456789"
_SEPARATORS: Final = " _#.-"
_GENERIC: Final = frozenset({"area", "instance", "item", "mask", "object", "region", "segment", "thing"})
_CATCH_ALL: Final = frozenset({"misc", "miscellaneous", "none", "other", "others", "something else", "unknown"})


@dataclass(frozen=True)
class ImageTag:
    """An `Image`. value: what it shows, such as "$image". several: a list of images (`valueList`)."""

    name: str
    value: str
    several: bool = False


@dataclass(frozen=True)
class BrushControl:
    """A `BrushLabels`. labels: what predictions call its labels (the alias where there is one).

    dynamic: where a task's data holds further ones, such as "$labels"; "" where they are all in the config.
    """

    name: str
    to_names: tuple[str, ...]
    labels: tuple[str, ...]
    dynamic: str = ""


@dataclass(frozen=True)
class TextControl:
    """A `TextArea`. when_tag: the control whose regions alone it belongs to, "" for all.

    conditional: only regions with a certain label or choice have it.
    """

    name: str
    to_names: tuple[str, ...]
    per_region: bool
    when_tag: str = ""
    conditional: bool = False


@dataclass(frozen=True)
class MaskTarget:
    """Where the masks of one image go, and their free text (None: nowhere)."""

    image: ImageTag
    brush: BrushControl
    text: TextControl | None


@dataclass(frozen=True)
class LabellingConfig:
    """One labelling config.

    targets: one for each image that can carry masks: its first `BrushLabels`, and the first `TextArea` for regions (one
        that names the `BrushLabels` as `whenTagName` goes before one for all regions).
    problems: why there is none; empty if there is one.
    hints: what works and could be better.
    """

    images: tuple[ImageTag, ...] = ()
    targets: tuple[MaskTarget, ...] = ()
    problems: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def parse_config(xml: str) -> LabellingConfig:
    """Read a labelling config. Never raises: text that is no config gives a config with problems."""
    if not xml.strip():
        return LabellingConfig(problems=("the project has no labelling config yet; set one up in its settings",))
    if len(xml) > MAX_CHARACTERS:
        return LabellingConfig(
            problems=(f"the labelling config has {len(xml):,} characters, above the limit of {MAX_CHARACTERS:,}",)
        )
    try:
        root = fromstring(xml, forbid_dtd=True)
    except ParseError as error:
        return LabellingConfig(problems=(f"the labelling config is not well-formed XML: {error}",))
    except DefusedXmlException:
        return LabellingConfig(problems=("the labelling config declares a document type or entities; take them out",))
    except ValueError:  # half of a surrogate pair has no UTF-8
        return LabellingConfig(problems=("the labelling config holds characters that are no text",))
    return _read(root)


def label_kind(labels: Sequence[str]) -> LabelKind:
    """Whether labels are names of things to choose from ("closed"), or tell instances apart and mean nothing.

    A palette is one label alone, names that differ in a number or a letter behind ("obj 1", "region-b", "7"), colours,
    or words for anything at all ("object", "region").
    """
    names = [" ".join(label.casefold().split()) for label in labels]
    if len(names) < 2 or all(name in _GENERIC for name in names) or all(name in ImageColor.colormap for name in names):
        return "palette"
    stems = {_stem(name) for name in names}
    return "palette" if len(stems) == 1 and None not in stems else "closed"


def catch_all(labels: Sequence[str]) -> str | None:
    """The label of a closed list that is meant for whatever else there is ("other", "unknown"), if it has one."""
    return next((label for label in labels if label.strip().casefold() in _CATCH_ALL), None)


def _stem(name: str) -> str | None:
    """What is left of a name without the number or the lone letter at its end; None if it ends in neither."""
    stem = name.rstrip(_DIGITS)
    if stem == name:
        if not name[-1:].isalpha() or name[-2:-1] not in ("", *_SEPARATORS):
            return None
        stem = name[:-1]
    return stem.strip(_SEPARATORS)


def _read(root: Element) -> LabellingConfig:
    tags = list(_tags(root))
    named = {image.name: image for kind, at, _ in reversed(tags) if kind == "image" and (image := _image(at))}
    images = tuple(reversed(named.values()))
    brushes = tuple(_brush(at, element) for kind, at, element in tags if kind == "brushlabels" and at.get("name"))
    texts = tuple(_text(at) for kind, at, _ in tags if kind == "textarea" and at.get("name"))
    targets = tuple(_targets(images, brushes, texts))
    kinds = [kind for kind, _, _ in tags]
    problems = () if targets else tuple(islice(_problems(kinds, images, brushes), MOST_MESSAGES))
    hints = tuple(islice(_hints(targets, texts), MOST_MESSAGES))
    return LabellingConfig(images, targets, problems, hints)


def _tags(root: Element) -> Iterator[tuple[str, dict[str, str], Element]]:
    """Every element as (tag, attributes, element), names in lower case."""
    for element in root.iter():
        if isinstance(element.tag, str):  # comments and processing instructions have functions for tags
            yield element.tag.lower(), {name.lower(): value for name, value in element.attrib.items()}, element


def _to_names(attributes: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in attributes.get("toname", "").split(",") if name.strip())


def _image(attributes: Mapping[str, str]) -> ImageTag | None:
    name = attributes.get("name", "")
    if several := attributes.get("valuelist"):
        return ImageTag(name, several, several=True) if name else None
    value = attributes.get("value")
    return ImageTag(name, value) if name and value else None


def _brush(attributes: Mapping[str, str], element: Element) -> BrushControl:
    value = attributes.get("value", "")
    labels = tuple(dict.fromkeys(_labels(element)))
    return BrushControl(attributes["name"], _to_names(attributes), labels, value if value.startswith("$") else "")


def _labels(element: Element) -> Iterator[str]:
    """What results call the labels below an element. Values taken from the task are left out."""
    for kind, attributes, _ in _tags(element):
        name = attributes.get("alias") or attributes.get("value")
        if kind == "label" and name and not name.startswith("$"):
            yield name


def _text(attributes: Mapping[str, str]) -> TextControl:
    per_region = attributes.get("perregion", "").lower() == "true"
    return TextControl(
        attributes["name"],
        _to_names(attributes),
        per_region,
        attributes.get("whentagname", ""),
        conditional=bool(attributes.get("whenlabelvalue") or attributes.get("whenchoicevalue")),
    )


def _targets(
    images: Sequence[ImageTag], brushes: Sequence[BrushControl], texts: Sequence[TextControl]
) -> Iterator[MaskTarget]:
    brush_of = {name: brush for brush in reversed(brushes) if brush.labels or brush.dynamic for name in brush.to_names}
    text_of = {  # the editor shows a field beside the regions of one image, not of several
        (text.to_names[0], text.when_tag): text
        for text in reversed(texts)
        if text.per_region and len(text.to_names) == 1 and not text.conditional
    }
    for image in images:
        brush = brush_of.get(image.name)
        if brush is not None and "{{" not in image.name:
            own, shared = (text_of.get((image.name, tag)) for tag in (brush.name, ""))
            yield MaskTarget(image, brush, own or shared)


def _problems(kinds: Sequence[str], images: Sequence[ImageTag], brushes: Sequence[BrushControl]) -> Iterator[str]:
    """Why no image can carry masks, each with its cure."""
    if not images:
        yield 'there is no image to label; add <Image name="image" value="$image"/>'
    if not brushes:
        others = list(dict.fromkeys(_SHAPES[kind] for kind in kinds if kind in _SHAPES))
        has = f"only {', '.join(others)}" if others else "no control"
        yield f"masks need a BrushLabels control and the config has {has}; add {EXAMPLE}"
    if "repeater" in kinds:
        yield 'a Repeater is not read; for several images in a task use <Image name="image" valueList="$images"/>'
        return
    names = [image.name for image in images]
    likely = [name for name in names[:LONGEST_NAME] if len(name) <= LONGEST_NAME]
    for brush in brushes:
        if names and not set(names).intersection(brush.to_names):
            wrong = _short(",".join(brush.to_names))
            right = _short(closest(wrong, likely) or names[0])
            yield f'BrushLabels "{_short(brush.name)}" has toName="{wrong}", which is no image; write toName="{right}"'
        if not (brush.labels or brush.dynamic):
            yield f'BrushLabels "{_short(brush.name)}" has no labels and would paint nothing visible; add {EXAMPLE}'


def _hints(targets: Sequence[MaskTarget], texts: Sequence[TextControl]) -> Iterator[str]:
    whole_image = {name: text for text in texts if not text.per_region for name in text.to_names}
    for target in targets:
        name = _short(target.image.name)
        if target.text is None:
            lacking = whole_image.get(target.image.name)
            cure = (
                f'add <TextArea name="caption" toName="{name}" perRegion="true" editable="true"/>'
                if lacking is None
                else f'give TextArea "{_short(lacking.name)}" perRegion="true"'
            )
            yield f'regions of image "{name}" have no text field, so their free text is only a note; {cure}'
        if target.brush.dynamic:
            field = f'"{_short(target.brush.dynamic.lstrip("$"))}"'
            effect = (
                f"labels in {field} of a task are not used, since Label Studio drops imported predictions with them "
                "where the config has labels of its own"
                if target.brush.labels
                else f"tasks without {field} get no masks; write the labels into the config, or {field} into every task"
            )
            yield f'BrushLabels "{_short(target.brush.name)}": {effect}'


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
