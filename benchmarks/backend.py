"""The ML backend's server, and its brush code against label-studio-sdk's.

    python benchmarks/backend.py                                    # requests to `zeroguide serve --preset mini`
    python benchmarks/backend.py rle --sdk-python VENV/bin/python   # a Python that has label-studio-sdk

Requests go to a server process of its own over kept connections. In the RLE part both sides take turns in one run, each
in its own process, so that a busy machine slows both; what they give is compared, byte for byte and pixel for pixel.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ls_backend import brush
from zgcore import __version__
from zgcore.samples import sample_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

CHILD = Path(__file__).with_name("sdk_rle.py")
CONFIG = Path(__file__).parents[1] / "templates" / "free_text.xml"
FEW = 100  # below, the slowest is told in place of the 99th percentile


# The server


@dataclass
class Client:
    """Asks one server over one kept connection."""

    host: str

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.host, timeout=300)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}: {content[:300]!r}")
        return content


@dataclass
class Timed:
    """Seconds of each request, and of all together."""

    name: str
    clients: int
    whole: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def row(self) -> str:
        ordered = sorted(self.seconds)
        few = len(ordered) < FEW
        high = ordered[-1] if few else statistics.quantiles(ordered, n=100)[98]
        return (
            f"| {self.name} | {self.clients} | {len(ordered)} | {len(ordered) / self.whole:.1f} "
            f"| {1000 * statistics.median(ordered):.2f} | {1000 * high:.2f}{' (slowest)' if few else ''} |"
        )


@contextmanager
def server(preset: str) -> Iterator[str]:
    """`zeroguide serve` with an empty cache, its model loaded; gives host and port."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ls_backend", "serve", "--preset", preset, "--port", "0"]
        command += ["--data-dir", folder, "--log-level", "error", "--preload"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            host = next(found[1] for line in process.stderr if (found := re.search(r"listens on http://(\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            client = Client(host)
            client.ask("POST", "/predict", request(Photos().new()))  # waits for the model
            yield host
        finally:
            process.terminate()
            process.wait()


class Photos:
    """A sample photo, each time with other bytes behind its end: a new one to the cache, the same to the model."""

    def __init__(self) -> None:
        self._content = next(path for path in sample_paths() if path.stem == "street").read_bytes()
        self._lock = threading.Lock()
        self._count = 0

    def new(self) -> bytes:
        with self._lock:
            self._count += 1
            return self._content + os.urandom(8)


def request(photo: bytes) -> bytes:
    task = {"id": 1, "data": {"image": "data:image/jpeg;base64," + base64.b64encode(photo).decode()}}
    return json.dumps({"tasks": [task], "project": "1.1", "label_config": CONFIG.read_text()}).encode()


def timed(name: str, host: str, clients: int, count: int, ask: Callable[[Client], bytes]) -> Timed:
    """`count` requests by some clients at once, after one each that is not timed."""
    result, lock, ready = Timed(name, clients), threading.Lock(), threading.Barrier(clients + 1)

    def work() -> None:
        client = Client(host)
        client.ask("GET", "/health")
        ready.wait()
        for _ in range(count // clients):
            start = time.perf_counter()
            ask(client)
            with lock:
                result.seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    result.whole = time.perf_counter() - start
    return result


def measure_server(options: argparse.Namespace) -> str:
    photos = Photos()
    body = request(photos.new())
    setup = json.dumps({"project": "1.1", "schema": CONFIG.read_text(), "hostname": "http://localhost:8080"}).encode()

    def health(client: Client) -> bytes:
        return client.ask("GET", "/health")

    def cached(client: Client) -> bytes:
        return client.ask("POST", "/predict", body)

    def fresh(client: Client) -> bytes:
        return client.ask("POST", "/predict", request(photos.new()))

    with server(options.preset) as host:
        cached(Client(host))
        rows = []
        for clients in (1, 8):
            rows.append(timed("/health", host, clients, options.requests, health))
            rows.append(timed("/setup", host, clients, options.requests, lambda one: one.ask("POST", "/setup", setup)))
            rows.append(timed("/predict, cached", host, clients, options.requests // 4, cached))
        rows.append(timed("/predict, fresh", host, 1, options.fresh, fresh))
        rows.append(while_predicting(host, fresh, health, options))
    head = ["| request | clients | requests | a second | p50 (ms) | p99 (ms) |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(row.row() for row in rows)])


def while_predicting(
    host: str, fresh: Callable[[Client], bytes], health: Callable[[Client], bytes], options: argparse.Namespace
) -> Timed:
    """/health every 20 ms while the model is at work."""
    busy = threading.Thread(target=timed, args=("", host, 1, options.fresh, fresh))
    busy.start()
    client, result, begin = Client(host), Timed("/health while predicting", 1), time.perf_counter()
    while busy.is_alive():
        start = time.perf_counter()
        health(client)
        result.seconds.append(time.perf_counter() - start)
        time.sleep(0.02)
    result.whole = time.perf_counter() - begin
    return result


# The brush code


def masks(seed: int = 0) -> dict[str, NDArray[np.bool_]]:
    """(H, W) bool by name."""
    rng = np.random.default_rng(seed)

    def discs(height: int, width: int) -> NDArray[np.bool_]:
        y, x = np.ogrid[:height, :width]
        centres = ((0.3, 0.3, 0.2), (0.6, 0.7, 0.25))
        return np.any([(y / height - a) ** 2 + (x / width - b) ** 2 < r**2 for a, b, r in centres], axis=0)

    single = np.zeros((480, 640), bool)
    single[123, 456] = True
    return {
        "smooth, 640 x 480": discs(480, 640),
        "smooth, 1920 x 1080": discs(1080, 1920),
        "smooth, 4000 x 3000": discs(3000, 4000),
        "random, 640 x 480": rng.random((480, 640)) < 0.5,
        "random, 1920 x 1080": rng.random((1080, 1920)) < 0.5,
        "empty, 640 x 480": np.zeros((480, 640), bool),
        "full, 640 x 480": np.ones((480, 640), bool),
        "full, 4000 x 3000": np.ones((3000, 4000), bool),
        "single pixel, 640 x 480": single,
        "1 x 100,000": rng.random((1, 100_000)) < 0.5,
        "100,000 x 1": rng.random((100_000, 1)) < 0.01,
    }


class Sdk:
    """The SDK's codec in a process of its Python; both sides read and write arrays in one folder."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._process = subprocess.Popen(
            [python, CHILD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._told()["version"]

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the Python of --sdk-python cannot run label-studio-sdk's codec; see its error above")
        return json.loads(line)

    def time(self, what: str) -> float:
        """Seconds of "encode" or "decode" on the mask in the folder."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._told()["seconds"]

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()


def measure_rle(options: argparse.Namespace) -> str:
    head = "| mask | bytes | encode, ms (SDK's, times) | decode, ms (SDK's, times) | same bytes | same pixels |"
    lines = [head, "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        sdk = Sdk(options.sdk_python, Path(name))
        lines += [compare(label, mask, sdk, Path(name), options.repeats) for label, mask in masks().items()]
        sdk.close()
    return "\n".join([f"label-studio-sdk {sdk.version}, medians of {options.repeats} turns\n", *lines])


def compare(label: str, mask: NDArray[np.bool_], sdk: Sdk, folder: Path, repeats: int) -> str:
    np.save(folder / "mask.npy", mask)
    seconds: dict[str, list[tuple[float, float]]] = {"encode": [], "decode": []}
    for _ in range(repeats):
        mine, rle = clocked(lambda: brush.encode(mask))
        seconds["encode"].append((mine, sdk.time("encode")))
        mine, decoded = clocked(lambda rle=rle: brush.decode(rle, *mask.shape))
        seconds["decode"].append((mine, sdk.time("decode")))
    theirs = np.load(folder / "rle.npy").tolist()
    same_pixels = np.array_equal(decoded, mask) and np.array_equal(np.load(folder / "decoded.npy"), mask)
    cells = []
    for pairs in seconds.values():
        ours, others = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(other / mine for mine, other in pairs)
        cells.append(f"{ours:.2f} ({others:.2f}, {ratio:.1f})")
    return (
        f"| {label} | {len(rle):,} | {cells[0]} | {cells[1]} "
        f"| {'yes' if rle == theirs else 'NO'} | {'yes' if same_pixels else 'NO'} |"
    )


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("server", "rle"), default="server")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--requests", type=int, default=2000, help="to /health and /setup; a quarter to /predict")
    parser.add_argument("--fresh", type=int, default=10, help="photos that the model must see")
    parser.add_argument("--sdk-python", type=Path, help="a Python that has label-studio-sdk")
    parser.add_argument("--repeats", type=int, default=5, help="turns in the RLE part")
    options = parser.parse_args()
    if options.part == "rle" and options.sdk_python is None:
        parser.error("rle needs --sdk-python")
    print(f"zeroguide {__version__}, {os.cpu_count()} CPU cores, Python {platform.python_version()}, ", end="")
    if options.part == "rle":
        print(f"numpy {np.__version__}, {measure_rle(options)}")
    else:
        print(f"preset {options.preset}\n\n{measure_server(options)}")


if __name__ == "__main__":
    main()
