"""The nearest clusters under Ward's distance, by matrix products with a rigorous bound.

Single-precision products are fast and inexact. Lowered by the most they can be wrong, each is a lower bound of a
distance: a row's smallest ones are a list of clusters outside which nothing is nearer than the next bound.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from zgcore.forest import Forest

    Listed = tuple[Tensor, Tensor, Tensor, Tensor]  # rows (r,), then of each: slots (r, k), bounds (r, k), radius (r,)

BLOCK_BYTES = {"cpu": 24 << 20, "cuda": 512 << 20}  # of one block of distances; on a CPU it should stay in the cache
MIN_BLOCK_ROWS = 128  # fewer rows make slow matrix products
EPS32 = 2.0**-24
ABSOLUTE = 1e-20  # error of a product form near the origin, coordinates within [-1, 1]: underflow and centring
ROUNDING = 1e-12  # relative error of distances from float64 differences, generously


def error_bound(c: int) -> float:
    """b such that |float32 product form - true| <= b (|x|^2 + |y|^2), for ||x - y||^2 in c dimensions.

    gamma_k = k u / (1 - k u) bounds a sum of k rounded products in any order (Higham 2002, section 3.1); 32 more
    terms cover the rounding of inputs, norms and weights. |x - y|^2's terms add up to at most 2 (|x|^2 + |y|^2).
    """
    k = (c + 32) * EPS32
    return 2 * k / (1 - k)


def product_columns(centred: Tensor) -> Tensor:
    """(m, c) float64 -> (m, c + 2) float32: the vector, its squared norm lowered by the error bound, and 1."""
    m, c = centred.shape
    columns = torch.ones((m, c + 2), dtype=torch.float32, device=centred.device)
    columns[:, :c] = centred
    columns[:, c] = centred.square().sum(1) * (1 - error_bound(c)) - ABSOLUTE
    return columns


def list_by_products(forest: Forest, rows: Tensor, live: Tensor, k: int) -> Iterator[Listed]:
    """The k clusters of smallest lower bound of each of `rows`, in blocks. rows, live: slots; rows among the live.

    Distances are half the squared Ward heights, times two: L <= |a||b| / (|a| + |b|) ||mean a - mean b||^2 * 2.
    """
    m = len(live)
    size = max(1, isqrt(m // (k + 1)))  # of a group, see `smallest`
    padded = -(-m // size) * size
    columns = torch.zeros((padded, forest.columns.shape[1]), dtype=torch.float32, device=rows.device)
    torch.index_select(forest.columns, 0, live, out=columns[:m])
    inverse = torch.ones(padded, dtype=torch.float32, device=rows.device)
    inverse[:m] = 0.5 / forest.weights[live]
    uniform = bool((inverse[:m] == 0.5).all())  # every weight factor is 1: the first round, most often
    place = torch.empty(forest.slots, dtype=torch.int64, device=rows.device)
    place[live] = torch.arange(m, device=rows.device)
    step = max(MIN_BLOCK_ROWS, BLOCK_BYTES[rows.device.type] // (4 * padded))
    for part in rows.split(step):
        own = place[part]
        lower = _product(_operand(columns[own]), columns)  # (r, padded)
        if not uniform:
            lower /= inverse[own, None] + inverse
        lower[torch.arange(len(part), device=part.device), own] = torch.inf
        lower[:, m:] = torch.inf  # padding
        yield part, *_listed(lower, live, k, size)


def _operand(columns: Tensor) -> Tensor:
    """The other side of the product form |x|^2 + |y|^2 - 2 x y: [-2 vector, 1, norm]."""
    return torch.cat([columns[:, :-2] * -2, columns[:, -1:], columns[:, -2:-1]], dim=1)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """one @ other.T. On a CPU by numpy, whose OpenBLAS is nearly twice as fast as torch's MKL on AMD processors."""
    if one.device.type != "cpu":
        return one @ other.T
    return torch.from_numpy(one.numpy() @ other.numpy().T)


def _listed(bounds: Tensor, live: Tensor, k: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Slots (r, k), bounds (r, k) and radius (r,), float64, of (r, padded) bounds; infinite where there are too few."""
    values, index = smallest(bounds, k + 1, size)
    slots = live[index[:, :k].clamp(max=len(live) - 1)]
    values = values.double()
    return slots, values[:, :k], values[:, k]


def smallest(values: Tensor, k: int, size: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, ascending, and where they are; padded with infinity where a row is shorter.

    values: (r, w), w a multiple of `size`. The k smallest lie in the k groups of `size` values with the smallest
    minima, which spares selecting from whole rows. Minima along strides are several times faster than along rows.
    """
    groups = values.shape[1] // size
    where = None
    if groups > k:
        minima = values.unflatten(1, (size, groups)).amin(1)  # group g: columns g, g + groups, ...
        chosen = minima.topk(k, largest=False, sorted=False).indices
        members = torch.arange(0, values.shape[1], groups, device=values.device)
        where = (members[:, None] + chosen[:, None, :]).flatten(1)  # (r, size * k)
        values = values.gather(1, where)
    found, index = values.topk(min(k, values.shape[1]), largest=False)
    index = index if where is None else where.gather(1, index)
    missing = (0, k - found.shape[1])
    return torch.nn.functional.pad(found, missing, value=torch.inf), torch.nn.functional.pad(index, missing)


def list_by_differences(forest: Forest, rows: Tensor, live: Tensor, k: int) -> Iterator[Listed]:
    """As `list_by_products`, from float64 differences, whose error is relative to the distance.

    Slower. Needed where clusters are so much closer to each other than to the origin that products cannot tell them
    apart. The bounds and the radius are right but for rounding, so the first of a list is always proven.
    """
    centroids, inverse = forest.centroids[live], 0.5 / forest.weights[live]
    place = torch.empty(forest.slots, dtype=torch.int64, device=rows.device)
    place[live] = torch.arange(len(live), device=rows.device)
    for part in rows.split(max(1, BLOCK_BYTES[rows.device.type] // (8 * len(live)))):
        own = place[part]
        far = torch.cdist(centroids[own], centroids, compute_mode="donot_use_mm_for_euclid_dist").square_()
        far /= inverse[own, None] + inverse
        far[torch.arange(len(part), device=part.device), own] = torch.inf
        slots, bounds, radius = _listed(far, live, k, 1)
        yield part, slots, bounds * (1 - ROUNDING), radius * (1 + ROUNDING)
