"""The photos that paths on the command line mean."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from zgcore.errors import ImageError
from zgcore.images import find_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def find_photos(paths: Sequence[Path], *, recursive: bool, out: Path) -> list[Path]:
    """The photos in files and folders, each once, sorted; never the run's own pictures, below `out`.

    A path that cannot be used stays in the list and fails there like any photo, unless no other is left: then its
    ImageError is raised. UsageError where folders hold no photos.
    """
    own = os.path.join(os.path.abspath(out), "")
    found: dict[str, Path] = {}
    broken: list[tuple[Path, ImageError]] = []
    for path in paths:
        try:
            photos = find_images([path], recursive=recursive)
        except ImageError as error:
            broken.append((path, error))
            continue
        found.update((os.path.abspath(photo), photo) for photo in photos)
    found = {absolute: photo for absolute, photo in found.items() if not absolute.startswith(own)}
    if not found:
        if broken:
            raise broken[0][1]
        where = ", ".join(str(path) for path in paths)
        hint = "" if recursive else "; --recursive also looks into the folders below"
        raise click.UsageError(f"no photos in {where}{hint}")
    found.update((os.path.abspath(path), path) for path, _ in broken)
    return sorted(found.values())
