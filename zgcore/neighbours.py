"""Lists of near clusters that outlive merges, so that few rounds have to search.

A list holds lower bounds of Ward's distance to some clusters, and a radius: nothing that is not listed is nearer. When
clusters merge, the recurrence of Lance and Williams turns bounds of their distances into bounds of what they became,
in either role: as the cluster that is listed, and as the one whose list it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from zgcore.nearest import ROUNDING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Merging:
    """Pairs of clusters that become one, in slot `one`. one, other: (p,) slots. height: (p,) squared; sizes: (p,)."""

    one: Tensor
    other: Tensor
    height: Tensor
    one_size: Tensor
    other_size: Tensor


class Neighbours:
    """Of each slot: k slots, lower bounds of their distances (infinite: no entry), whether those are exact, a radius.

    Distances are squared Ward heights, 2 |a||b| / (|a| + |b|) ||mean a - mean b||^2.
    """

    def __init__(self, slots: int, k: int, device: torch.device) -> None:
        self.slot = torch.zeros((slots, k), dtype=torch.int64, device=device)
        self.bound = torch.full((slots, k), torch.inf, dtype=torch.float64, device=device)
        self.exact = torch.zeros((slots, k), dtype=torch.bool, device=device)
        self.radius = torch.zeros(slots, dtype=torch.float64, device=device)

    @property
    def k(self) -> int:
        return self.slot.shape[1]

    def put(self, rows: Tensor, slots: Tensor, bounds: Tensor, radius: Tensor) -> None:
        """Replace whole lists."""
        self.slot[rows], self.bound[rows], self.exact[rows], self.radius[rows] = slots, bounds, False, radius

    def at_least(self, rows: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Lower bounds of the distances of (r,) rows to (r, t) slots, and whether those are listed."""
        same = self.slot[rows][:, None, :] == slots[:, :, None]  # (r, t, k)
        bound = self.bound[rows][:, None, :].where(same, torch.inf).amin(2)
        listed = bound < torch.inf
        return bound.where(listed, self.radius[rows, None]), listed

    def follow(self, live: Tensor, sizes: Tensor, merging: Merging) -> None:
        """Entries that point at a merging cluster point at what it becomes. sizes: (slots,), before the merge."""
        partner = torch.full_like(sizes, -1, dtype=torch.int64)  # (slots,)
        partner[merging.one], partner[merging.other] = merging.other, merging.one
        height = torch.zeros_like(sizes)
        height[merging.one] = height[merging.other] = merging.height
        listed, bounds = self.slot[live], self.bound[live]
        row, column = ((partner[listed] >= 0) & (bounds < torch.inf)).nonzero(as_tuple=True)
        own, target = live[row], listed[row, column]
        joins = partner[target]
        to_joins, twice = self.at_least(own, joins[:, None])
        bound = merged_distance(
            bounds[row, column], to_joins[:, 0], height[target], sizes[target], sizes[joins], sizes[own]
        )
        bound[(joins == own) | (twice[:, 0] & (joins < target))] = torch.inf
        self.bound[own, column] = bound
        self.slot[own, column] = torch.minimum(target, joins)
        self.exact[own, column] = False

    def join(self, sizes: Tensor, merging: Merging) -> None:
        """Lists of merging clusters become their union's: the k smallest bounds. sizes: (slots,), after the merge."""
        one, other, between = merging.one, merging.other, merging.height
        a, b = merging.one_size, merging.other_size

        def merged(own: Tensor, own_size: Tensor, joins: Tensor, joins_size: Tensor) -> tuple[Tensor, Tensor]:
            slots = self.slot[own]
            to_joins, twice = self.at_least(joins, slots)
            sizes_of = (own_size[:, None], joins_size[:, None], sizes[slots])
            return merged_distance(self.bound[own], to_joins, between[:, None], *sizes_of), twice

        bounds, _ = merged(one, a, other, b)
        more, twice = merged(other, b, one, a)
        bounds = torch.cat([bounds, more.where(~twice, torch.inf)], dim=1)  # (p, 2k)
        # What neither lists: the recurrence is monotone in its size, which lies between 0 and infinity.
        far_one, far_other = self.radius[one], self.radius[other]
        radius = torch.minimum((a * far_one + b * far_other) / (a + b), far_one + far_other - between) * (1 - ROUNDING)
        kept, index = bounds.topk(self.k + 1, largest=False)
        slots = torch.cat([self.slot[one], self.slot[other]], dim=1).gather(1, index[:, :-1])
        self.put(one, slots, kept[:, :-1], torch.minimum(radius, kept[:, -1]))


def merged_distance(
    to_one: Tensor, to_other: Tensor, between: Tensor, one: Tensor, other: Tensor, own: Tensor
) -> Tensor:
    """Ward's distance to a union, from those to its parts and between them (Lance & Williams 1967).

    one, other, own: sizes. It grows with the distances to the parts, so bounds of those give a bound; that is lowered
    by what rounding can be.
    """
    total = (own + one) * to_one + (own + other) * to_other - own * between
    return total / (own + one + other) * (1 - ROUNDING)
