"""safetensors files into modules: names and shapes are compared before a single value is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from zgcore.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

Shape = tuple[int, ...]

_GIT_LFS = b"version https://git-lfs"
_ANOTHER = "these are weights of another architecture; use those of the preset's own, or name theirs in the settings"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, spread over one or more files.

    label: how messages call it. shapes: name -> shape. file_of: name -> the file that holds it.
    """

    label: str
    shapes: Mapping[str, Shape]
    file_of: Mapping[str, Path]


def read_checkpoint(files: Sequence[Path], label: str) -> Checkpoint:
    """Read the headers. WeightsError for a file that is missing, cut short or not in safetensors format."""
    shapes: dict[str, Shape] = {}
    file_of: dict[str, Path] = {}
    for file in files:
        for name, shape in _read_header(file, label).items():
            shapes[name], file_of[name] = shape, file
    return Checkpoint(label, shapes, file_of)


def _read_header(file: Path, label: str) -> dict[str, Shape]:
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_GIT_LFS))
        if start == _GIT_LFS:
            raise WeightsError(f"{label} is a Git LFS pointer, not the weights; run `git lfs pull` where it came from")
        with safe_open(file, framework="pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{label} is missing: {file}") from None
    except OSError as error:
        raise WeightsError(f"{label} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise WeightsError(f"{label} is cut short or no safetensors file ({error}); fetch it again") from None


def load_into(
    module: nn.Module,
    checkpoint: Checkpoint,
    rename: Callable[[str], str] = lambda name: name,
    harmless: Callable[[str], bool] = lambda name: False,
) -> None:
    """Copy every parameter and persistent buffer from the checkpoint into the module, in the module's number format.

    rename: checkpoint's name -> module's name. harmless: module-side names that may stand in the checkpoint unused.
    Shared parameters are wanted once, under any of their names.

    Raises WeightsError that names the first tensor, in the module's order, of the wrong shape; else what is missing;
    else what is not expected.
    """
    wanted, aliases = _wanted(module)
    given = {}
    for name in checkpoint.shapes:
        renamed = rename(name)
        given[aliases.get(renamed, renamed)] = name
    _compare(wanted, given, checkpoint, harmless)
    by_file: dict[Path, list[str]] = {}
    for name in wanted:
        by_file.setdefault(checkpoint.file_of[given[name]], []).append(name)
    with torch.no_grad():
        for file, names in by_file.items():
            with safe_open(file, framework="pt") as tensors:
                for name in names:
                    wanted[name].copy_(tensors.get_tensor(given[name]))


def _wanted(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors to fill by their first name, and the further names of shared ones."""
    first: dict[int, str] = {}
    wanted: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            aliases[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            wanted[name] = tensor
    return wanted, aliases


def _compare(
    wanted: Mapping[str, Tensor], given: Mapping[str, str], checkpoint: Checkpoint, harmless: Callable[[str], bool]
) -> None:
    for name, tensor in wanted.items():
        shape = checkpoint.shapes[given[name]] if name in given else tuple(tensor.shape)
        if shape != tuple(tensor.shape):
            raise WeightsError(
                f"{checkpoint.label}: {given[name]} is {shape}, expected {tuple(tensor.shape)}: {_ANOTHER}"
            )
    if missing := [name for name in wanted if name not in given]:
        raise WeightsError(f"{checkpoint.label}: {_some(missing)} missing: {_ANOTHER}")
    if unexpected := [given[name] for name in given if name not in wanted and not harmless(name)]:
        raise WeightsError(f"{checkpoint.label}: {_some(unexpected)} not expected: {_ANOTHER}")


def _some(names: Sequence[str], shown: int = 3) -> str:
    """ "a, b, c and 9 more are"."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more} {'is' if len(names) == 1 else 'are'}"
