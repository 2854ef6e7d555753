"""zgcore is imported before anything that needs torchvision, and runs are quiet and repeatable."""

import gc
import os
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["HF_ASSETS_CACHE"] = str(Path(tempfile.gettempdir()) / "zeroguide-tests")  # tables of the first step

import pytest
import torch

import zgcore  # noqa: F401

# A suite started in the background has Ctrl-C or a closed terminal ignored, and its children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
torch.set_num_threads(1)  # the models are tiny: one thread is faster than the coordination of two
gc.disable()  # until all tests are collected: what they import stays


def pytest_collection_finish():
    """Garbage is collected from here on, and not looked for among the libraries: they would be most of the work."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module")
def all_cores():
    """torch's threads, for modules whose models are large enough to gain by them."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(1)
