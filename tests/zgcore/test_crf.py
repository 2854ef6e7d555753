"""Mask refinement: hand-made two-colour images whose true edge lies between grid cells."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zgcore.config import CrfConfig
from zgcore.crf import Refiner, label_map, segment_costs, upsample

EDGE = 37


@pytest.fixture(scope="module")
def two_colours():
    """A 60 x 80 image, black left of column 37 and white from it on; the grid's border is at column 40."""
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    image[:, EDGE:] = 255
    labels = np.zeros((6, 8), dtype=np.int32)
    labels[:, 4:] = 1
    return image, segment_costs(np.eye(2)[labels], labels, 2)


def truth(image):
    return (image[..., 0] > 0).astype(np.int32)


class TestSegmentCosts:
    def test_hand_computed(self):
        features = np.array([[[0.0], [2.0], [5.0]]])  # centroids 1 and 5
        costs = segment_costs(features, np.array([[0, 0, 1]]), 2)
        # squared distances: 1 1 16 to the first, 25 9 0 to the second; less 25, 9, 16
        np.testing.assert_allclose(costs, [[[-24, -8, 0]], [[0, 0, -16]]])
        assert costs.dtype == np.float32

    def test_is_the_definition(self):
        rng = np.random.default_rng(0)
        features, labels = rng.normal(size=(5, 6, 4)), rng.integers(0, 3, (5, 6))
        centroids = np.stack([features[labels == i].mean(axis=0) for i in range(3)])
        far = np.square(features[None] - centroids[:, None, None]).sum(axis=-1)
        np.testing.assert_allclose(segment_costs(features, labels, 3), far - far.max(axis=0), atol=1e-5)

    def test_segment_without_members_is_never_preferred(self):
        labels = np.array([[0, 2]])
        costs = segment_costs(np.array([[[0.0], [1.0]]]), labels, 3)
        np.testing.assert_allclose(costs, [[[-1, 0]], [[0, 0]], [[0, -1]]])

    @pytest.mark.parametrize("labels", [[[0, 2]], [[-1, 0]], [[0], [1]]])
    def test_labels_that_do_not_fit(self, labels):
        with pytest.raises(ValueError, match=r"labels must be \(1, 2\) in 0\.\.1"):
            segment_costs(np.zeros((1, 2, 1)), np.array(labels), 2)


class TestRefiner:
    @pytest.mark.parametrize(
        "config", [CrfConfig(size=60), CrfConfig(size=30, refine_size=60), CrfConfig(size=30, refine_size=4096)]
    )
    def test_follows_the_edge_to_the_pixel(self, two_colours, config):
        image, costs = two_colours
        refined = Refiner(config)(image, costs)
        assert refined.dtype == np.int32
        np.testing.assert_array_equal(refined, truth(image))

    def test_without_a_field_the_grid_decides(self, two_colours):
        image, costs = two_colours
        refined = Refiner(CrfConfig(size=0, refine_size=60))(image, costs)
        np.testing.assert_array_equal(refined, np.broadcast_to(np.arange(80) >= 40, (60, 80)))

    def test_half_size_is_exact_to_two_pixels_only(self, two_colours):
        image, costs = two_colours
        wrong = Refiner(CrfConfig(size=30))(image, costs) != truth(image)
        assert wrong.any()
        assert set(wrong.nonzero()[1]) <= {EDGE - 2, EDGE - 1, EDGE, EDGE + 1}

    def test_a_label_may_vanish_and_the_others_keep_their_numbers(self):
        image = np.full((40, 40, 3), 128, dtype=np.uint8)
        image[:, 20:] = 250
        labels = np.repeat([[0, 2]] * 20, 10, axis=1)
        labels[5, 5] = 1  # one cell of 2 x 2 pixels in a plain area, hardly unlike its surroundings
        features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])[labels]
        refined = Refiner(CrfConfig(size=40))(image, segment_costs(features, labels, 3))
        assert set(np.unique(refined)) == {0, 2}
        np.testing.assert_array_equal(refined, np.broadcast_to(np.where(np.arange(40) < 20, 0, 2), (40, 40)))

    def test_same_input_same_bytes(self):
        rng = np.random.default_rng(0)
        image, costs = rng.integers(0, 256, (50, 70, 3)).astype(np.uint8), -rng.random((5, 6, 8)).astype(np.float32)
        config = CrfConfig(size=32, refine_size=50)
        assert Refiner(config)(image, costs).tobytes() == Refiner(config)(image, costs).tobytes()

    @pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 300), (300, 3), (17, 16)])
    @pytest.mark.parametrize("size", [0, 16])
    def test_small_and_narrow_images(self, shape, size):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
        refined = Refiner(CrfConfig(size=size))(image, -rng.random((3, 2, 5)).astype(np.float32))
        assert refined.shape == shape
        assert refined.min() >= 0
        assert refined.max() <= 2

    def test_one_segment_needs_no_field(self):
        refined = Refiner(CrfConfig())(np.zeros((4, 5, 3), np.uint8), np.zeros((1, 2, 2), np.float32))
        np.testing.assert_array_equal(refined, np.zeros((4, 5)))

    def test_no_pixels(self):
        assert Refiner(CrfConfig())(np.zeros((0, 5, 3), np.uint8), np.zeros((2, 1, 1), np.float32)).shape == (0, 5)

    @pytest.mark.parametrize(
        ("image", "costs"),
        [
            (np.zeros((4, 4), np.uint8), np.zeros((2, 1, 1), np.float32)),
            (np.zeros((4, 4, 3), np.float32), np.zeros((2, 1, 1), np.float32)),
            (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4), np.float32)),
            (np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4), np.float32)),
        ],
    )
    def test_wrong_shapes(self, image, costs):
        with pytest.raises(ValueError, match="must be"):
            Refiner(CrfConfig())(image, costs)


class TestInterpolation:
    @pytest.mark.parametrize("size", [(50, 61), (3, 4), (6, 7), (1, 1), (6, 30)])
    def test_upsample_is_torchs(self, size):
        maps = np.random.default_rng(0).random((3, 6, 7)).astype(np.float32)
        expected = F.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear")[0].numpy()
        np.testing.assert_allclose(upsample(maps, *size), expected, atol=1e-6)

    @pytest.mark.parametrize("size", [(50, 61), (3, 4), (6, 7), (1, 1)])
    @pytest.mark.parametrize("chunk", [1, 200, 1 << 19])
    def test_label_map_is_the_argmax_of_the_upsampled_scores(self, size, chunk, monkeypatch):
        monkeypatch.setattr("zgcore.crf.CHUNK_PIXELS", chunk)
        scores = np.random.default_rng(1).random((4, 6, 7)).astype(np.float32)
        scores[:, 2:5, 2:6] = scores[:, 2:3, 2:3]  # with places that share their winner
        np.testing.assert_array_equal(label_map(scores, *size), upsample(scores, *size).argmax(axis=0))

    def test_a_grid_of_one_cell(self):
        np.testing.assert_array_equal(label_map(np.array([[[0.1]], [[0.2]]]), 2, 3), np.ones((2, 3)))
