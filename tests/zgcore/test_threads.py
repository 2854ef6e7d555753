"""How long idle threads stay awake, as numpy and torch find it when they are loaded."""

import json
import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")
SEEN_BY_NUMPY = f"""
import json, os, sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            print(json.dumps([os.environ.get(name) for name in {NAMES}]))

sys.meta_path.insert(0, Watch())
import zgcore
"""


@pytest.mark.parametrize(
    ("set_before", "expected"),
    [
        ({}, ["passive", "2000", "16"]),
        ({"GOMP_SPINCOUNT": "7"}, ["passive", "7", "16"]),
        ({"OMP_WAIT_POLICY": "active", "OPENBLAS_THREAD_TIMEOUT": "26"}, ["active", None, "26"]),
    ],
)
def test_it_is_set_before_numpy_is_loaded(set_before, expected):
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    found = subprocess.run(
        [sys.executable, "-c", SEEN_BY_NUMPY], env=environment | set_before, capture_output=True, check=True, text=True
    )
    assert json.loads(found.stdout) == expected
