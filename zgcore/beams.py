"""Beam search over many segments at once: live beams are rows of one batch, finished ones wait beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ended:
    """A finished beam. tokens: ids after the prompt, the end token last. score: mean log probability."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Extension:
    """A live beam's next token. source: its row. total: sum of log probabilities with the token."""

    source: int
    token: int
    total: float


@dataclass(frozen=True)
class Beams:
    """The beams of n segments after `step` tokens.

    owner: (r,) segment of each row. tokens: (r, step) ids after the prompt. sums: (r,) sums of log probabilities.
    ended: per segment, the beams that are finished.
    """

    owner: NDArray[np.int64]
    tokens: NDArray[np.int64]
    sums: NDArray[np.float64]
    ended: tuple[tuple[Ended, ...], ...]

    @classmethod
    def start(cls, segments: int) -> Beams:
        """One empty row a segment."""
        return cls(np.arange(segments), np.empty((segments, 0), np.int64), np.zeros(segments), ((),) * segments)

    @property
    def step(self) -> int:
        return int(self.tokens.shape[1])

    def __len__(self) -> int:
        return len(self.owner)

    def extend(
        self, tokens: NDArray[np.int64], log_p: NDArray[np.float64], width: int, end: int
    ) -> tuple[Beams, NDArray[np.int64]]:
        """The best `width` beams of each segment after one more token.

        tokens, log_p: (r, k) most probable next tokens of each row, k >= width or the whole vocabulary. A finished
        beam competes with its mean log probability. Returns the beams and the (new r,) row each one came from.
        """
        extensions: list[Extension] = []
        owner: list[int] = []
        ended: list[tuple[Ended, ...]] = []
        for segment, done in enumerate(self.ended):
            kept = self._best(segment, done, tokens, log_p, width)
            ending = tuple(
                Ended((*self.tokens[option.source].tolist(), end), option.total / (self.step + 1))
                for option in kept
                if isinstance(option, Extension) and option.token == end
            )
            ended.append((*(option for option in kept if isinstance(option, Ended)), *ending))
            live = [option for option in kept if isinstance(option, Extension) and option.token != end]
            extensions += live
            owner += [segment] * len(live)
        source = np.array([option.source for option in extensions], dtype=np.int64)
        new = np.array([option.token for option in extensions], dtype=np.int64)
        beams = Beams(
            np.array(owner, dtype=np.int64),
            np.concatenate([self.tokens[source], new[:, None]], axis=1),
            np.array([option.total for option in extensions]),
            tuple(ended),
        )
        return beams, source

    def _best(
        self,
        segment: int,
        done: tuple[Ended, ...],
        tokens: NDArray[np.int64],
        log_p: NDArray[np.float64],
        width: int,
    ) -> list[Ended | Extension]:
        scored: list[tuple[float, Ended | Extension]] = [(beam.score, beam) for beam in done]
        for row in np.flatnonzero(self.owner == segment):
            for token, value in zip(tokens[row].tolist(), log_p[row].tolist(), strict=True):
                total = float(self.sums[row]) + value
                scored.append((total / (self.step + 1), Extension(int(row), token, total)))
        scored.sort(key=lambda option: -option[0])
        return [option for _, option in scored[:width]]

    def ranked(self, segment: int) -> list[Ended]:
        """All beams of a segment, finished or not, best mean log probability first."""
        live = [
            Ended(tuple(self.tokens[row].tolist()), float(self.sums[row]) / self.step)
            for row in np.flatnonzero(self.owner == segment)
        ]
        return sorted([*self.ended[segment], *live], key=lambda beam: -beam.score)
