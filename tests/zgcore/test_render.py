"""The overlay, its colours and where its labels go."""

from __future__ import annotations

import numpy as np
import pytest

from zgcore.colours import PALETTE, hex_colour, neighbours, segment_colours
from zgcore.placement import LabelStyle, clean_text, place_labels, plate_size, poles, wrap
from zgcore.render import OverlayStyle, outline, overlay
from zgcore.segmentation import Segmentation, SegmentTree


def segmentation(index_map, labels, *, random_weights=False) -> Segmentation:
    index_map = np.asarray(index_map, np.int32)
    n = len(labels)
    return Segmentation(
        index_map, tuple(range(n)), tuple(labels), np.zeros((n, 2), np.float32), np.full(n, 0.25, np.float32),
        SegmentTree((0,), np.zeros_like(index_map)), "mini", random_weights,
    )  # fmt: skip


def halves(height: int, width: int) -> np.ndarray:
    index_map = np.zeros((height, width), np.int32)
    index_map[:, width // 2 :] = 1
    return index_map


def test_neighbours_are_those_that_share_an_edge():
    # 0 0 1
    # 2 3 1   0 touches 1, 2, 3; 1 touches 3; 2 touches 3; 1 and 2 do not meet
    touching = neighbours(np.array([[0, 0, 1], [2, 3, 1]], np.int32), 4)
    assert np.argwhere(np.triu(touching)).tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert (touching == touching.T).all()


@pytest.mark.parametrize("count", [1, 2, 20, 21, 100, 300])
def test_colours_are_all_different_and_stable(count):
    index_map = np.arange(count, dtype=np.int32)[None].repeat(2, axis=0)
    colours = segment_colours(index_map, count)
    assert colours.shape == (count, 3)
    assert len(np.unique(colours, axis=0)) == count
    np.testing.assert_array_equal(colours, segment_colours(index_map, count))
    assert hex_colour(colours[0]) == "#" + PALETTE[0]


def test_a_segment_among_all_others_keeps_apart_from_them():
    # Segment 0 is the ground that 40 islands lie in: no island may look like it.
    index_map = np.zeros((9, 81), np.int32)
    index_map[4, 1::2] = np.arange(1, 41)
    colours = segment_colours(index_map, 41).astype(int)
    assert np.abs(colours[1:] - colours[0]).sum(axis=1).min() > 60


def test_blend_is_the_mean_away_from_lines():
    index_map = halves(40, 60)
    photo = np.full((40, 60, 3), (100, 0, 255), np.uint8)
    out = overlay(photo, segmentation(index_map, ["a", "b"]), opacity=0.5, labels=False)
    colours = segment_colours(index_map, 2).astype(int)
    for x, colour in ((5, colours[0]), (55, colours[1])):
        assert out[20, x].tolist() == np.rint((np.array([100, 0, 255]) + colour) / 2).astype(int).tolist()


def test_opacity_zero_leaves_the_photo_between_lines():
    photo = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    before = photo.copy()
    out = overlay(photo, segmentation(np.zeros((30, 30)), ["all"]), opacity=0.0, labels=False)
    np.testing.assert_array_equal(out, before)
    np.testing.assert_array_equal(photo, before)


def test_outline_stands_before_the_border():
    edge = outline(np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]], np.int32), 1)
    assert edge.astype(int).tolist() == [[0, 1, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_outline_shows_on_any_ground(shade):
    photo = np.full((40, 40, 3), shade, np.uint8)
    out = overlay(photo, segmentation(halves(40, 40), ["a", "b"]), opacity=0.0, labels=False)[20, :, 0].astype(int)
    assert out[19] >= 229  # white at nine tenths
    assert out[18] == out[20] == round(shade * 0.55)  # the dark rim
    assert out[17] == out[21] == shade


def test_pole_of_an_l_shape_is_in_its_corner_block():
    # A 6 x 6 block with arms 2 thick: the point farthest from the border lies in the block.
    index_map = np.ones((20, 20), np.int32)
    index_map[2:8, 2:8] = 0
    index_map[2:4, 8:18] = 0
    index_map[8:18, 2:4] = 0
    x, y = poles(index_map, 3, LabelStyle())[0] * 20
    assert 4 <= x <= 6
    assert 4 <= y <= 6
    assert np.isnan(poles(index_map, 3, LabelStyle())[2]).all()


def test_labels_lie_inside_their_segment_and_never_overlap():
    rng = np.random.default_rng(1)
    seeds = rng.uniform(0, 1, (14, 2)) * (300, 420)
    grid = np.stack(np.mgrid[:300, :420], -1)
    index_map = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(-1).astype(np.int32)
    labels = [f"thing number {i} with a rather long name" if i % 3 else "cat" for i in range(14)]
    placed = place_labels(index_map, labels, LabelStyle())
    assert len(placed) == 14
    covered = np.zeros((300, 420), int)
    for label in placed:
        left, top = round(label.x - label.width / 2), round(label.y - label.height / 2)
        box = np.s_[top : top + label.height, left : left + label.width]
        covered[box] += 1
        assert (index_map[box] == label.segment).mean() >= 0.96
        text = " ".join(label.lines)
        assert text in (labels[label.segment], str(label.segment + 1))
        assert (label.width, label.height) == plate_size(label.lines, label.size, LabelStyle())
    assert covered.max() == 1
    assert any(len(label.lines) > 1 for label in placed)


def test_font_grows_with_the_segment():
    index_map = np.zeros((400, 600), np.int32)
    index_map[:60, :90] = 1
    sizes = {label.segment: label.size for label in place_labels(index_map, ["sky", "sun"], LabelStyle())}
    assert sizes[0] == 21  # 400 * 0.052
    assert 10 <= sizes[1] < sizes[0]


def test_small_segments_get_their_number_and_tiny_ones_nothing():
    index_map = np.zeros((200, 200), np.int32)
    index_map[50:68, 50:70] = 1
    index_map[100:103, 100:103] = 2
    placed = place_labels(index_map, ["meadow", "a long-legged bird", "beetle"], LabelStyle())
    assert [(label.segment, label.lines) for label in placed] == [(0, ("meadow",)), (1, ("2",))]


def test_labels_the_font_cannot_draw_become_numbers():
    index_map = np.zeros((100, 200), np.int32)
    for label in ("犬", "ψάρι", "café", "🐶", "\u202e\u0000", "", " "):
        placed = place_labels(index_map, [label], LabelStyle())
        assert placed[0].lines == ("1",), label
    assert place_labels(index_map, ["cup & saucer (2)"], LabelStyle())[0].lines == ("cup & saucer (2)",)


def test_reserved_room_is_kept_clear():
    index_map = np.zeros((100, 200), np.int32)
    (label,) = place_labels(index_map, ["ground"], LabelStyle(), reserved=(0, 30, 200, 100))
    assert label.y + label.height / 2 <= 30


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("one", 1, ("one",)),
        ("one two", 2, ("one", "two")),
        ("a bb ccc dddd", 2, ("a bb ccc", "dddd")),
        ("unbreakable", 2, None),
        ("red brick house", 3, ("red", "brick", "house")),
    ],
)
def test_wrap(text, lines, expected):
    assert wrap(text, lines) == expected


def test_clean_text():
    assert clean_text("a\n b\t\0c\u202e \ud800d") == "a b c ?d"


def test_random_weights_are_written_into_the_picture():
    photo = np.full((120, 300, 3), 90, np.uint8)
    plain = overlay(photo, segmentation(halves(120, 300), ["a", "b"]), labels=False)
    warned = overlay(photo, segmentation(halves(120, 300), ["a", "b"], random_weights=True), labels=False)
    changed = (plain != warned).any(axis=-1)
    assert changed[60:].any()
    assert not changed[:60].any()
    red, white = OverlayStyle().note_plate[:3], (255, 255, 255)
    corner = warned[changed].reshape(-1, 3).astype(int)
    assert (np.abs(corner - red).max(axis=1) < 30).mean() > 0.4
    assert (np.abs(corner - white).max(axis=1) < 30).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (43, 64)])
def test_tiny_images(shape):
    photo = np.zeros((*shape, 3), np.uint8)
    assert overlay(photo, segmentation(np.zeros(shape), ["x"], random_weights=True)).shape == (*shape, 3)


def test_an_overlong_label_and_many_segments():
    index_map = np.arange(64).reshape(8, 8).repeat(30, 0).repeat(30, 1)
    out = overlay(np.zeros((240, 240, 3), np.uint8), segmentation(index_map, ["word " * 5000] * 64))
    assert out.shape == (240, 240, 3)


def test_wrong_sizes_and_opacity_are_refused():
    one = segmentation(np.zeros((4, 5)), ["x"])
    with pytest.raises(ValueError, match="the photo is"):
        overlay(np.zeros((5, 4, 3), np.uint8), one)
    with pytest.raises(ValueError, match="opacity must be"):
        overlay(np.zeros((4, 5, 3), np.uint8), one, opacity=2)
