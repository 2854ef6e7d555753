"""Label Studio's brush masks: the run-length code that its editor paints from.

A mask travels as a bit stream, cut into bytes, of the flattened H x W x 4 array of RGBA values: 32 bits for the number
of values, 5 for the word size minus one, 4 x 4 for the four run-length sizes minus one, then the runs. A run is one bit
(1: a value repeated; 0: values one by one), two bits that choose a run-length size, the length minus one in so many
bits, and the value or values. `encode` gives the same bytes as the codec of label-studio-sdk 2.1: all four channels 255
inside the mask and 0 outside, runs over 65,536 values split, one to eight zero bits at the end. A mask of 0 and 1
would be stored as well and stay invisible: the editor wants an alpha of 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHANNELS = 4
WORD_BITS = 8
RUN_BITS = (3, 4, 8, 16)
LONGEST_RUN = 1 << RUN_BITS[-1]
HEADER_BITS = 32 + 5 + 4 * len(RUN_BITS)
TOKENS_PER_CHUNK = 1 << 17  # bounds the unpacked bits of a noisy mask to a few MiB
MAX_PIXELS = 100_000_000


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """(H, W) bool mask -> the bytes of Label Studio's RLE, as integers 0..255.

    Raises ValueError for anything but a two-dimensional mask with 1 to 2**30 - 1 pixels.
    """
    if mask.ndim != 2 or not 0 < mask.size < 1 << 30:
        raise ValueError(f"a brush mask is (H, W) and not empty, not {mask.shape}")
    flat = np.ascontiguousarray(mask, dtype=bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    lengths, values = _split_long_runs(np.diff(bounds) * CHANNELS, flat[bounds[:-1]])
    return list(_pack(flat.size * CHANNELS, lengths, values))


def decode(rle: Sequence[int], height: int, width: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The bytes of Label Studio's RLE -> (height, width) bool, True where alpha is not 0.

    Reads what the SDK and the editor write. Nothing of the mask's size is allocated before the runs are known to add
    up to it. Raises ValueError if they do not, if the stream ends early or claims another size, if its word size is not
    eight bits, or if the mask has more than `max_pixels` pixels.
    """
    if height < 1 or width < 1 or height * width > max_pixels:
        raise ValueError(f"a mask of {height} x {width} pixels is empty or above the limit of {max_pixels} pixels")
    try:
        stream = bytes(rle)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("a brush RLE is a list of integers 0..255") from error
    run_bits = _read_header(stream, height * width * CHANNELS)
    counts, positions = _pixel_runs(stream, run_bits, height * width * CHANNELS)
    return np.repeat(_bytes_at(stream, positions) > 0, counts).reshape(height, width)


def _split_long_runs(
    lengths: NDArray[np.int64], values: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Runs above the longest become full ones and a rest; the rest keeps the widest size, marked by its sign."""
    pieces = -(-lengths // LONGEST_RUN)
    if pieces.max() == 1:
        return lengths, values
    split = np.repeat(np.where(pieces > 1, -LONGEST_RUN, lengths), pieces)
    last = np.cumsum(pieces) - 1
    split[last] = np.where(pieces > 1, -(lengths - (pieces - 1) * LONGEST_RUN), lengths)
    return split, np.repeat(values, pieces)


def _pack(total: int, lengths: NDArray[np.int64], values: NDArray[np.bool_]) -> bytes:
    """Header and runs as bytes. A negative length is a piece of a split run."""
    header = f"{total:032b}{WORD_BITS - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in RUN_BITS)
    left = np.array([int(bit) for bit in header], dtype=np.uint8)
    chunks = []
    for start in range(0, len(lengths), TOKENS_PER_CHUNK):
        part = slice(start, start + TOKENS_PER_CHUNK)
        bits = np.concatenate((left, _token_bits(lengths[part], values[part])))
        whole = len(bits) // 8 * 8
        chunks.append(np.packbits(bits[:whole]).tobytes())
        left = bits[whole:]
    padding = np.zeros(8 - len(left), dtype=np.uint8)
    chunks.append(np.packbits(np.concatenate((left, padding))).tobytes())
    return b"".join(chunks)


def _token_bits(lengths: NDArray[np.int64], values: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(bits,) 0 or 1: one repeat run after the other."""
    limits = np.array([1 << bits for bits in RUN_BITS])
    size = np.where(lengths < 0, len(RUN_BITS) - 1, np.searchsorted(limits, lengths))
    run_bits = np.array(RUN_BITS)[size]
    tokens = ((0b100 | size) << run_bits) | (np.abs(lengths) - 1)
    tokens = (tokens << WORD_BITS) | np.where(values, 255, 0)
    widths = 3 + run_bits + WORD_BITS
    ends = np.cumsum(widths)
    shifts = np.repeat(ends, widths) - 1 - np.arange(ends[-1])  # distance of each bit from its token's last one
    return ((np.repeat(tokens, widths) >> shifts) & 1).astype(np.uint8)


def _read_header(stream: bytes, expected: int) -> tuple[int, ...]:
    """The four run-length sizes in bits, after checking the claimed number of values and the word size."""
    if len(stream) * 8 < HEADER_BITS:
        raise ValueError("the brush RLE ends inside its header")
    head = int.from_bytes(stream[:7], "big") >> (56 - HEADER_BITS)
    total, word_bits = head >> 21, ((head >> 16) & 31) + 1
    if total != expected:
        raise ValueError(f"the brush RLE holds {total} values; an image of this size has {expected}")
    if word_bits != WORD_BITS:
        raise ValueError(f"the brush RLE has words of {word_bits} bits, not {WORD_BITS}")
    return tuple(((head >> shift) & 15) + 1 for shift in (12, 8, 4, 0))


def _pixel_runs(stream: bytes, run_bits: tuple[int, ...], total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each run of pixels: how many, and the bit position of their alpha. The cost grows with the stream alone.

    A run of values [start, start + length) holds the alpha of pixels start // 4 up to (start + length) // 4.
    """
    counts: list[int] = []
    positions: list[int] = []
    padded = stream + b"\0\0\0\0"  # a token's first 19 bits are read as one window of 32
    position, start, end = HEADER_BITS, 0, len(stream) * 8
    while start < total:
        byte, offset = divmod(position, 8)
        window = int.from_bytes(padded[byte : byte + 4], "big") << offset & 0xFFFFFFFF
        bits = run_bits[window >> 29 & 3]
        length = (window << 3 & 0xFFFFFFFF) >> (32 - bits)
        length += 1
        repeated = window >> 31
        position += 3 + bits
        data_end = position + WORD_BITS * (1 if repeated else length)
        if data_end > end:
            raise ValueError("the brush RLE ends before its last pixel")
        if start + length > total:
            raise ValueError("the runs of the brush RLE add up to more than its length")
        first, stop = start // CHANNELS, (start + length) // CHANNELS
        if repeated:
            counts.append(stop - first)
            positions.append(position)
        else:
            counts.extend([1] * (stop - first))
            positions.extend(
                position + WORD_BITS * (CHANNELS * pixel + CHANNELS - 1 - start) for pixel in range(first, stop)
            )
        position, start = data_end, start + length
    return np.array(counts, dtype=np.int64), np.array(positions, dtype=np.int64)


def _bytes_at(stream: bytes, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the eight bits that start at each bit position."""
    data = np.frombuffer(stream + b"\0", dtype=np.uint8).astype(np.int64)
    byte, offset = positions // 8, positions % 8
    return ((data[byte] << 8 | data[byte + 1]) >> (8 - offset)) & 255
