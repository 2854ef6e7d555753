"""Masked attention against the published implementation, against plain formulas, and its edges."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import golden
from zgcore.blocks import finish_block, project_qkv
from zgcore.errors import ConfigError
from zgcore.masked_clip import CropMaskClip, MaskedClip, area_average
from zgcore.stage_profile import StageProfile, stage

REFERENCE = golden.load("masked_clip.npz")


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("no_subtraction", {"global_subtraction": False}),
        ("saliency_output_sigma2_2p5", {}),
        ("saliency_weights_sigma2_2p5", {"saliency": "weights"}),
        ("saliency_weights_sigma2_1p0", {"saliency": "weights", "sigma2": 1.0}),
    ],
)
def test_published_embeddings(key, settings):
    encoder = MaskedClip(golden.vision_tower(), **settings)
    embeddings = encoder.encode(REFERENCE["image"], REFERENCE["masks"])
    assert torch.allclose(embeddings, REFERENCE[key], atol=1e-4, rtol=0)


def test_variants_differ_where_they_should():
    """The golden arrays themselves tell the variants apart, so agreeing with one is not agreeing with all."""
    keys = [
        "no_subtraction",
        "saliency_output_sigma2_2p5",
        "saliency_weights_sigma2_2p5",
        "saliency_weights_sigma2_1p0",
    ]
    for one in range(4):
        for other in range(one):
            assert (REFERENCE[keys[one]] - REFERENCE[keys[other]]).abs().max() > 1e-2


def test_full_mask_without_subtraction_is_the_plain_tower():
    encoder = MaskedClip(golden.vision_tower(), global_subtraction=False)
    plain = golden.vision_tower()(REFERENCE["image"])
    assert torch.allclose(plain, REFERENCE["unmasked"], atol=1e-5)
    assert torch.allclose(encoder.encode(REFERENCE["image"], torch.ones(1, 8, 8)), plain, atol=1e-5)


@pytest.mark.parametrize("saliency", ["output", "weights"])
def test_first_masked_block_by_the_formulas(saliency):
    """One block written out as the paper's equations, with the full attention matrices."""
    encoder = MaskedClip(golden.vision_tower(), masked_blocks=1, saliency=saliency)
    hidden = encoder.prepare_pixels(REFERENCE["image"])
    block = encoder.masked[0]
    mask = F.pad(REFERENCE["masks"][1].flatten(), (1, 0), value=1.0)
    q, k, v = project_qkv(block, hidden)
    weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
    masked = weights * mask / (weights * mask).sum(-1, keepdim=True)
    if saliency == "output":
        s = F.cosine_similarity(
            (masked @ v).transpose(1, 2).flatten(2), (weights @ v).transpose(1, 2).flatten(2), dim=-1
        )
    else:
        s = F.cosine_similarity(masked, weights, dim=-1)
    w = torch.exp(-((s.mean() + 1) ** 2) / (2 * 2.5))
    out = finish_block(block, hidden, masked @ v - w * (weights @ v)[:, :, :1])
    expected = encoder.visual.ln_post(out[:, 0]) @ encoder.visual.proj
    got = encoder.encode_prepared(hidden, REFERENCE["masks"][1:2])
    assert torch.allclose(got, expected, atol=1e-5)


def test_chunks_do_not_change_the_result():
    masks = REFERENCE["masks"].repeat(8, 1, 1)
    whole = MaskedClip(golden.vision_tower()).encode(REFERENCE["image"], masks)
    tight = MaskedClip(golden.vision_tower(), memory_mb=1)
    assert tight._chunk_size(tight.prepare_pixels(REFERENCE["image"])) < 4
    assert torch.allclose(tight.encode(REFERENCE["image"], masks), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "attention"),
    [
        # Queries of masked (3 segments) and unmasked (shared) attention, then products of equation 2 itself.
        ({}, (65, 65, 0)),
        ({"saliency": "weights"}, (1, 1, 2 * 65 * 65 * 128 + 2 * 3 * 2 * 65 * 65 * 2)),
        ({"global_subtraction": False}, (1, 0, 0)),
    ],
)
def test_the_last_block_computes_nothing_that_is_not_read(settings, attention):
    """Counted by hand: 65 tokens of 128, 3 segments, one masked block, whose input all segments share."""
    encoder = MaskedClip(golden.vision_tower(), masked_blocks=1, **settings)
    hidden, masks = encoder.prepare_pixels(REFERENCE["image"]), torch.ones(3, 8, 8)
    masked_queries, unmasked_queries, saliency = attention
    averaging = 2 * (2 * 3 * 8 * 8 * 8)
    projections = 2 * 65 * 128 * 3 * 128
    attended = 4 * 65 * 128 * (3 * masked_queries + unmasked_queries)
    one_token = 2 * 128 * 128 + 2 * 2 * 128 * 512 + 2 * 128 * 64  # out-projection, MLP, projection to 64
    expected = averaging + projections + attended + saliency + 3 * one_token
    assert flops(lambda: encoder.encode_prepared(hidden, masks)) == expected


def test_blocks_share_what_segments_share():
    """Unmasked blocks once an image; the first masked block's projections and unmasked attention once, too."""
    encoder, n, t, d = MaskedClip(golden.vision_tower(), masked_blocks=2), 3, 65, 128
    masks = torch.ones(n, 8, 8)
    block = 24 * t * d * d + 4 * t * t * d  # projections and MLP, attention
    patches = 2 * 64 * d * 3 * 14 * 14
    assert flops(lambda: encoder.prepare_pixels(REFERENCE["image"])) == patches + 6 * block
    hidden = encoder.prepare_pixels(REFERENCE["image"])
    first = 6 * t * d * d + (n + 1) * 4 * t * t * d + n * 18 * t * d * d
    last = n * (6 * t * d * d + 2 * 4 * t * t * d + 18 * d * d + 2 * d * 64)
    assert flops(lambda: encoder.encode_prepared(hidden, masks)) == 2 * (2 * n * 8 * 8 * 8) + first + last


def flops(function) -> int:
    profile = StageProfile(torch.device("cpu"))
    with profile.active(), stage("embedding"):
        function()
    return profile.costs["embedding"].flops


def test_no_segments():
    assert MaskedClip(golden.vision_tower()).encode(REFERENCE["image"], torch.zeros(0, 8, 8)).shape == (0, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masked_blocks": 9}, "1..8"),
        ({"masked_blocks": 0}, "1..8"),
        ({"sigma2": 0.0}, "sigma2"),
        ({"saliency": "values"}, "output, weights"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        MaskedClip(golden.vision_tower(), **settings)


def test_area_average_cuts_pixels_exactly():
    """Three pixels over two cells: the middle pixel counts half to each side."""
    mask = torch.tensor([[[1.0, 0.0, 1.0]]])
    assert torch.allclose(area_average(mask, 1, 2), torch.tensor([[[2 / 3, 2 / 3]]]))
    mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]])
    assert torch.allclose(area_average(mask, 1, 2), torch.tensor([[[0.75, 0.0]]]))


def test_area_average_onto_a_finer_grid_repeats():
    mask = torch.tensor([[[1.0, 0.0]]])
    assert torch.equal(area_average(mask, 2, 4), torch.tensor([[[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]]))


def test_area_average_keeps_the_mean():
    masks = torch.rand(3, 37, 53)
    assert torch.allclose(area_average(masks, 8, 8).mean((1, 2)), masks.mean((1, 2)), atol=1e-6)


def test_pixels_are_squashed_and_normalised():
    image = np.full((10, 30, 3), 255, np.uint8)
    pixels = MaskedClip(golden.vision_tower()).pixels(image)
    assert pixels.shape == (1, 3, 112, 112)
    assert torch.allclose(pixels[0, :, 5, 5], torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-4)


class TestCropAndMask:
    def encoder(self) -> CropMaskClip:
        return CropMaskClip(golden.vision_tower())

    def test_full_mask_is_the_plain_tower(self):
        embeddings = self.encoder().encode(REFERENCE["image"], torch.ones(1, 112, 112))
        assert torch.allclose(embeddings, REFERENCE["unmasked"], atol=1e-4)

    def test_only_the_segment_matters(self):
        """Pixels outside the mask, inside or outside its bounding box, change nothing."""
        mask = torch.zeros(1, 56, 56)
        mask[0, 10:30, 5:20] = 1
        mask[0, 12:14, 7:9] = 0
        pixels = torch.randn(1, 3, 56, 56)
        changed = torch.where(mask[0] > 0, pixels, torch.randn(1, 3, 56, 56))
        encoder = self.encoder()
        assert torch.equal(encoder.encode(pixels, mask), encoder.encode(changed, mask))
        assert not torch.allclose(encoder.encode(pixels, mask), encoder.encode(pixels, torch.ones(1, 56, 56)))

    def test_working_size_keeps_the_aspect(self):
        assert self.encoder().mask_size(3000, 4000) == (768, 1024)
        assert self.encoder().mask_size(30, 40) == (30, 40)
        assert self.encoder().mask_size(1, 5000) == (1, 1024)

    def test_a_faint_mask_is_cropped_at_its_strongest(self):
        mask = torch.zeros(1, 16, 16)
        mask[0, 3, 4] = 0.2
        assert self.encoder().encode(torch.randn(1, 3, 16, 16), mask).isfinite().all()
