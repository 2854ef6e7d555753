"""Whether this machine can run the backend: folder for its data, device, weights, memory."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ls_backend.doctor import Finding, from_error
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.doctor import State
    from ls_backend.settings import Settings

LEAST_DISK: Final = 100e6  # bytes, for the queue
LEAST_MEMORY: Final = 0.3e9  # bytes on top of the model: a 12 megapixel photo takes about that with `mini`
ENOUGH_MEMORY: Final = 1e9
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


def machine_findings(settings: Settings) -> Iterator[Finding]:
    """Every check, the one that loads the model last but one."""
    yield disk(settings)
    device = device_finding(settings)
    yield device
    if device.state != "failed":
        yield weights(settings)
        yield memory()


def disk(settings: Settings) -> Finding:
    """Whether the data folder can be written to and has room for the cache."""
    check, folder = "disk", settings.data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        unusable = f"{existing} cannot be written to: {error.strerror}"
        return Finding(check, "failed", unusable, "export ZEROGUIDE_DATA_DIR=FOLDER")
    free = shutil.disk_usage(existing).free
    room = f"{free / 1e9:,.1f} GB free for {folder}"
    if free < LEAST_DISK:
        return Finding(check, "failed", room, "delete something there, or: export ZEROGUIDE_DATA_DIR=FOLDER")
    if free < settings.cache_mb * 1e6:
        wanted = f"{room}, less than the cache may take ({settings.cache_mb / 1e3:,.1f} GB)"
        return Finding(check, "warning", wanted, f"export ZEROGUIDE_CACHE_MB={int(free / 2e6)}")
    return Finding(check, "ok", room)


def device_finding(settings: Settings) -> Finding:
    """Whether the device is there."""
    import torch

    from zgcore.build import pick_device

    check = "device"
    try:
        device = pick_device(settings.device)
    except ZeroguideError as error:
        return from_error(check, error, "export ZEROGUIDE_DEVICE=auto")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return Finding(check, "ok", f"{device}: {name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if settings.preset in ("base", "paper"):
        slow = f"the preset {settings.preset} is meant for a GPU and takes minutes an image on a CPU"
        return Finding(check, "warning", slow, "export ZEROGUIDE_PRESET=mini, or run the backend where a GPU is")
    return Finding(check, "ok", f"{device}, {torch.get_num_threads()} threads")


def weights(settings: Settings) -> Finding:
    """Whether the model can be loaded, and which it is."""
    from ls_backend.inference import model_version
    from zgcore import ZeroGuidance

    check, began = "weights", time.perf_counter()
    try:
        model = ZeroGuidance.from_preset(settings.preset, device=settings.device, weights=settings.weights)
        version = model_version(settings)
    except ZeroguideError as error:
        return from_error(check, error)
    if model.random_weights:
        random = f"{version} has random weights: masks and labels mean nothing"
        return Finding(check, "warning", random, "export ZEROGUIDE_PRESET=mini")
    return Finding(check, "ok", f"{version}, loaded in {time.perf_counter() - began:.1f} s")


def memory() -> Finding:
    """What is left for images beside the model, which is loaded by now."""
    check = "memory"
    free = available_memory()
    if free is None:
        return Finding(check, "warning", f"not checked: {sys.platform} does not tell it in {_MEMINFO}", "free -m")
    left = f"{free / 1e9:,.1f} GB left beside the model"
    if free >= ENOUGH_MEMORY:
        return Finding(check, "ok", left)
    state: State = "failed" if free < LEAST_MEMORY else "warning"
    return Finding(check, state, left, "stop other programs, or take images of fewer pixels")


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> float | None:
    """Bytes that may still be taken, by the system's word and by the container's limit; None where neither is told."""
    found = [value for value in (_system(meminfo), _container(cgroup)) if value is not None]
    return min(found, default=None)


def _system(meminfo: Path) -> float | None:
    """MemAvailable (proc(5))."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _container(cgroup: Path) -> float | None:
    """What a limit of control groups (version 2) leaves; None where there is none."""
    try:
        limit, used = ((cgroup / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return None if limit == "max" else max(float(limit) - float(used), 0.0)
    except (OSError, ValueError):
        return None
