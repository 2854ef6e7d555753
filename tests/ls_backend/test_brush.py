"""The brush code against streams that label-studio-sdk 2.1.2 wrote, and against itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ls_backend import brush

GOLDEN = json.loads((Path(__file__).parent / "data" / "brush_golden.json").read_text())
HEADER = f"{7:05b}" + "0010001101111111"


def golden_mask(case):
    values = (np.arange(len(case["runs"])) % 2 == 0) == case["first"]
    return np.repeat(values, case["runs"]).reshape(case["height"], case["width"])


def stream(total, *tokens, header=HEADER):
    bits = f"{total:032b}" + header + "".join(tokens)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_encode_gives_the_bytes_of_the_sdk(name):
    case = GOLDEN[name]
    assert brush.encode(golden_mask(case)) == case["rle"]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_decode_reads_the_bytes_of_the_sdk(name):
    case = GOLDEN[name]
    assert np.array_equal(brush.decode(case["rle"], case["height"], case["width"]), golden_mask(case))


def test_encode_by_hand():
    """Two pixels, off and on: a run of four 0s and a run of four 255s, each 14 bits, then the padding."""
    bits = f"{8:032b}" + HEADER + "1" + "00" + "011" + "0" * 8 + "1" + "00" + "011" + "1" * 8 + "0" * 7
    assert brush.encode(np.array([[False, True]])) == [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_round_trip(mask):
    assert np.array_equal(brush.decode(brush.encode(mask), *mask.shape), mask)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=6), st.booleans())
def test_round_trip_of_long_runs(runs, first):
    values = (np.arange(len(runs)) % 2 == 0) == first
    mask = np.repeat(values, runs)[None, :]
    assert np.array_equal(brush.decode(brush.encode(mask), *mask.shape), mask)


def test_a_noisy_mask_crosses_chunks(monkeypatch):
    mask = np.random.default_rng(0).random((50, 60)) < 0.5
    whole = brush.encode(mask)
    monkeypatch.setattr(brush, "TOKENS_PER_CHUNK", 7)
    assert brush.encode(mask) == whole


def test_decode_reads_values_one_by_one():
    """The editor writes unequal neighbours as one literal run; only every fourth value is an alpha."""
    values = [9, 9, 9, 0, 1, 2, 3, 255, 0, 0, 0, 7]
    literal = "0" + "01" + f"{len(values) - 1:04b}" + "".join(f"{value:08b}" for value in values)
    assert brush.decode(stream(12, literal), 1, 3).tolist() == [[False, True, True]]


def test_decode_reads_runs_that_cross_pixels():
    """Six 255s, then two literals 0 and 5: pixel 0 is on by the run, pixel 1's alpha is the literal 5."""
    six, two = "1" + "00" + "101" + "1" * 8, "0" + "00" + "001" + "0" * 8 + f"{5:08b}"
    assert brush.decode(stream(8, six, two), 2, 1).tolist() == [[True], [True]]
    other = "0" + "00" + "001" + f"{5:08b}" + "0" * 8
    assert brush.decode(stream(8, six, other), 2, 1).tolist() == [[True], [False]]


def test_decode_reads_other_run_sizes():
    sizes = "".join(f"{bits - 1:04b}" for bits in (1, 2, 5, 16))
    run = "1" + "10" + f"{7:05b}" + "1" * 8
    assert brush.decode(stream(8, run, header=f"{7:05b}" + sizes), 1, 2).all()


RUN_OF_EIGHT = "1" + "00" + "111" + "1" * 8


@pytest.mark.parametrize(
    ("rle", "size", "message"),
    [
        ([], (1, 2), "ends inside its header"),
        ([0, 0, 0, 8, 57], (1, 2), "ends inside its header"),
        (stream(8), (1, 2), "ends before its last pixel"),
        (stream(8, "1" + "00" + "011" + "1" * 8), (1, 2), "ends before its last pixel"),
        (stream(1 << 20, "0" + "11" + "1" * 16), (512, 512), "ends before its last pixel"),
        (stream(8, RUN_OF_EIGHT), (1, 3), "holds 8 values; an image of this size has 12"),
        (stream((1 << 32) - 1, RUN_OF_EIGHT), (1, 2), "holds 4294967295 values"),
        (stream(8, "1" + "11" + "1" * 16 + "1" * 8), (1, 2), "add up to more"),
        (stream(8, RUN_OF_EIGHT, header=f"{15:05b}" + HEADER[5:]), (1, 2), "words of 16 bits"),
        ([0, 0, 256], (1, 2), "integers 0..255"),
        ([0, "a"], (1, 2), "integers 0..255"),
        ([-1], (1, 2), "integers 0..255"),
        ([0], (0, 2), "empty or above the limit"),
        ([0], (100_000, 100_000), "empty or above the limit"),
    ],
)
def test_decode_refuses(rle, size, message):
    with pytest.raises(ValueError, match=message):
        brush.decode(rle, *size)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_decode_of_any_bytes_ends_in_a_mask_or_a_value_error(tail, height, width):
    rle = stream(height * width * 4) + list(tail)
    try:
        mask = brush.decode(rle, height, width)
    except ValueError:
        return
    assert mask.shape == (height, width)


@pytest.mark.parametrize("mask", [np.zeros((0, 3), bool), np.zeros(4, bool), np.zeros((1, 2, 3), bool)])
def test_encode_refuses(mask):
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        brush.encode(mask)
