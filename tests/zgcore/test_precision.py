"""benchmarks/precision.py: what it counts, by hand; and that float32 differs from itself nowhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.precision import (
    CONTROL,
    PhotoChange,
    best_matches,
    caption_changes,
    compare_captions,
    label_losses,
    one_level_of_noise,
    photo_changes,
    segment,
)
from benchmarks.zerocap import tiny
from zgcore import ZeroGuidance, load_image
from zgcore.build import assemble, load_models, pick_device, vision_format
from zgcore.images import thumbnail
from zgcore.presets import get_preset
from zgcore.samples import sample_paths
from zgcore.zerocap import Beam, Caption

DIRECTIONS = {"cat": (1.0, 0.0), "lion": (0.8, 0.6), "car": (0.0, 1.0), "bus": (-0.6, 0.8)}


def features(labels):
    return torch.tensor([DIRECTIONS[label] for label in labels])


def caption(label, *texts):
    beams = [Beam(text, (number,), -1.0) for number, text in enumerate(texts)]
    return Caption(label, 0.5, beams, torch.tensor(DIRECTIONS[label]))


def test_losses_are_differences_of_cosines():
    """Lengths of embeddings do not count: 1 - 0.8 at the second, 0 - 0.6 at the third, where the other fits better."""
    embeddings = torch.tensor([[1.0, 0.0], [5.0, 0.0], [-3.0, 0.0], [0.0, 2.0]])
    found = label_losses(embeddings, ["cat", "cat", "car", "bus"], ["cat", "lion", "bus", "bus"], features)
    assert found == pytest.approx([0.2, -0.6])
    assert label_losses(embeddings, ["cat"] * 4, ["cat"] * 4, features) == []


def test_shares_of_captions():
    """Of four: one label differs, two lists of beams do, one by the order of its texts alone."""
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    one, other = Beam("a", (1,), -1.0), Beam("b", (2,), -2.0)
    swapped = [Caption("cat", 0.5, beams, torch.tensor(DIRECTIONS["cat"])) for beams in ([one, other], [other, one])]
    expected = [caption("cat", "a"), caption("car", "a", "b"), swapped[0], caption("bus", "a")]
    found = [caption("cat", "a"), caption("lion", "a"), swapped[1], caption("bus", "a")]
    change = compare_captions(embeddings, expected, found, features)
    assert (change.count, change.beams, change.identical) == (4, 2, False)
    assert change.losses == pytest.approx([0.4])  # of (0, 1): car 1, lion 0.6
    assert change.row("half") == "| half | 1 of 4 (25.0%) | 2 of 4 (50.0%) | 0.4000 | 0.4000 | 0 |"
    same = compare_captions(embeddings, expected, expected, features)
    assert same.row("again") == "| again | 0 of 4 (0.0%) | 0 of 4 (0.0%) | | | |"  # six cells as well


@pytest.mark.parametrize("changed", ["score", "similarity", "embedding"])
def test_one_bit_is_a_difference(changed):
    """Labels and tokens alike, but one number is the next one that float can hold."""
    number, last = -1.0, torch.tensor(1.0)
    if changed == "score":
        number = float(np.nextafter(-1.0, 0))
    if changed == "embedding":
        last = torch.nextafter(last, torch.tensor(2.0))
    similarity = float(np.nextafter(0.5, 1)) if changed == "similarity" else 0.5
    one = Caption("cat", 0.5, [Beam("cat", (1,), -1.0)], torch.tensor([0.0, 1.0]))
    other = Caption("cat", similarity, [Beam("cat", (1,), number)], torch.stack([torch.tensor(0.0), last]))
    for pair, identical in (((one, one), True), ((one, other), False)):
        change = compare_captions(torch.ones(1, 2), [pair[0]], [pair[1]], features)
        assert (change.beams, change.losses, change.identical) == (0, [], identical)


def test_regions_are_matched_by_overlap():
    """Region 0 has 2 pixels, both in the other's 1 of 3: IoU 2/3. Region 1 has 4, and the other's 0 is 3 of them."""
    expected = np.array([[0, 0, 1], [1, 1, 1]], dtype=np.int32)
    found = np.array([[1, 1, 1], [0, 0, 0]], dtype=np.int32)
    matches, ious = best_matches(expected, found)
    assert matches.tolist() == [1, 0]
    assert ious == pytest.approx([2 / 3, 3 / 4])


def test_float32_again_is_the_same_and_half_precision_is_not():
    setup = tiny(candidates=8, max_tokens=2, iterations=2)
    changes = dict(caption_changes(setup, setup.embeddings(2), torch.bfloat16))
    control = changes.pop(CONTROL)
    assert (control.count, control.losses, control.beams, control.identical) == (2, [], 0, True)
    assert len(changes) == 3
    assert not any(change.identical for change in changes.values())  # scores differ in some bit


@pytest.fixture(scope="module")
def photo():
    return thumbnail(load_image(sample_paths()[0]), 96)


def test_noise_is_one_level_at_most(photo):
    difference = one_level_of_noise(photo).astype(int) - photo
    assert set(np.unique(difference)) == {-1, 0, 1}
    assert one_level_of_noise(np.full((8, 8, 3), 255, np.uint8)).min() == 254


def test_photos(photo):
    """With random models on a small photo."""
    changes = photo_changes("untrained", [photo], torch.bfloat16, torch.device("cpu"))
    control = changes.pop(CONTROL)
    assert control.identical
    assert (set(control.ious), control.losses, control.renamed) == ({1.0}, [], [0.0])
    assert not any(change.identical for change in changes.values())
    own_candidates = changes["embeddings alone, on float32's candidates"]
    assert set(own_candidates.ious) == {1.0}


def test_pixels_renamed_are_counted(photo):
    """An outcome against itself with the largest segment renamed: its share of the pixels, and nothing else."""
    outcome = segment(ZeroGuidance.from_preset("untrained", device="cpu", tree__leaves=2, tree__similarity=1.0), photo)
    labels = ("cat", *outcome.segments.labels[1:])
    renamed = type(outcome)(outcome.tree, outcome.candidates, replace(outcome.segments, labels=labels))
    change = PhotoChange()
    change.add(outcome, renamed, features)
    assert change.renamed == [pytest.approx((outcome.segments.index_map == 0).mean())]
    assert (change.losses, change.identical) == ([], False)


def test_only_the_vision_towers_are_rounded():
    config = get_preset("mini")
    models = load_models(config, "mini")
    text = models.clip.token_embedding.weight.clone()
    model = assemble(models, config, pick_device("cpu"), vision=torch.bfloat16)
    assert model.precision == {
        "features": torch.bfloat16, "embedding": torch.bfloat16, "Ward": torch.float32, "text": torch.float32
    }  # fmt: skip
    assert torch.equal(model.labeller.clip_text.tower.token_embedding.weight, text)
    assert {p.dtype for p in models.language_model.parameters()} == {torch.float32}
    assert vision_format(torch.device("cpu")) == torch.float32
