"""Exact, unconstrained Ward clustering of dense features, and the candidate tree cut from it (paper section 3.1).

Ward's distance is reducible: merging two clusters that are each other's nearest brings neither nearer to a third.
So all pairs of reciprocal nearest neighbours can be merged in one round, in any order, and the tree is the one that
merging the globally nearest pair at a time gives (Murtagh & Contreras 2012, section 3). A few dozen rounds
(`zgcore.forest`) replace n - 1 steps.

Single-precision products are fast and inexact, so they only say which clusters can be near (`zgcore.nearest`), and
what they found outlives merges (`zgcore.neighbours`); every nearest neighbour is settled by float64 differences.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from zgcore.forest import Forest, Merges, middle
from zgcore.segmentation import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.config import TreeConfig

    MergeTree = Callable[[NDArray | Tensor], NDArray[np.float64]]  # features -> linkage, as `merge_tree`

Cut = tuple[tuple[int, ...], "NDArray[np.int32]"]


def merge_tree(features: NDArray | Tensor) -> NDArray[np.float64]:
    """Ward's merge tree of (n, c) features, exact, on the device the features are on (numpy: the CPU).

    Returns the (n - 1, 4) linkage of `scipy.cluster.hierarchy.linkage(features, "ward")`: one merge a row, sorted by
    height; columns are the two clusters (the smaller number first; merge i makes cluster n + i), the height
    sqrt(2 |a| |b| / (|a| + |b|)) ||mean a - mean b||, and the number of points.
    Memory: about 5 float64 copies of the features and a few blocks of distances, never n x n.
    Raises ValueError for features that are not a finite (n, c) array with n, c >= 1.
    """
    points, scale = _standardised(_as_tensor(features))
    n = points.shape[0]
    first, weights, merges = _merge_duplicates(points)
    ids = torch.where(weights > 1, -1, first).cpu().numpy()
    ids[ids < 0] = merges.tops
    forest = Forest(points[first], weights, ids, merges)
    with torch.no_grad(), _full_precision(points.device.type):
        forest.grow()
    linkage = _linkage(n, np.array(merges.pairs, np.int64).reshape(-1, 2), np.array(merges.heights, np.float64))
    linkage[:, 2] *= scale
    return linkage


def _as_tensor(features: NDArray | Tensor) -> Tensor:
    tensor = features.detach() if isinstance(features, torch.Tensor) else torch.from_numpy(np.array(features))
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"features must be (n, c) with n and c at least 1, not {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise ValueError("features must be real numbers, not complex")
    return tensor.to(torch.float64)


def _standardised(points: Tensor) -> tuple[Tensor, float]:
    """Features scaled by a power of two into [-1, 1], and the factor that undoes it. No digit is lost.

    Coordinates that all lie far from zero are moved to their median; within a factor of two subtraction is exact.
    """
    if not bool(torch.isfinite(points).all()):
        raise ValueError("features contain NaN or infinity: check the model's precision and weights")
    centre = middle(points)
    near = (points - centre).abs().amax(dim=0) <= centre.abs() / 2
    points = points - torch.where(near, centre, 0.0) + 0.0  # + 0.0: no negative zeros, which would hide duplicates
    largest = float(points.abs().max())
    exponent = int(np.frexp(largest)[1]) if largest else 0
    half = exponent // 2  # in two steps, since 2^exponent alone can leave float64's range
    return points * 2.0**-half * 2.0 ** (half - exponent), 2.0**half * 2.0 ** (exponent - half)


@contextlib.contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """No TF32, bfloat16 or autocast in the matrix products: the error bound counts on float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _merge_duplicates(points: Tensor) -> tuple[Tensor, Tensor, Merges]:
    """Merge equal rows at height zero: without them, screening is left with pairs that truly differ.

    Returns the first row of each distinct value (m,), in ascending order, how often it occurs (m,) float64, and the
    merges, whose `tops` are the clusters of the values that occur more than once, in the same order.
    """
    n, merges = points.shape[0], Merges()
    factors = torch.from_numpy(np.random.default_rng(0).integers(-(2**62), 2**62, points.shape[1]) | 1)
    keys = (points.view(torch.int64) * factors.to(points.device)).sum(1)  # (n,) wraps: a hash
    _, group = torch.unique(keys, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), n, device=points.device)
    first = first.scatter_reduce(0, group, torch.arange(n, device=points.device), "amin")
    if not torch.equal(points, points[first[group]]):  # two values share a hash
        _, group = torch.unique(points, dim=0, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), n, device=points.device)
        first = first.scatter_reduce(0, group, torch.arange(n, device=points.device), "amin")
    first, order = first.sort()
    counts = group.bincount(minlength=len(first))[order]
    groups: dict[int, list[int]] = {}
    for row, value in enumerate(first[order.argsort()][group].tolist()):  # value: the first row like this one
        groups.setdefault(value, []).append(row)
    for rows in groups.values():
        top = rows[0]
        for row in rows[1:]:
            merges.pairs.append((top, row))
            merges.heights.append(0.0)
            top = n + len(merges.pairs) - 1
        if len(rows) > 1:
            merges.tops.append(top)
    return first, counts.to(torch.float64), merges


def _linkage(n: int, pairs: NDArray[np.int64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merges in any order that makes children first -> linkage sorted by height (ties keep the order given)."""
    rising = heights.tolist()
    for i, (a, b) in enumerate(pairs.tolist()):  # a parent below its child is rounding
        rising[i] = max(rising[i], rising[a - n] if a >= n else 0.0, rising[b - n] if b >= n else 0.0)
    order = np.argsort(rising, kind="stable")
    number = np.arange(n + len(pairs))
    number[n + order] = np.arange(n, n + len(pairs))
    linkage = np.empty((len(pairs), 4))
    linkage[:, :2] = np.sort(number[pairs[order]], axis=1)
    linkage[:, 2] = np.array(rising)[order]
    sizes = np.ones(n + len(pairs))
    for i, (a, b) in enumerate(linkage[:, :2].astype(np.int64).tolist()):
        sizes[n + i] = sizes[a] + sizes[b]
    linkage[:, 3] = sizes[n:]
    return linkage


def cut_tree(linkage: NDArray[np.float64], leaves: int) -> Cut:
    """Open the node merged last, then the next, until there are `leaves` of them (all points, where there are fewer).

    linkage: (n - 1, 4), as `merge_tree` returns it.
    Returns the leaves' node numbers, ascending (root 0; the children of k are 2k + 1, which is the linkage's first
    column, and 2k + 2), and (n,) int32, each point's index into them. Raises ValueError if leaves < 1.
    """
    if leaves < 1:
        raise ValueError(f"a tree has at least one leaf, not {leaves}")
    n = len(linkage) + 1
    pairs = linkage[:, :2].astype(np.int64).tolist()
    nodes = {2 * n - 2: 0}  # cluster -> node; the last merge is the root
    while len(nodes) < min(leaves, n):
        cluster = max(nodes)  # merges are numbered by height, so the last one made is the largest
        nodes.update(zip(pairs[cluster - n], children(nodes.pop(cluster)), strict=True))
    numbers = tuple(sorted(nodes.values()))
    label = [-1] * (2 * n - 1)
    for cluster, node in nodes.items():
        label[cluster] = numbers.index(node)
    for i in range(n - 2, -1, -1):
        if (above := label[n + i]) >= 0:
            label[pairs[i][0]] = label[pairs[i][1]] = above
    return numbers, np.array(label[:n], dtype=np.int32)


def prune(cut: Cut, features: NDArray, similarity: float) -> Cut:
    """Undo splits between siblings that look alike, asked from the root down (paper section 3.1, T_dino).

    A node whose two children's mean features have a cosine above `similarity` becomes a leaf; what is below it is
    not looked at. A mean of zero length has cosine 0 with everything. cut: see `cut_tree`. features: (n, c), unit
    length. Returns the same form as `cut_tree`.
    """
    leaves, index = cut
    sums: dict[int, NDArray[np.float64]] = {}
    for i, leaf in enumerate(leaves):
        total = np.asarray(features[index == i], dtype=np.float64).sum(axis=0)
        sums[leaf] = total
        while leaf:
            leaf = (leaf - 1) // 2
            sums[leaf] = sums[leaf] + total if leaf in sums else total
    kept: dict[int, int] = {}  # node of the cut -> leaf of the result it belongs to
    pending = [(0, False, 0)]  # node, whether it is below a leaf of the result, that leaf
    while pending:
        node, below, leaf = pending.pop()
        if not below:
            leaf = node
        if (split := children(node))[0] not in sums:
            kept[node] = leaf
            continue
        below = below or _cosine(sums[split[0]], sums[split[1]]) > similarity
        pending += [(child, below, leaf) for child in split]
    result = tuple(sorted(set(kept.values())))
    return result, np.array([result.index(kept[leaf]) for leaf in leaves], dtype=np.int32)[index]


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0 else 0.0


def candidate_tree(
    features: NDArray | Tensor, config: TreeConfig, merge: MergeTree | None = None
) -> tuple[tuple[int, ...], NDArray[np.int32]]:
    """(n, c) features of unit length -> the pruned tree's leaves and (n,) int32, each point's index into them.

    merge: called in place of `merge_tree`, by who may know the linkage already. Raises ValueError as `merge_tree`.
    """
    cut = cut_tree((merge or merge_tree)(features), config.leaves)
    array = features.detach().float().cpu().numpy() if isinstance(features, torch.Tensor) else np.asarray(features)
    return prune(cut, array, config.similarity)
