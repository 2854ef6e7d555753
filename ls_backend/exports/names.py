"""File names out of what tasks hold: nothing that leaves its folder, nothing two images share."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PART: Final = 150  # bytes
_UNSAFE: Final = re.compile(r"[^\w.\- ]+")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_PICTURE: Final = re.compile(r"\.(jpe?g|png|webp|tiff?|bmp|gif|svg)$", re.IGNORECASE)
_KEYS: Final = ("file_name", "image", "img", "image_url", "url", "photo", "picture", "captioning", "ocr")


def image_name(data: Mapping[str, Any], to_name: str, item: int | None) -> str:
    """The relative file name of a task's image, "" where its data names none.

    to_name: the tag its regions are on. item: its number in a list of images. Our own `file_name` goes first, then
    what stands under the tag's name or a usual one, then any text that ends like a picture.
    """
    for key in dict.fromkeys((_KEYS[0], to_name, f"{to_name}s", *_KEYS[1:], *data)):
        value = data.get(key)
        if isinstance(value, list) and item is not None and 0 <= item < len(value):
            value = value[item]
        if not isinstance(value, str):
            continue
        name = reference_name(value)
        if name and (key in _KEYS or key.startswith(to_name) or _PICTURE.search(name)):
            return name
    return ""


def reference_name(reference: str) -> str:
    """The path that a reference names: below the document root for local files, below the bucket or host for others,
    and the bare name for Label Studio's own uploads. "" for data URIs and what has no name."""
    if reference[:5].lower() == "data:":
        return ""
    try:
        url = urlsplit(reference.strip())
        local = parse_qs(url.query).get("d", [""])[0] if url.path.endswith("/local-files/") else ""
    except ValueError:  # an address no URL can have, or too many fields
        return ""
    path = local or (unquote(url.path) if url.scheme or url.netloc else unquote(reference.partition("?")[0]))
    if "/data/upload/" in path:
        path = path.rpartition("/")[2]
    return relative_path(path)


def relative_path(path: str) -> str:
    """A path that stays below its folder, on any system: no root, no drive, no "..", no control characters."""
    parts = path.replace("\\", "/").split("/")
    kept = ("".join(char for char in part if char.isprintable()).strip() for part in parts)
    return "/".join(part for part in kept if part not in ("", ".", "..") and not _DRIVE.fullmatch(part))


class OutputNames:
    """Gives each image the path of its file in an export: its own path with another ending.

    Characters that some system refuses become "_"; a path that another image has, also in another case, gets the
    image's number behind it.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self.changed = 0

    def __call__(self, file_name: str, number: int, suffix: str) -> str:
        """The path for image `number`, with `suffix` such as ".png". Counts in `changed` where it differs."""
        wanted = str(PurePosixPath(file_name).with_suffix("")) if file_name else f"image-{number}"
        parts = [_safe(part) for part in wanted.split("/")]
        name = "/".join(part for part in parts if part) or f"image-{number}"
        while name.casefold() in self._taken:
            name = f"{name}-{number}"
        self._taken.add(name.casefold())
        self.changed += name != wanted
        return name + suffix


def _safe(part: str) -> str:
    clean = _UNSAFE.sub("_", part).encode()[:LONGEST_PART].decode("utf-8", "ignore").strip(". ")
    return f"_{clean}" if _RESERVED.match(clean) else clean
