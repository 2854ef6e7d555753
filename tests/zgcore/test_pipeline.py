"""The stages joined, on small random models: what must hold whatever the labels mean."""

import numpy as np
import pytest
import torch

from zgcore import Segmentation, SegmentTree, ZeroGuidance, load_image
from zgcore.errors import ConfigError
from zgcore.masked_clip import CropMaskClip
from zgcore.merge import Described, cosine, similarity
from zgcore.samples import sample_paths
from zgcore.segmentation import sibling


@pytest.fixture(scope="module")
def model() -> ZeroGuidance:
    return ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, crf__refine_size=0)


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    return {path.stem: load_image(path) for path in sample_paths() if path.stem in ("bus_tiny", "cat", "photographer")}


@pytest.fixture(scope="module")
def results(model, photos) -> dict[str, Segmentation]:
    return dict(zip(photos, model.segment_many(list(photos.values())), strict=True))


def test_segments_cover_the_image_at_its_own_size(photos, results):
    for name, image in photos.items():
        result = results[name]
        assert result.index_map.shape == image.shape[:2]
        assert (result.masks.sum(axis=0) == 1).all()
        assert 1 < len(result) <= 20
        assert sorted(result.areas(), reverse=True) == result.areas().tolist()
        assert result.areas().min() > 0


def test_segments_are_nodes_of_the_tree(results):
    for result in results.values():
        for segment in result:
            assert np.array_equal(segment.mask, result.tree.mask(segment.node))


def test_labels_scores_and_embeddings_belong_together(model, results):
    for result in results.values():
        assert result.embeddings.shape == (len(result), 64)
        assert result.embeddings.dtype == np.float32
        features = model.labeller.label_features(list(result.labels)).numpy()
        cosines = [cosine(one, other) for one, other in zip(features, result.embeddings, strict=True)]
        assert result.scores == pytest.approx(np.array(cosines), abs=1e-4)
        assert all(label and label == label.lower() and "." not in label for label in result.labels)


def test_the_same_image_gives_the_same_result(model, photos, results):
    again = model(photos["cat"])
    once_more = model(photos["cat"])
    assert np.array_equal(again.index_map, once_more.index_map)
    assert again.labels == once_more.labels
    assert again.embeddings.tobytes() == once_more.embeddings.tobytes()
    assert np.array_equal(again.index_map, results["cat"].index_map)  # alone or together
    assert again.labels == results["cat"].labels


@pytest.mark.parametrize("threshold", [0.0, 0.99])
def test_merging_follows_the_rule_to_its_end(photos, threshold):
    """No two siblings that are both segments are left with a similarity above the threshold."""
    model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, merge__threshold=threshold)
    result = model(photos["cat"])
    texts = model.labeller.label_features(list(result.labels)).numpy()
    segments = {
        node: Described(result.embeddings[row], result.labels[row], 0.0, texts[row])
        for row, node in enumerate(result.nodes)
    }
    pairs = [(node, sibling(node)) for node in segments if node % 2 and sibling(node) in segments]
    assert all(similarity(segments[one], segments[other], 0.5) < threshold for one, other in pairs)
    assert bool(pairs) == (threshold > 0.5)


def test_a_merged_segment_is_embedded_from_its_union(photos):
    model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, merge__threshold=-1.0)
    result = model(photos["cat"])
    assert result.nodes == (0,)
    whole = model.encoder.encode(model.encoder.pixels(photos["cat"]), torch.ones(1, 1, 1))
    assert torch.allclose(torch.from_numpy(result.embeddings), whole, atol=1e-4)


def test_max_segments(photos):
    for most in (1, 4):
        model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, max_segments=most)
        result = model(photos["photographer"])
        assert len(result) <= most
        assert (result.masks.sum(axis=0) == 1).all()


def test_min_area(photos):
    model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, min_area=0.05)
    result = model(photos["photographer"])
    assert result.tree.areas().min() >= 0.05 * result.index_map.size
    assert len(result) >= 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (5, 7)])
def test_odd_images(model, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result = model(image)
    assert result.index_map.shape == shape
    assert (result.masks.sum(axis=0) == 1).all()


def test_one_colour(model):
    result = model(np.full((40, 60, 3), 128, np.uint8))
    assert (result.masks.sum(axis=0) == 1).all()


@pytest.mark.parametrize("image", [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)
])  # fmt: skip
def test_not_an_image(model, image):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        model(image)


def test_no_images(model):
    assert model.segment_many([]) == []


def test_seconds_are_told(results):
    for result in results.values():
        assert set(result.seconds) == {"candidates", "embedding", "text"}
        assert min(result.seconds.values()) > 0


def test_random_weights_are_told(model, results):
    assert model.random_weights
    assert all(result.random_weights and result.preset == "untrained" for result in results.values())
    assert model.version.endswith("-random")


def test_crop_and_mask_behind_the_same_call(photos):
    model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, clip__encoder="crop")
    assert isinstance(model.encoder, CropMaskClip)
    result = model(photos["bus_tiny"])
    assert (result.masks.sum(axis=0) == 1).all()


def test_settings_change_the_version_and_only_what_matters_does():
    def version(**settings: object) -> str:
        return ZeroGuidance.from_preset("untrained", device="cpu", **settings).version

    assert version() == version(clip__memory_mb=512)
    assert len({version(), version(seed=1), version(merge__threshold=0.7), version(clip__saliency="weights")}) == 4


@pytest.mark.parametrize(("preset", "settings", "message"), [
    ("minni", {}, "no preset 'minni'"),
    ("untrained", {"clip__sigma": 1.0}, "no setting clip.sigma"),
    ("untrained", {"clap__sigma2": 1.0}, "no setting"),
    ("untrained", {"clip__sigma2": -1.0}, "sigma2 must be positive"),
    ("untrained", {"device": "tpu9"}, "device 'tpu9'"),
    ("untrained", {"clip__masked_blocks": 99}, "masked_blocks must be 1..6"),
])  # fmt: skip
def test_wrong_settings(preset, settings, message):
    with pytest.raises(ConfigError, match=message):
        ZeroGuidance.from_preset(preset, **settings)


def test_tree_of_the_result_is_the_candidates(results):
    for result in results.values():
        assert isinstance(result.tree, SegmentTree)
        assert len(result.tree.leaves) >= len(result)
        assert result.tree.mask(0).all()
