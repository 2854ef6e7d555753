"""label-studio-sdk's brush codec for benchmarks/backend.py: run by a Python that has the SDK, told what to do by line.

    encode: mask.npy in the folder, (H, W) bool -> rle.npy        decode: rle.npy -> decoded.npy, (H, W) bool

Only the codec is timed; each line is answered with a JSON object.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle


def main(folder: Path) -> None:
    print(json.dumps({"version": version("label-studio-sdk")}), flush=True)
    for line in sys.stdin:
        mask = np.load(folder / "mask.npy")
        if line.strip() == "encode":
            levels = mask.astype(np.uint8) * 255
            begin = time.perf_counter()
            rle = mask2rle(levels)
            seconds = time.perf_counter() - begin
            np.save(folder / "rle.npy", np.array(rle, dtype=np.uint8))
        else:
            rle = np.load(folder / "rle.npy").tolist()
            begin = time.perf_counter()
            decoded = decode_rle(rle).reshape(*mask.shape, 4)[..., 3] > 0
            seconds = time.perf_counter() - begin
            np.save(folder / "decoded.npy", decoded)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
