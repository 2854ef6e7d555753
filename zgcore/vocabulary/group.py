"""Forms -> groups: average linkage over the evidence, within what people decided.

Average linkage, because evidence chains: "screen" is near "monitor" is near "computer". Two groups join when the mean
confidence over all their pairs reaches the threshold, pairs without evidence counted as 0.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from zgcore.vocabulary.evidence import Evidence, Link

APART = 1e6  # distance of what must not be together: no mean makes up for it


class Groups:
    """Which forms are one label. apart: pairs that must not be. together: pairs that must be, decided by people."""

    def __init__(
        self, forms: Sequence[str], apart: Iterable[tuple[str, str]] = (), together: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._root = {form: form for form in forms}
        self._apart = [(one, other) for one, other in apart if one in self._root and other in self._root]
        for one, other in together:
            self.join(one, other)

    def root(self, form: str) -> str:
        while self._root[form] != form:
            self._root[form] = self._root[self._root[form]]
            form = self._root[form]
        return form

    def members(self) -> dict[str, list[str]]:
        """Root -> forms, in the order given."""
        found: dict[str, list[str]] = defaultdict(list)
        for form in self._root:
            found[self.root(form)].append(form)
        return dict(found)

    def may_join(self, one: str, other: str) -> bool:
        """False where people parted a form of one group from a form of the other."""
        wanted = {self.root(one), self.root(other)}
        return not any({self.root(a), self.root(b)} == wanted for a, b in self._apart)

    def join(self, one: str, other: str) -> bool:
        """Make one group of two where that is allowed; the other's root stays."""
        if one not in self._root or other not in self._root or not self.may_join(one, other):
            return False
        self._root[self.root(one)] = self.root(other)
        return True


def group(groups: Groups, evidence: Evidence, threshold: float) -> list[Link]:
    """Join groups by the evidence. Returns the links along which forms came together, for their explanation."""
    used = [link for link in evidence.variants.values() if groups.join(link.one, link.other)]
    nodes = sorted({groups.root(form) for link in evidence.similar for form in (link.one, link.other)})
    place = {root: at for at, root in enumerate(nodes)}
    best: dict[tuple[int, int], float] = {}
    for link in evidence.similar:
        i, j = sorted((place[groups.root(link.one)], place[groups.root(link.other)]))
        if i != j:
            best[i, j] = max(best.get((i, j), 0.0), link.confidence)
    for cluster in _clusters(len(nodes), best, threshold, lambda i, j: groups.may_join(nodes[i], nodes[j])):
        for node in cluster[1:]:
            groups.join(nodes[node], nodes[cluster[0]])
    together = [link for link in evidence.similar if groups.root(link.one) == groups.root(link.other)]
    return used + together


def _clusters(
    count: int, best: dict[tuple[int, int], float], threshold: float, may_join: Callable[[int, int], bool]
) -> Iterator[list[int]]:
    """Numbers of nodes that belong together; lists of one are left out."""
    strong = [pair for pair, confidence in best.items() if confidence >= threshold]
    if not strong:
        return
    rows, columns = np.array(strong).T
    graph = coo_array((np.ones(len(strong)), (rows, columns)), shape=(count, count))
    _, component = connected_components(
        graph, directed=False
    )  # no cluster crosses one: its last merge is a strong pair
    order = np.argsort(component, kind="stable")
    for nodes in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        if len(nodes) > 1:
            for number in _average_linkage(nodes, best, threshold, may_join):
                if len(number) > 1:
                    yield number


def _average_linkage(
    nodes: NDArray[np.intp], best: dict[tuple[int, int], float], threshold: float, may_join: Callable[[int, int], bool]
) -> list[list[int]]:
    size = len(nodes)
    distance = np.ones((size, size))
    for a in range(size):
        for b in range(a + 1, size):
            i, j = sorted((int(nodes[a]), int(nodes[b])))
            allowed = may_join(i, j)
            distance[a, b] = distance[b, a] = 1.0 - best.get((i, j), 0.0) if allowed else APART
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance), method="average")
    labels = fcluster(tree, t=1.0 - threshold + 1e-9, criterion="distance")
    return [[int(node) for node in nodes[labels == label]] for label in np.unique(labels)]
