"""Reading what Label Studio stored: regions of a result, by their ids."""

from dataclasses import dataclass

import numpy as np

from ls_backend import brush


@dataclass(frozen=True)
class Region:
    """One region of a prediction or annotation. mask: (H, W) bool at the size it names. origin: who made it."""

    mask: np.ndarray
    label: str
    text: str | None
    origin: str | None


def regions(result):
    """The regions of a result by id. AssertionError where a mask is not one, or a text belongs to none."""
    found = {}
    texts = {entry["id"]: entry["value"]["text"] for entry in result if entry["type"] == "textarea"}
    for entry in result:
        if entry["type"] == "brushlabels":
            mask = brush.decode(entry["value"]["rle"], entry["original_height"], entry["original_width"])
            (label,) = entry["value"]["brushlabels"]
            (text,) = texts.get(entry["id"], [None])
            found[entry["id"]] = Region(mask, label, text, entry.get("origin"))
    assert set(texts) <= set(found)
    return found


def assert_masks_and_texts(result, height, width):
    """Regions with a text each, disjoint, not empty, over most of an image of that size. Returns them."""
    found = regions(result)
    masks = np.stack([region.mask for region in found.values()])
    assert masks.shape[1:] == (height, width)
    assert masks.any(axis=(1, 2)).all()
    assert masks.sum(axis=0).max() == 1
    assert masks.any(axis=0).mean() > 0.9
    assert all(region.text.strip() for region in found.values())
    return found
