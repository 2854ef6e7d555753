"""The published class lists: sizes, orders, and names as one says them."""

import pytest

from zgcore.class_lists import class_list


@pytest.mark.parametrize(
    ("name", "count", "last"),
    [
        ("voc", 20, (20, "tvmonitor", "tv monitor")),
        ("pascal_context_59", 59, (59, "wood", "wood")),
        ("pascal_context_59_fcn_order", 59, (59, "wood", "wood")),
        ("pascal_context_459", 459, (459, "wool", "wool")),
        ("coco", 80, (90, "toothbrush", "toothbrush")),
        ("coco_panoptic", 133, (200, "rug-merged", "rug")),
        ("coco_stuff_things", 171, (182, "wood", "wood")),
        ("ade", 150, (150, "flag", "flag")),
    ],
)
def test_every_list_is_whole_and_its_names_are_told_apart(name, count, last):
    classes = class_list(name)
    assert len(classes) == count
    assert (classes[-1].id, classes[-1].official, classes[-1].plain) == last
    assert [c.id for c in classes] == sorted({c.id for c in classes})
    assert len({c.official for c in classes}) == len({c.plain for c in classes}) == count


def test_both_orders_of_the_59_hold_the_same_names_and_all_are_among_the_459():
    detail, fcn = class_list("pascal_context_59"), class_list("pascal_context_59_fcn_order")
    assert {c.official for c in detail} == {c.official for c in fcn}
    assert [c.official for c in detail[:4]] == ["aeroplane", "bag", "bed", "bedclothes"]
    assert [c.official for c in fcn[:4]] == ["aeroplane", "bicycle", "bird", "boat"]
    ids = {c.official: c.id for c in class_list("pascal_context_459")}
    assert [ids[c.official] for c in detail[:5]] == [2, 9, 18, 19, 22]
    assert [ids[c.official] for c in detail] == sorted(ids[c.official] for c in detail), "the order of the 459"


def test_names_are_read_as_one_says_them_and_kept_as_published():
    panoptic = {c.official: c.plain for c in class_list("coco_panoptic")}
    assert panoptic["wall-other-merged"] == "wall"
    assert panoptic["door-stuff"] == "door"
    assert panoptic["floor-wood"] == "wooden floor"
    assert panoptic["dining table"] == "dining table"
    context = {c.official: c.plain for c in class_list("pascal_context_459")}
    assert (context["pottedplant"], context["tvmonitor"], context["bedclothes"]) == (
        "potted plant", "tv monitor", "bedding",
    )  # fmt: skip
    assert context["horse-drawn carriage"] == "horse-drawn carriage"


def test_no_suffix_of_coco_is_left_in_a_name_that_one_says():
    plain = [c.plain for name in ("coco_panoptic", "coco_stuff_things") for c in class_list(name)]
    assert [name for name in plain if name.endswith(("-merged", "-other", "-stuff")) or "-" in name] == []
