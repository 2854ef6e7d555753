"""Exports: memory against the number of regions, and what Label Studio's own converters lose of the same project.

    python -m benchmarks.exports memory --regions 1000,100000
    python -m benchmarks.exports converters --label-studio .venv-label-studio
    python -m benchmarks.exports converters --label-studio .venv-label-studio --run labelled

Run from the repository's root. `memory` makes a Label Studio export of so many regions and runs `zeroguide export` on
it in a process of its own. `converters` makes a project out of a run of `zeroguide label` on the sample photos (made
first where `--run` names none) and some masks with known traps, exports it with the package label-studio-sdk and with
`zeroguide export`, and reads both back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from benchmarks.export_converters import compare
from ls_backend import brush

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE = (240, 320)  # rows and columns of each image
REGIONS_AN_IMAGE = 20
DIFFERENT_MASKS = 200


def blobs(number: int, seed: int = 0) -> Iterator[np.ndarray]:
    """(H, W) bool masks with smooth outlines, a few parts and holes each."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        field = ndimage.gaussian_filter(rng.standard_normal(SIZE), 14)
        yield field > np.quantile(field, 0.93)


def write_project(path: Path, regions: int) -> None:
    """A Label Studio export of so many regions, REGIONS_AN_IMAGE in each task."""
    height, width = SIZE
    runs = [json.dumps(brush.encode(mask)) for mask in blobs(DIFFERENT_MASKS)]
    common = f'"to_name":"image","original_width":{width},"original_height":{height},"image_rotation":0'
    with path.open("w") as handle:
        handle.write("[")
        for number in range(regions):
            task, place = divmod(number, REGIONS_AN_IMAGE)
            if place == 0:
                handle.write("," if task else "")
                handle.write(f'{{"id":{task + 1},"data":{{"image":"/data/upload/1/{task:06}.jpg"}},"annotations":[')
                handle.write(f'{{"id":{task + 1},"completed_by":1,"result":[')
            handle.write("," if place else "")
            value = f'{{"format":"rle","rle":{runs[number % DIFFERENT_MASKS]},"brushlabels":["obj {place + 1}"]}}'
            handle.write(f'{{"id":"r{place}","from_name":"mask","type":"brushlabels",{common},"value":{value}}},')
            text = f'{{"text":["thing {number % 500}"]}}'
            handle.write(f'{{"id":"r{place}","from_name":"caption","type":"textarea",{common},"value":{text}}}')
            if place == REGIONS_AN_IMAGE - 1 or number == regions - 1:
                handle.write("]}]}")
        handle.write("]")


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MiB of a process. RuntimeError where it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def memory(options: argparse.Namespace) -> None:
    """Print seconds and peak memory for each number of regions."""
    print("| regions | images | input MB | formats | seconds | CPU seconds | regions per CPU second | peak RSS MiB |")
    print("|---:|---:|---:|---|---:|---:|---:|---:|")
    for regions in (int(part) for part in options.regions.split(",")):
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            project = Path(folder) / "project.json"
            write_project(project, regions)
            for formats in options.formats.split(" "):
                command = [sys.executable, "-m", "ls_backend", "export", str(project)]
                seconds, busy, peak = measured([*command, "--format", formats, "--out", f"{folder}/out"])
                images = -(-regions // REGIONS_AN_IMAGE)
                size = project.stat().st_size / 1e6
                print(
                    f"| {regions:,} | {images:,} | {size:,.1f} | {formats} | {seconds:.1f} | {busy:.1f} "
                    f"| {regions / busy:,.0f} | {peak:,.0f} |",
                    flush=True,
                )


def converters(options: argparse.Namespace) -> None:
    """Print what each export holds of the same project."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        run = options.run
        if run is None:
            run = Path(folder) / "run"
            command = [sys.executable, "-m", "ls_backend", "label", "zgcore/samples", "--format", "coco"]
            subprocess.run([*command, "--out", str(run)], check=True, stdout=subprocess.DEVNULL)
        compare(run, options.label_studio / "bin" / "python", Path(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands: Any = parser.add_subparsers(required=True)
    one = commands.add_parser("memory", help="peak memory and speed against the number of regions")
    one.add_argument("--regions", default="1000,100000", help="numbers, separated by commas")
    one.add_argument("--formats", default="coco", help="lists of formats, separated by blanks")
    one.set_defaults(run_it=memory)
    two = commands.add_parser("converters", help="the same project by Label Studio's converters and by ours")
    two.add_argument("--label-studio", type=Path, required=True, help="environment with label-studio-sdk")
    two.add_argument("--run", type=Path, help="folder of a run of zeroguide label on the sample photos")
    two.set_defaults(run_it=converters)
    for command in (one, two):
        command.add_argument("--scratch", type=Path, help="folder for temporary files")
    options = parser.parse_args(arguments)
    options.run_it(options)


if __name__ == "__main__":
    main()
