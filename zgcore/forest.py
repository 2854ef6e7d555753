"""Clusters that merge into one, all pairs of reciprocal nearest neighbours in a round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from zgcore.nearest import BLOCK_BYTES, list_by_differences, list_by_products, product_columns
from zgcore.neighbours import Merging, Neighbours

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

NEIGHBOURS = 16  # of a list: more searches with fewer, more bookkeeping with more
_CENTRE_FROM = 1024  # points: a median of all of them takes a while


class Merges:
    """Merges in the order they were made; merge i makes cluster n + i. `tops`: what groups of duplicates became."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []
        self.heights: list[float] = []
        self.tops: list[int] = []


def middle(points: Tensor) -> Tensor:
    """(c,) median of about a thousand of (n, c) points, evenly chosen. A mean would follow a far outlier."""
    return points[:: max(1, len(points) // _CENTRE_FROM)].median(dim=0).values


class Forest:
    """Clusters in numbered slots; what two become takes the lower slot, and the other stays dead.

    points: (n, c) float64 within [-1, 1], and weights: (n,) float64, how many points each stands for; both are changed
    in place. ids: (n,) numbers of the clusters. merges: where merges go.
    """

    def __init__(self, points: Tensor, weights: Tensor, ids: NDArray[np.int64], merges: Merges) -> None:
        self.device = points.device
        self.merges = merges
        self.slots = len(points)
        self.points_total = int(weights.sum())
        self.centre = middle(points)  # products lose digits with the distance from the origin
        self.centroids = points
        self.columns = product_columns(points - self.centre)
        self.weights = weights
        self.ids = torch.from_numpy(ids).to(self.device)
        self.neighbours = Neighbours(self.slots, NEIGHBOURS, self.device)
        self.nearest = torch.zeros(self.slots, dtype=torch.int64, device=self.device)
        self.distance = torch.zeros(self.slots, dtype=torch.float64, device=self.device)  # to it, squared height

    def grow(self) -> None:
        """Merge down to a single cluster."""
        live = torch.arange(self.slots, device=self.device)
        stale = live
        while len(live) > 1:
            self._find_nearest(stale, live)
            one = live[self.nearest[self.nearest[live]] == live]
            one = one[one < self.nearest[one]]
            if len(one) == 0:  # rounding made a cycle of equal distances; the globally smallest is always right
                one = live[self.distance[live].argmin()][None]
            stale, live = self._merge(one, self.nearest[one], live)

    def _find_nearest(self, rows: Tensor, live: Tensor) -> None:
        """Set `nearest` and `distance` of the clusters in slots `rows`, from their lists if those prove it."""
        for lists in (list_by_products, list_by_differences):
            rows = self._settle(rows)
            if len(rows) == 0:
                return
            for listed in lists(self, rows, live, self.neighbours.k):
                self.neighbours.put(*listed)
        self._settle(rows)

    def _settle(self, rows: Tensor) -> Tensor:
        """Measure listed clusters, the most promising first, until no other can be nearer; returns rows left open."""
        near, left = self.neighbours, [rows[:0]]
        while len(rows):
            smallest, at = near.bound[rows].min(dim=1)
            known = (smallest <= near.radius[rows]) & (smallest < torch.inf)
            left.append(rows[~known])
            rows, smallest, at = rows[known], smallest[known], at[known]
            done = near.exact[rows, at]
            self._set_nearest(rows[done], smallest[done])
            rows, at = rows[~done], at[~done]
            near.bound[rows, at] = self._exact(rows, near.slot[rows, at])
            near.exact[rows, at] = True
        return torch.cat(left)

    def _set_nearest(self, rows: Tensor, distance: Tensor) -> None:
        """The listed cluster at that distance is the nearest; ties go to the lowest slot."""
        near = self.neighbours
        winners = near.exact[rows] & (near.bound[rows] == distance[:, None])
        self.nearest[rows] = near.slot[rows].where(winners, self.slots).amin(dim=1)
        self.distance[rows] = distance

    def _merge(self, one: Tensor, other: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        """Merge the clusters in slots `one` with those in `other`.

        Returns the slots whose nearest cluster may be another now, and those that live.
        """
        one, other = torch.minimum(one, other), torch.maximum(one, other)
        merging = Merging(one, other, self.distance[one], self.weights[one], self.weights[other])
        self._record(merging)
        self.neighbours.follow(live, self.weights, merging)
        a, b = merging.one_size[:, None], merging.other_size[:, None]
        self.centroids[one] = (a * self.centroids[one] + b * self.centroids[other]) / (a + b)
        self.columns[one] = product_columns(self.centroids[one] - self.centre)
        self.weights[one] += self.weights[other]
        self.neighbours.join(self.weights, merging)
        changed = torch.zeros(self.slots, dtype=torch.bool, device=self.device)
        changed[other] = True
        live = live[~changed[live]]
        changed[one] = True
        return live[changed[live] | changed[self.nearest[live]]], live

    def _record(self, merging: Merging) -> None:
        made = self.points_total + len(self.merges.pairs)
        self.merges.pairs += zip(self.ids[merging.one].tolist(), self.ids[merging.other].tolist(), strict=True)
        self.merges.heights += merging.height.sqrt().tolist()
        self.ids[merging.one] = made + torch.arange(len(merging.one), device=self.device)

    def _exact(self, one: Tensor, other: Tensor) -> Tensor:
        """Squared Ward heights of pairs of slots, from float64 differences: the same either way round."""
        out = torch.empty(len(one), dtype=torch.float64, device=self.device)
        step = max(1, BLOCK_BYTES[self.device.type] // (8 * self.centroids.shape[1]))
        for start in range(0, len(one), step):
            i, j = one[start : start + step], other[start : start + step]
            a, b = self.weights[i], self.weights[j]
            squares = (self.centroids[i] - self.centroids[j]).square_().sum(1)
            out[start : start + step] = 2 * (a * b) / (a + b) * squares
        return out
