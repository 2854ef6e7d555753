"""Nearest neighbours under Ward's distance: which clusters can be the nearest, by products with a rigorous bound.

Single-precision matrix products are fast and inexact. Each gives a lower bound of a distance, and an upper bound of
every row's smallest; pairs whose lower bound exceeds it are out. What remains is few, and left to exact evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from zgcore.ward import Forest

BLOCK_BYTES = {"cpu": 24 << 20, "cuda": 512 << 20}  # of one block of distances; on a CPU it should stay in the cache
MIN_BLOCK_ROWS = 128  # fewer rows make slow matrix products
STUCK_CANDIDATES = 64  # a row with more than so many possible neighbours is screened again by differences
EPS32 = 2.0**-24
ABSOLUTE = 1e-20  # error of a product form near the origin, coordinates within [-1, 1]: underflow and centring


def error_bound(c: int) -> float:
    """b such that |float32 product form - true| <= b (|x|^2 + |y|^2), for ||x - y||^2 in c dimensions.

    gamma_k = k u / (1 - k u) bounds a sum of k rounded products in any order (Higham 2002, section 3.1); 32 more
    terms cover the rounding of inputs, norms and weights. |x - y|^2's terms add up to at most 2 (|x|^2 + |y|^2).
    """
    k = (c + 32) * EPS32
    return 2 * k / (1 - k)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """one @ other.T. On a CPU by numpy, whose OpenBLAS is nearly twice as fast as torch's MKL on AMD processors."""
    if one.device.type != "cpu":
        return one @ other.T
    return torch.from_numpy(one.numpy() @ other.numpy().T)


class Screen:
    """Which clusters can be the nearest of the given ones, by lower bounds from float32 matrix products.

    Where most clusters ask, a block's distances serve both its rows and its columns, which halves the products.
    Distances are half the squared Ward heights, times two: L <= |a||b| / (|a| + |b|) ||mean a - mean b||^2 * 2.
    """

    def __init__(self, forest: Forest, rows: Tensor, live: Tensor) -> None:
        self.forest, self.rows = forest, rows
        self.symmetric = 4 * len(rows) > len(live)
        if self.symmetric:
            asks = torch.zeros(forest.used, dtype=torch.bool, device=rows.device)
            asks[rows] = True
            self.slots = torch.cat([rows, live[~asks[live]]])  # the asking ones first
            self.columns = forest.columns[self.slots]
        else:
            self.slots = torch.arange(forest.used, device=rows.device)
            self.columns = forest.columns[: forest.used]
        weights = forest.weights[self.slots]
        self.uniform = bool((weights == 1).all())  # every weight factor is 1: the first round, most often
        self.inverse = (0.5 / weights).float()
        self.upper = torch.full((len(rows),), torch.inf, device=rows.device)  # no nearest neighbour is farther
        self.stuck = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []  # row, column, lower bound

    def candidates(self) -> tuple[Tensor, Tensor]:
        """Pairs (row number, slot) among which is every row's nearest neighbour."""
        width = len(self.slots)
        step = max(MIN_BLOCK_ROWS, BLOCK_BYTES[self.rows.device.type] // (4 * width))
        for start in range(0, len(self.rows), step):
            self._screen_block(start, min(start + step, len(self.rows)))
        row, column, lower = (torch.cat(part) for part in zip(*self.found, strict=True))
        keep = lower <= self.upper[row]
        row, column = row[keep], column[keep]
        self.stuck |= row.bincount(minlength=len(self.rows)) > STUCK_CANDIDATES
        if not bool(self.stuck.any()):
            return row, self.slots[column]
        keep = ~self.stuck[row]
        more = self._by_differences(self.stuck.nonzero()[:, 0])
        return torch.cat([row[keep], more[0]]), self.slots[torch.cat([column[keep], more[1]])]

    def _screen_block(self, start: int, stop: int) -> None:
        rows = torch.arange(start, stop, device=self.rows.device)
        left = start if self.symmetric else 0  # columns further left have served these rows already
        own = rows if self.symmetric else self.rows[start:stop]
        lower = self._lower_bounds(own, left)  # (rows, columns from `left` on)
        lower[rows - start, own - left] = torch.inf
        self._collect(lower, rows, own, left)
        if self.symmetric and stop < len(self.rows):
            below = torch.arange(stop, len(self.rows), device=self.rows.device)
            self._collect(lower[:, stop - start : len(self.rows) - start], below, below, start, dim=0)

    def _lower_bounds(self, own: Tensor, left: int) -> Tensor:
        part = self.columns[own]
        operand = torch.cat([part[:, :-2] * -2, part[:, -1:], part[:, -2:-1]], dim=1)  # [-2 centroid, 1, norm]
        lower = _product(operand, self.columns[left:])
        if not self.uniform:
            lower /= self.inverse[own, None] + self.inverse[left:]
        return lower

    def _collect(self, lower: Tensor, rows: Tensor, own: Tensor, left: int, dim: int = 1) -> None:
        """Tighten `upper` of `rows` by a block of bounds to the columns from `left` on, and keep what lies under it.

        own: the rows' positions among the columns. dim: the axis along which the columns run.
        """
        smallest, at = lower.min(dim=dim)
        norms = self.columns[own, -2] + self.columns[left + at, -2]
        slack = 2 * error_bound(self.columns.shape[1] - 2) * norms.clamp(min=0) + 8 * ABSOLUTE
        if not self.uniform:
            slack /= self.inverse[own] + self.inverse[left + at]
        upper = torch.minimum(self.upper[rows], (smallest + slack) * (1 + 4 * EPS32) + 8 * ABSOLUTE)
        upper[self.stuck[rows]] = -torch.inf
        self.upper[rows] = upper
        places = (lower <= upper.unsqueeze(dim)).nonzero()
        row, column, bounds = places[:, 1 - dim], places[:, dim], lower[places[:, 0], places[:, 1]]
        if len(row) > STUCK_CANDIDATES * len(rows) // 4:
            crowded = row.bincount(minlength=len(rows)) > STUCK_CANDIDATES
            self.stuck[rows[crowded]] = True
            keep = ~crowded[row]
            row, column, bounds = row[keep], column[keep], bounds[keep]
        self.found.append((rows[row], column + left, bounds))

    def _by_differences(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Candidates of the given row numbers from float64 differences, whose error is relative to the distance.

        Slower than products. Needed where clusters are so much closer to each other than to the origin that
        products cannot tell them apart.
        """
        forest, found = self.forest, []
        centroids, weights = forest.centroids[self.slots], forest.weights[self.slots]
        dead = ~forest.alive[self.slots]
        own = rows if self.symmetric else self.rows[rows]
        step = max(1, BLOCK_BYTES[self.rows.device.type] // (8 * len(self.slots)))
        for start in range(0, len(rows), step):
            mine = own[start : start + step]
            far = torch.cdist(centroids[mine], centroids, compute_mode="donot_use_mm_for_euclid_dist").square_()
            far /= 0.5 / weights[mine, None] + 0.5 / weights
            far[:, dead] = torch.inf
            far[torch.arange(len(mine), device=mine.device), mine] = torch.inf
            limit = far.amin(dim=1) * (1 + 1e-12)
            row, column = (far <= limit[:, None]).nonzero(as_tuple=True)
            found.append((rows[start : start + step][row], column))
        return torch.cat([row for row, _ in found]), torch.cat([column for _, column in found])
