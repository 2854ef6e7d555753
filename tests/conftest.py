"""zgcore is imported before anything that needs torchvision, and runs are quiet and repeatable."""

import os
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["HF_ASSETS_CACHE"] = str(Path(tempfile.gettempdir()) / "zeroguide-tests")  # tables of the first step

import torch

import zgcore  # noqa: F401

# A suite started in the background has Ctrl-C or a closed terminal ignored, and its children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
torch.set_num_threads(1)  # the models are tiny: one thread is faster than the coordination of two
