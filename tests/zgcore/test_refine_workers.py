"""Refinement in processes of its own: same trees, and nothing is lost or left behind when processes die."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from zgcore.config import CrfConfig
from zgcore.refine_workers import MOST_WORKERS, POOLS, RefineWorkers, default_workers
from zgcore.refinement import Candidates, TreeRefiner

ROOT = Path(__file__).parents[2]
REFINE = TreeRefiner(CrfConfig(size=64), min_area=0.001)


def task(size=64):
    """Red left of blue, and candidates whose border lies a little off."""
    image = np.zeros((size, size, 3), np.uint8)
    image[:, : size // 2, 0] = 255
    image[:, size // 2 :, 2] = 255
    costs = np.zeros((2, 8, 8), np.float32)
    costs[0, :, 5:] = 3
    costs[1, :, :5] = 3
    return image, Candidates((1, 2), costs)


def surroundings(image, candidates):
    """In place of a refinement: what the process that runs it is like."""
    return os.getpid(), "torch" in sys.modules, os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]


def refuse(image, candidates):
    raise MemoryError("no room")


@dataclass(frozen=True)
class Announced:
    """Refines after it has left a file named after its process, so that it can be killed at work."""

    refine: TreeRefiner
    folder: Path

    def __call__(self, image, candidates):
        (self.folder / str(os.getpid())).touch()
        return self.refine(image, candidates)


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid):
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_trees_are_those_made_here():
    image, candidates = task()
    expected = REFINE(image, candidates)
    assert (expected.leaf_map[:, :32] == 0).all()
    assert (expected.leaf_map[:, 44:] == 1).all()  # the costs' border is at 5 of 8 cells, interpolated over one
    for workers in (0, 1):
        with RefineWorkers(REFINE, workers) as pool:
            refined = pool.submit(image, candidates).refined
        assert refined.tree.leaves == expected.leaves
        assert refined.tree.leaf_map.tobytes() == expected.leaf_map.tobytes()
        assert refined.seconds > 0


def test_workers_are_small_and_single_threaded(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with RefineWorkers(surroundings, 1) as pool:
        pid, has_torch, *threads = pool.submit(*task()).refined.tree
    assert pid != os.getpid()
    assert not has_torch
    assert threads == ["1", "1"]
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_what_fails_there_is_raised_here():
    with RefineWorkers(refuse, 1) as pool:
        pending = pool.submit(*task())
        for _ in range(2):  # asked again, it is no other answer
            with pytest.raises(MemoryError, match="no room"):
                _ = pending.refined
    with pytest.raises(MemoryError), RefineWorkers(refuse) as here:
        here.submit(*task())


def test_killed_workers_lose_no_image(caplog, tmp_path):
    """Each pool is killed at its work, until there is none left to start; every image comes out all the same."""
    slow = Announced(TreeRefiner(CrfConfig(size=448), min_area=0.0), tmp_path)
    image, candidates = task(448)
    expected = slow(image, candidates).leaf_map
    with caplog.at_level(logging.WARNING), RefineWorkers(slow, 1) as pool:
        for _ in range(POOLS):
            pending = [pool.submit(image, candidates) for _ in range(2)]
            (worker,) = multiprocessing.active_children()
            wait_until((tmp_path / str(worker.pid)).exists)
            os.kill(worker.pid, signal.SIGKILL)
            for one in pending:
                assert np.array_equal(one.refined.tree.leaf_map, expected)
            assert not is_running(worker.pid)
        assert np.array_equal(pool.submit(image, candidates).refined.tree.leaf_map, expected)
        assert not multiprocessing.active_children()
    assert sum("worker died" in record.message for record in caplog.records) == 2 * POOLS


def test_closing_ends_the_processes():
    pool = RefineWorkers(REFINE, 1)
    _ = pool.submit(*task()).refined
    (worker,) = multiprocessing.active_children()
    pool.close()
    wait_until(lambda: not is_running(worker.pid))


PROGRAM = """
import multiprocessing, sys, time
from tests.zgcore.test_refine_workers import REFINE, RefineWorkers, task
if __name__ == "__main__":
    pool = RefineWorkers(REFINE, 2)
    pending = [pool.submit(*task()) for _ in range(2)]
    [one.refined for one in pending]
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=environment) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert workers
        assert all(is_running(pid) for pid in workers)
        process.kill()
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def test_default_workers(monkeypatch):
    for cores, on_cpu, beside_a_gpu in [(1, 0, 0), (2, 1, 1), (8, 1, 4), (64, 1, MOST_WORKERS)]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert (default_workers("cpu"), default_workers("cuda")) == (on_cpu, beside_a_gpu)


def test_negative_workers():
    with pytest.raises(ValueError, match="at least 0, not -1"):
        RefineWorkers(REFINE, -1)
