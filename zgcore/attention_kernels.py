"""Which of torch's attention kernels the vision towers run on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY: Final = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@contextmanager
def ready_kernels() -> Iterator[None]:
    """Attention within the block, or in a function that this decorates, does without cuDNN.

    On Hopper GPUs torch prefers cuDNN in half precision, which plans for about a second at every new shape. How many
    segments an image has is a shape, and so is its aspect: hardly two images would find their plans made.
    """
    with sdpa_kernel(_READY):
        yield
