"""One colour a segment: all different, and neighbours far apart, for colour-blind eyes too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Saturated enough to show on a photo at half opacity, none near black, white or grey; the first are used most.
PALETTE: Final = (
    "3d8bff", "ff9a1f", "00d9c0", "c2185b", "b4ef8c", "8e44d6", "f5d90a", "ff6b81", "8d6e00", "2fc6ff",
    "d98cd0", "009b59", "ffb3a7", "5b3df5", "d6b86b", "c03be0", "7fb800", "ff5a36", "86d8d0", "995a8c",
)  # fmt: skip

# Colours further apart than this (Oklab) all count as clearly different, so the palette's order decides among them.
FAR_APART: Final = 0.22

# Protanopia and deuteranopia in linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1.
_PROTAN: Final = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
_DEUTAN: Final = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
# Linear RGB -> cone response -> Oklab: B. Ottosson, "A perceptual color space for image processing", 2020.
_CONES: Final = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                 [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
_OKLAB: Final = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                 [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


def segment_colours(index_map: NDArray[np.int32], count: int) -> NDArray[np.uint8]:
    """(count, 3) uint8 RGB, one a segment of the (H, W) map, no two equal; the same map gives the same colours.

    Segments are coloured in order; each takes the first free colour that is far from those of the segments it touches.
    """
    touching = neighbours(index_map, count)
    choices = _palette(count)
    apart = np.minimum(_distances(choices), FAR_APART)  # (m, m)
    free = np.ones(len(choices), dtype=bool)
    taken = np.full(count, -1)
    for segment in range(count):
        around = taken[touching[segment]]
        around = around[around >= 0]
        score = apart[:, around].min(axis=1) if len(around) else np.full(len(choices), FAR_APART)
        # A round of the palette is used up before a paler or darker one begins, unless a neighbour is too alike.
        taken[segment] = int(np.where(free, score, -1.0).argmax())
        free[taken[segment]] = False
    return choices[taken]


def neighbours(index_map: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """(count, count) bool: which segments share a border (4-neighbours)."""
    touching = np.zeros((count, count), dtype=bool)
    for one, other in ((index_map[:, 1:], index_map[:, :-1]), (index_map[1:], index_map[:-1])):
        border = one != other
        touching[one[border], other[border]] = True
    return touching | touching.T


def hex_colour(colour: NDArray[np.uint8]) -> str:
    """(3,) uint8 -> "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in colour))


def _palette(count: int) -> NDArray[np.uint8]:
    """At least `count` different colours: the palette, then rounds of it mixed with white and black in turn."""
    base = np.array([list(bytes.fromhex(text)) for text in PALETTE], dtype=np.float64)
    rounds = [base]
    while len(rounds) * len(base) < count:
        number = len(rounds) + 1
        mix = 1.0 - 0.8 ** (number // 2)
        rounds.append(base + mix * ((255.0 if number % 2 == 0 else 0.0) - base))
    return _made_different(np.concatenate(rounds).round().astype(np.uint8))


def _made_different(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same colours, a repeated one moved by the smallest step of blue that makes it new."""
    seen: set[tuple[int, ...]] = set()
    for row in colours:
        while tuple(row.tolist()) in seen:
            row[2] = (int(row[2]) + 1) % 256
        seen.add(tuple(row.tolist()))
    return colours


def _distances(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(m, m) Oklab distance, the least over normal sight, protanopia and deuteranopia."""
    srgb = colours / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = []
    for sight in (np.eye(3), np.array(_PROTAN), np.array(_DEUTAN)):
        cones = np.clip(linear @ sight.T, 0.0, 1.0) @ np.array(_CONES).T
        lab = np.cbrt(cones) @ np.array(_OKLAB).T
        seen.append(np.linalg.norm(lab[:, None] - lab[None], axis=-1))
    return np.min(seen, axis=0)
