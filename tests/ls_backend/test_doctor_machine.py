"""What `zeroguide doctor` finds of the machine."""

from pathlib import Path

import pytest
import torch

from ls_backend import doctor_machine
from ls_backend.doctor_machine import available_memory, device_finding, disk, machine_findings, memory, weights
from tests.ls_backend.serving import settings_for


def test_disk(tmp_path, monkeypatch):
    found = disk(settings_for(tmp_path / "not" / "yet"))
    assert found.state == "ok"
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_text("")
    found = disk(settings_for(tmp_path / "file" / "data"))
    assert (found.state, found.message) == ("failed", f"{tmp_path}/file cannot be written to: Not a directory")
    assert disk(settings_for(tmp_path, cache_mb=1e6)).state == "warning"
    monkeypatch.setattr(doctor_machine, "LEAST_DISK", 1e18)
    assert disk(settings_for(tmp_path)).state == "failed"


def test_a_folder_that_cannot_be_written_to(tmp_path):
    assert disk(settings_for(Path("/proc/zeroguide"))).message.startswith("/proc cannot be written to: ")


def test_devices(tmp_path):
    assert device_finding(settings_for(tmp_path)).message == f"cpu, {torch.get_num_threads()} threads"
    assert device_finding(settings_for(tmp_path, preset="paper")).state == "warning"
    found = device_finding(settings_for(tmp_path, device="cuda:97"))
    assert (found.state, found.cure) == ("failed", "export ZEROGUIDE_DEVICE=auto")
    states = [finding.check for finding in machine_findings(settings_for(tmp_path, device="cuda:97"))]
    assert states == ["disk", "device"]


def test_weights(tmp_path):
    found = weights(settings_for(tmp_path, preset="mini"))
    assert found.state == "ok"
    assert found.message.startswith("mini-")
    assert weights(settings_for(tmp_path)).state == "warning"
    found = weights(settings_for(tmp_path, preset="base", weights=tmp_path))
    assert found.state == "failed"
    assert found.cure


@pytest.mark.parametrize(
    ("meminfo", "limit", "used", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   2000000 kB\n", "max", "1", 2_048_000_000),
        ("MemAvailable: 2000000 kB\n", "1000000000", "400000000", 600_000_000),
        ("MemAvailable: 2000000 kB\n", "100", "400", 0),
        ("MemTotal: 9 kB\n", None, None, None),
        (None, "1000", "400", 600),
    ],
)
def test_memory_is_the_lesser_of_the_systems_and_the_containers(tmp_path, meminfo, limit, used, free):
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(used + "\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == free


def test_this_machines_memory(monkeypatch):
    assert memory().message.endswith("GB left beside the model")
    for free, state in ((2e9, "ok"), (0.5e9, "warning"), (0.1e9, "failed"), (None, "warning")):
        monkeypatch.setattr(doctor_machine, "available_memory", lambda free=free: free)
        assert memory().state == state
