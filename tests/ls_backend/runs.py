"""What tests of runs share: small photos, the command line as a process, what lies in a run's folder."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
BANDS = ROOT / "tests/ls_backend/prelabel_bands.py"
PATIENCE_S = 180  # for what may take long on a busy machine; no test is about speed


def make_photos(folder, count, size=(64, 48)):
    """Photos of coloured squares, all different; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    paths = []
    for number in range(count):
        squares = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
        paths.append(folder / f"{number:02}.png")
        Image.fromarray(np.kron(squares, np.ones((8, 8, 1), np.uint8))).save(paths[-1])
    return paths


def red(path, level, size=(16, 8)):
    """A photo whose top-left pixel has this red level."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[0, 0, 0] = level
    Image.fromarray(image).save(path)


def start(arguments, cwd, *, bands=False, group=False, **environment):
    """`zeroguide ARGUMENTS` as a process, with the real command or with the model of prelabel_bands.py."""
    program = [str(BANDS)] if bands else ["-m", "ls_backend"]
    variables = {"ZEROGUIDE_DATA_DIR": str(cwd / "data"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )


def ended(process, code):
    """The output of a process that must end with `code`."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, (process.returncode, out, err)
    return out, err


def until(condition, process):
    """Wait until something is so, while a process runs."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def results(folder):
    """The records of a run by name, without what differs from one making to the next."""
    found = {}
    for path in sorted(Path(folder, "results").glob("*.json")):
        record = json.loads(path.read_bytes())
        record.pop("seconds")
        found[path.stem] = record
    return found


def times(folder):
    """When each record was written."""
    return {path.stem: path.stat().st_mtime_ns for path in Path(folder, "results").glob("*.json")}
