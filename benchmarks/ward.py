"""Ward clustering without connectivity: zgcore.ward against scipy, fastcluster and scikit-learn.

    python benchmarks/ward.py                  # 11,881 x 384, a 224 x 224 image at stride 2
    python benchmarks/ward.py --points 50176 --repeats 1 --methods zgcore fastcluster   # 10 GB, some ten minutes
    python benchmarks/ward.py --features F.npy # real ones, (n, c)

Every run is a process of its own, so that its peak memory is its own; methods take turns, so that a busy machine
slows all of them. Prints every run as it ends, then medians, the ratio to zgcore within each turn, and whether the cut
at 20 agrees. Libraries hold all distances, some twice; those that do not fit the memory that is free are left out, and
named, and so are those that the system ends. `fastcluster-vectors` is fastcluster's own way of saving memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import zgcore  # noqa: F401 - before numpy and torch, whose threads it sets

# isort: split
import numpy as np

LEAVES = 20
METHODS = {  # name -> module, and how many copies of the n (n - 1) / 2 float64 distances it holds
    "zgcore": ("zgcore", 0),
    "scipy": ("scipy", 2),
    "fastcluster": ("fastcluster", 1),
    "fastcluster-vectors": ("fastcluster", 0),
    "sklearn": ("sklearn", 2),  # it calls scipy
}
SPARE = 2 << 30  # bytes for everything else
MIB = 1024  # ru_maxrss counts KiB on Linux


def made_up(n: int, c: int, seed: int = 0) -> np.ndarray:
    """(n, c) float32 unit vectors around 50 centres."""
    rng = np.random.default_rng(seed)
    features = 0.7 * rng.normal(size=(50, c))[rng.integers(0, 50, n)] + 0.3 * rng.normal(size=(n, c))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def cluster(method: str, features: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds, without imports, and the (n - 1, 4) linkage."""
    if method == "zgcore":
        from zgcore.ward import merge_tree as run

        run(features[:256])  # thread pools start here
    elif method == "scipy":
        from scipy.cluster.hierarchy import linkage

        features = features.astype(np.float64)

        def run(x: np.ndarray) -> np.ndarray:
            return linkage(x, "ward")
    elif method.startswith("fastcluster"):
        import fastcluster

        features = features.astype(np.float64)
        link = fastcluster.linkage if method == "fastcluster" else fastcluster.linkage_vector

        def run(x: np.ndarray) -> np.ndarray:
            return link(x, "ward")
    else:
        from sklearn.cluster import ward_tree

        def run(x: np.ndarray) -> np.ndarray:
            merges, _, _, _, heights = ward_tree(x, return_distance=True)
            return np.column_stack([np.sort(merges, axis=1), heights, np.zeros(len(merges))])

    begin = time.perf_counter()
    tree = run(features)
    return time.perf_counter() - begin, tree


def child(method: str, features: Path, out: Path) -> None:
    array = np.load(features)
    seconds, tree = cluster(method, array)
    np.save(out, tree)
    print(json.dumps({"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB}))


def measure(method: str, features: Path) -> dict[str, Any] | None:
    """None where the system ended the process, as it does when memory runs out."""
    out = features.with_name("tree.npy")
    command = [sys.executable, __file__, "--child", method, str(features), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode < 0:
        print(f"{method}: ended by signal {-done.returncode}", file=sys.stderr)
        return None
    if done.returncode:
        raise SystemExit(f"{method} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{method}: {found['seconds']:.1f} s, {found['mib']:.0f} MiB", file=sys.stderr, flush=True)
    return {**found, "tree": np.load(out)}


def same_cut(one: np.ndarray, other: np.ndarray) -> bool:
    from zgcore.ward import cut_tree

    a, b = cut_tree(one, LEAVES)[1], cut_tree(other, LEAVES)[1]
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


def available_bytes() -> int:
    """Memory that can be had without swapping (Linux)."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def feasible(n: int, wanted: list[str]) -> list[str]:
    """The methods that are installed and fit the memory; says which are not."""
    methods, free = [], available_bytes() - SPARE
    for name in wanted:
        module, copies = METHODS[name]
        needed = copies * n * (n - 1) // 2 * 8
        if not importlib.util.find_spec(module):
            print(f"{name} is left out: not installed")
        elif needed > free:
            print(f"{name} is left out at {n:,}: needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} are free")
        else:
            methods.append(name)
    return methods


def compare(features: np.ndarray, repeats: int, wanted: list[str]) -> str:
    n, c = features.shape
    methods = feasible(n, wanted)
    turns: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        np.save(path, features)
        turns += ({name: found for name in methods if (found := measure(name, path))} for _ in range(repeats))
    lines = [
        f"\n{n:,} x {c}\n",
        f"| method | seconds | times zgcore's | peak MiB | largest relative height error | same cut at {LEAVES} |",
        "|---|---|---|---|---|---|",
    ]
    for name in methods:
        pairs = [(turn[name], turn["zgcore"]) for turn in turns if name in turn and "zgcore" in turn]
        if not pairs:
            continue
        results = [one for one, _ in pairs]
        ratio = statistics.median(one["seconds"] / mine["seconds"] for one, mine in pairs)
        reference, mine = pairs[0][0]["tree"], pairs[0][1]["tree"]
        error = np.max(np.abs(reference[:, 2] - mine[:, 2]) / np.maximum(reference[:, 2], np.finfo(float).tiny))
        lines.append(
            f"| {name} | {statistics.median(r['seconds'] for r in results):.1f} | {ratio:.1f} "
            f"| {max(r['mib'] for r in results):.0f} | {error:.0e} | {'yes' if same_cut(reference, mine) else 'NO'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=11_881)
    parser.add_argument("--features", type=Path, help="an (n, c) array in an .npy file")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="zgcore among them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        method, features, out = options.child
        child(method, Path(features), Path(out))
        return
    features = np.load(options.features) if options.features else made_up(options.points, 384)
    print(compare(features, options.repeats, options.methods))


if __name__ == "__main__":
    main()
