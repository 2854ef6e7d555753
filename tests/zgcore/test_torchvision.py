"""The libraries that need torchvision import in a fresh process, in any order, once zgcore is imported."""

import subprocess
import sys

import pytest

CHECK = "assert torchvision.transforms.InterpolationMode.BICUBIC"


@pytest.mark.parametrize(
    "lines",
    [
        "import zgcore; import torchvision",
        "import torch, zgcore; import timm, open_clip, transformers; import torchvision",
        "import zgcore, importlib.util; assert importlib.util.find_spec('torchvision'); import torchvision",
        "import zgcore, zgcore._torchvision as t; t.install(); t.install(); import torchvision",
    ],
)
def test_imports(lines):
    result = subprocess.run([sys.executable, "-c", f"{lines}; {CHECK}"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_importing_zgcore_does_not_load_torch():
    code = "import sys, zgcore; assert 'torch' not in sys.modules; assert 'torchvision' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
