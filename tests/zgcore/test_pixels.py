"""Resizing and normalising by hand."""

import numpy as np
import pytest
import torch

from zgcore.pixels import CLIP_MEAN, CLIP_STD, to_tensor


def test_values_by_hand():
    image = np.array([[[0, 128, 255]]], np.uint8)
    pixels = to_tensor(image, (1, 1), (0.5, 0.5, 0.25), (0.5, 0.25, 0.5))
    assert pixels.dtype == torch.float32
    assert pixels.flatten().tolist() == pytest.approx([-1.0, (128 / 255 - 0.5) / 0.25, 1.5], abs=1e-6)


def test_height_comes_first_and_channels_stay_in_order():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :4, 0] = 255
    pixels = to_tensor(image, (2, 6), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert pixels.shape == (1, 3, 2, 6)
    assert (pixels[0, 0, :, 0] > 0.9).all()
    assert (pixels[0, 0, :, 5] < 0.1).all()
    assert (pixels[0, 1:] == 0).all()


def test_clip_constants():
    """Black and white after CLIP's normalisation."""
    black = to_tensor(np.zeros((1, 1, 3), np.uint8), (1, 1), CLIP_MEAN, CLIP_STD).flatten()
    assert black.tolist() == pytest.approx([-1.7923, -1.7521, -1.4802], abs=1e-4)
