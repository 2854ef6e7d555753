"""A training loop that can be stopped and goes on where it was, with the same result."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

CHECKPOINT_EVERY = 500  # steps
WARM_UP = 0.02  # of all steps


@dataclass(frozen=True)
class Schedule:
    """steps: how many. learning_rate: its peak; it rises for the first 2% and falls with a half cosine. seed: of the
    order of the data."""

    steps: int
    learning_rate: float
    seed: int = 0
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        share = step / max(1, self.steps)
        return self.learning_rate * min((step + 1) / max(1, WARM_UP * self.steps), 0.5 + 0.5 * cos(pi * share))


def train(parameters: dict[str, Tensor], loss: Callable[[int], Tensor], schedule: Schedule, folder: Path,
          title: str, *, every: int = CHECKPOINT_EVERY) -> None:  # fmt: skip
    """Minimise loss(step) over the parameters, in place, with AdamW; the last checkpoint in `folder` is gone on from.

    A loss that depends on nothing but its step and the parameters gives the same result however often it was stopped.
    """
    for tensor in parameters.values():
        tensor.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    file = folder / f"{title.replace(' ', '_')}.pt"
    done = 0
    if file.is_file():
        state = torch.load(file, weights_only=True)  # our own file, tensors only
        done = state["step"]
        optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            for name, tensor in parameters.items():
                tensor.copy_(state["parameters"][name])
    smoothed = None
    with tqdm(total=schedule.steps, initial=done, desc=title, unit="step", mininterval=5) as bar:
        for step in range(done, schedule.steps):
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            optimiser.zero_grad(set_to_none=True)
            value = loss(step)
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimiser.step()
            smoothed = value.item() if smoothed is None else 0.98 * smoothed + 0.02 * value.item()
            bar.update()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{smoothed:.4f}", refresh=False)
            if (step + 1) % every == 0 or step + 1 == schedule.steps:
                save_whole(file, {"step": step + 1, "optimiser": optimiser.state_dict(), "parameters": parameters})
    for tensor in parameters.values():
        tensor.requires_grad_(False)


def save_whole(file: Path, state: object) -> None:
    """Write tensors, whole or not at all, for torch.load. Makes the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(file)
