"""Label Studio's own SDK drives project and backend, and reads the masks as they were meant."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ls_backend import brush
from ls_backend.local_label_studio import program
from tests.label_studio import photos
from tests.label_studio.conftest import ENVIRONMENT
from tests.label_studio.results import regions
from tests.label_studio.studio import PATIENCE_S, TEMPLATES
from tests.ls_backend.serving import data_uri

ENCODE = """
import hashlib, sys
import numpy as np
from label_studio_sdk.converter.brush import encode_rle
mask = np.load(sys.argv[1])
code = bytes(encode_rle(np.repeat(mask.ravel().astype(np.uint8) * 255, 4)))
print(len(code), hashlib.sha256(code).hexdigest())
"""
SESSION = Path(__file__).with_name("sdk_session.py")


def test_the_sdk_sees_the_same_masks(studio, backend, label_studio):
    asked = {
        "studio": studio.url,
        "backend": backend.url,
        "token": studio.token,
        "config": (TEMPLATES / "free_text.xml").read_text(),
        "image": data_uri(photos.encoded(photos.picture("cat"), "PNG")),
    }
    command = [label_studio.program.with_name("python"), SESSION]
    how = {"input": json.dumps(asked), "capture_output": True, "text": True, "timeout": PATIENCE_S}
    run = subprocess.run(command, **how, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["state"], told["model_version"]) == ("CO", backend.version)
    ((prediction,),) = studio.predictions(told["project"]).values()
    expected = regions(prediction["result"])
    areas = [{"id": key, "area": int(one.mask.sum()), "levels": [0, 255]} for key, one in expected.items()]
    assert told["predicted"] == told["accepted"] == areas
    assert told["texts"] == [[one.text] for one in expected.values()]


def test_a_mask_of_twelve_megapixels_has_the_sdks_bytes(tmp_path):
    """A ring with a rough edge: runs of one pixel, and longer ones than a token holds."""
    if not (ENVIRONMENT / ".installed").exists():
        pytest.skip(f"Label Studio is not installed: make {ENVIRONMENT.name}/.installed")
    rows, columns = np.mgrid[:3000, :4000]
    distance = np.hypot(rows - 1400, columns - 2100) + np.random.default_rng(0).normal(0, 3, rows.shape)
    mask = (distance < 1200) & (distance > 500)
    np.save(tmp_path / "mask.npy", mask)
    command = [program(ENVIRONMENT).with_name("python"), "-c", ENCODE, tmp_path / "mask.npy"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert run.returncode == 0, run.stderr
    code = bytes(brush.encode(mask))
    assert run.stdout.split() == [str(len(code)), hashlib.sha256(code).hexdigest()]
