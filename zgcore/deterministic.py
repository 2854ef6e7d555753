"""Weights from names alone: the same on every machine, so that outputs can be compared without shipping weights."""

from __future__ import annotations

import zlib
from typing import TypeVar

import numpy as np
import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def deterministic_(module: Module, prefix: str = "", scale: float = 0.08) -> Module:
    """Fill every parameter in place and return the module.

    A parameter is standard normal noise times `scale`, from a generator seeded with the CRC-32 of prefix + name.
    LayerNorm weights get 1 added, so that activations keep their size.
    """
    norms = {f"{name}.weight".lstrip(".") for name, part in module.named_modules() if isinstance(part, nn.LayerNorm)}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            generator = np.random.default_rng(zlib.crc32((prefix + name).encode()))
            noise = generator.standard_normal(tuple(parameter.shape)).astype(np.float32) * np.float32(scale)
            parameter.copy_(torch.from_numpy(np.asarray(noise + np.float32(name in norms))))
    return module
