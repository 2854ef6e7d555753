"""How the whole pipeline's time and memory grow with the image and with the number of segments.

    python benchmarks/pipeline.py --preset mini                         # table and pictures/pipeline.png
    python benchmarks/pipeline.py --preset paper --random-weights       # full-size models, deterministic weights
    python benchmarks/pipeline.py --preset paper --random-weights --one --set zerocap.max_tokens=4 >> rows.jsonl
    python benchmarks/pipeline.py --rows rows.jsonl                     # tables and picture of figures taken one by one

Every figure comes from a process of its own: the median of repeated runs after a warm-up image, each with no more of
its texts known than of those of a photo never seen. Memory is the highest resident size of the process tree, sampled
ten times a second; on a GPU also the allocator's highest mark. The photos are the samples, resized. Figures of random
weights say nothing about labels, and nearly everything about speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zgcore  # noqa: F401 - before numpy and torch, whose threads it sets

# isort: split
import numpy as np
import torch
from PIL import Image

from zgcore import ZeroGuidance, __version__, load_image
from zgcore.build import Models, assemble, pick_device
from zgcore.dino import DinoKeys
from zgcore.evaluation.settings_text import read_setting
from zgcore.models import load_clip, load_dino, load_language_model
from zgcore.presets import get_preset
from zgcore.samples import sample_paths
from zgcore.stage_profile import StageProfile
from zgcore.weights import WeightSource
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = ("320x240", "640x480", "1280x960", "4000x3000")
LEAVES = (2, 5, 10, 20)
TOKENIZER = Path(__file__).parents[1] / "tests/data/gpt2_tokenizer.json"
PICTURE = Path(__file__).parent / "pictures/pipeline.png"
SAMPLING_SECONDS = 0.1


def resident_mib() -> float:
    """Resident memory of this process and everything below it, shared pages shared out (Linux)."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        below.setdefault(parent, []).append(int(stat.parent.name))
    total, pending = 0, [os.getpid()]
    while pending:
        pid = pending.pop()
        pending += below.get(pid, [])
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


class HighWater:
    """The highest resident size while the block ran, in MiB."""

    def __enter__(self) -> HighWater:
        self.mib = resident_mib()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(SAMPLING_SECONDS):
            self.mib = max(self.mib, resident_mib())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.mib = max(self.mib, resident_mib())


def build(options: argparse.Namespace, **settings: Any) -> ZeroGuidance:
    """The preset; with --random-weights its full-size models filled from their parameters' names."""
    if not options.random_weights:
        return ZeroGuidance.from_preset(options.preset, device=options.device, weights=options.weights, **settings)
    config, source = get_preset(options.preset).override(**settings), WeightSource.random(tokenizer=TOKENIZER)
    models = Models(
        DinoKeys(load_dino(config.dino, source), config.dino),
        *load_clip(config.clip, source),
        *load_language_model(config.zerocap, source),
        random_weights=True,
    )
    return assemble(models, config, pick_device(options.device))


def photos(size: str, count: int) -> list[NDArray[np.uint8]]:
    """`count` samples resized to "WIDTHxHEIGHT"."""
    width, height = map(int, size.split("x"))
    paths = sample_paths()[:count]
    return [
        np.array(Image.fromarray(load_image(path)).resize((width, height), Image.Resampling.LANCZOS)) for path in paths
    ]


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of --set and --leaves."""
    settings = dict(map(read_setting, options.set))
    return settings if options.leaves is None else {**settings, "tree__leaves": options.leaves, "tree__similarity": 1.0}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One size or one number of candidates, in this process."""
    model = build(options, **chosen(options))
    images = photos(options.size, options.images + 1)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    seconds, segments, stages = [], [], []
    with HighWater() as memory:
        model(images.pop(0))
        for image in images:
            for _ in range(options.repeats):
                forget_texts(model)
                start = time.perf_counter()
                result = model(image)
                seconds.append(time.perf_counter() - start)
                segments.append(len(result.tree.leaves))
                stages.append(result.seconds)
    found = {
        "title": title(options),
        "size": options.size,
        "asked": options.leaves,
        "leaves": statistics.mean(segments),
        "seconds": statistics.median(seconds),
        "mib": memory.mib,
        "stages": {name: statistics.median(run[name] for run in stages) for name in stages[0]},
    }
    if model.device.type == "cuda":
        found["device_mib"] = torch.cuda.max_memory_allocated(model.device) / 2**20
    if options.profile:
        found["profile"] = profiled(model, images)
    return found


def forget_texts(model: ZeroGuidance) -> None:
    """Of all texts that were scored only the prompt's candidates stay known, as for a photo that was never seen."""
    if isinstance(model.labeller, ZeroCap):
        model.labeller.continuations.forget()


def profiled(model: ZeroGuidance, images: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """Stages of one run that is timed, with the operations of another that counts them, which takes its time."""
    timed, counted = StageProfile(model.device, count=False), StageProfile(model.device)
    for profile in (timed, counted):
        forget_texts(model)
        with profile.active():
            list(model.segment_stream(images))
    for name, cost in counted.costs.items():
        timed.costs[name].flops = cost.flops
    return timed.document(model.precision)


def in_own_process(options: argparse.Namespace, **changed: object) -> dict[str, Any]:
    """`measure` with some options changed, in a fresh process."""
    values = {**vars(options), **changed, "one": True}
    command = [sys.executable, __file__]
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            command.append(flag)
        elif value not in (None, False):
            command += [part for one in (value if isinstance(value, list) else [value]) for part in (flag, str(one))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| image | candidates | seconds an image | images/s | memory (MiB) | candidates / embedding / text (s) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        stages = " / ".join(f"{row['stages'][name]:.2f}" for name in ("candidates", "embedding", "text"))
        memory = f"{row['mib']:.0f}" + (f" + {row['device_mib']:.0f} on the GPU" if "device_mib" in row else "")
        lines.append(
            f"| {row['size']} | {row['leaves']:.1f} | {row['seconds']:.2f} | {1 / row['seconds']:.2f} | {memory} "
            f"| {stages} |"
        )
    return "\n".join(lines)


def floor(profile: dict[str, Any]) -> str:
    """How far each stage is from its operations at the measured peak, in Markdown."""
    lines = ["| stage | seconds | GFLOP | share of the measured peak |", "|---|---|---|---|"]
    for row in profile["stages"]:
        flops = "not counted" if row["flops"] is None else f"{row['flops'] / 1e9:.1f}"
        share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.1%}"
        lines.append(f"| {row['stage']} | {row['seconds']:.2f} | {flops} | {share} |")
    return "\n".join(lines)


def draw(by_size: list[dict[str, Any]], by_leaves: list[dict[str, Any]], title: str, to: Path) -> None:
    """Seconds by stage against image size and against candidates, and memory against image size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, rows, labels, name in (
        (axes[0], by_size, [row["size"] for row in by_size], "image, pixels"),
        (axes[1], by_leaves, [f"{row['leaves']:.0f}" for row in by_leaves], "candidate segments"),
    ):
        base = np.zeros(len(rows))
        for stage in ("candidates", "embedding", "text"):
            seconds = np.array([row["stages"][stage] for row in rows])
            axis.bar(labels, seconds, bottom=base, label=stage)
            base += seconds
        axis.set(xlabel=name, ylabel="seconds an image")
        axis.margins(y=0.25)  # room for the legend
        axis.legend(loc="upper left", ncols=3, fontsize="small")
    axes[2].bar([row["size"] for row in by_size], [row["mib"] for row in by_size], color="grey")
    axes[2].set(xlabel="image, pixels", ylabel="highest resident memory, MiB")
    figure.suptitle(title)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=110)


def model_arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser of what is measured: models, images, how often."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--random-weights", action="store_true", help="full-size models without their weights")
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT where only one is measured")
    parser.add_argument("--leaves", type=int, help="so many candidates, none pruned")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE", help="a setting; repeatable")
    return parser


def arguments() -> argparse.Namespace:
    parser = model_arguments(__doc__)
    parser.add_argument("--profile", action="store_true", help="also count operations")
    parser.add_argument("--one", action="store_true", help="one figure as JSON, in this process")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--rows", type=Path, help="draw what --one printed, a line a figure, and measure nothing")
    return parser.parse_args()


def title(options: argparse.Namespace) -> str:
    """What was measured, and where."""
    device = pick_device(options.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    weights = ", random weights" if options.random_weights else ""
    settings = "".join(f", {text}" for text in options.set)
    return (
        f"zeroguide {__version__}, preset {options.preset}{weights}{settings}, "
        f"{where}, torch {torch.__version__}, Python {platform.python_version()}"
    )


def measured_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every size, then every number of candidates, each in a process of its own."""
    by_size = [in_own_process(options, size=size, profile=options.profile and size == "640x480") for size in SIZES]
    return by_size + [in_own_process(options, leaves=leaves, profile=False) for leaves in LEAVES]


def main() -> None:
    options = arguments()
    if options.one:
        print(json.dumps(measure(options)))
        return
    if options.rows:
        rows = [json.loads(line) for line in options.rows.read_text().splitlines()]
    else:
        rows = measured_rows(options)
    print(rows[0]["title"] + "\n")
    by_size, by_leaves = ([row for row in rows if (row["asked"] is None) == plain] for plain in (True, False))
    print(table(by_size) + "\n\n" + table(by_leaves) + "\n")
    print("\n".join(floor(row["profile"]) for row in by_size if "profile" in row))
    draw(by_size, by_leaves, rows[0]["title"], options.picture)


if __name__ == "__main__":
    main()
