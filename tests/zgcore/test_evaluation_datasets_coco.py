"""COCO panoptic and COCO-Stuff; index maps are worked out by hand."""

import pytest

from tests.zgcore.data_set_files import (
    V,
    grey_png,
    maps,
    message,
    panoptic_json,
    photo,
    segments_png,
    truth_message,
)
from zgcore.evaluation.datasets import open_data_set


def make_coco(base, at="annotations/", photos="val2017", **changed):
    photo(base / photos / "000000000139.jpg")
    # person 1, bicycle 2, toothbrush 90, wall-other-merged 199: indices 0, 1, 79, 131 of the 133
    panoptic_json(
        base / f"{at}panoptic_val2017.json",
        {"000000000139": [(3_226_956, 1), (70_000, 199), (300, 90), (7, 2)]},
        **changed,
    )
    segments_png(base / f"{at}panoptic_val2017/000000000139.png", [[3_226_956, 70_000, 300], [7, 0, 3_226_956]])


@pytest.mark.parametrize(("at", "photos"), [("annotations/", "val2017"), ("", "images/val2017")])
def test_coco_panoptic_ids_are_colours(tmp_path, at, photos):
    make_coco(tmp_path, at, photos)
    assert maps("coco", tmp_path) == {"000000000139": [[0, 131, 79], [1, V, 0]]}
    data = open_data_set(f"coco:{tmp_path}")
    assert (data.name, len(data.classes)) == ("coco", 133)
    assert (data.classes[131], data.official[131]) == ("wall", "wall-other-merged")
    assert (data.ids[131], len(data.ids)) == (199, 133)
    before = data.digest(data.samples[0])
    data.reader.segments[data.samples[0].name][1][-1] += 1  # a segment is of another class
    assert data.digest(data.samples[0]) != before
    assert "1 of 5,000 images (the list of images is another)" in data.notes[0]


def test_an_image_without_segments_is_void(tmp_path):
    photo(tmp_path / "val2017/1.jpg")
    panoptic_json(tmp_path / "panoptic_val2017.json", {"1": []})
    segments_png(tmp_path / "panoptic_val2017/1.png", [[0, 0]])
    assert maps("coco", tmp_path) == {"1": [[V, V]]}


@pytest.mark.parametrize("number", [8, 1, 16_777_215])
def test_a_segment_that_the_json_does_not_list(tmp_path, number):
    make_coco(tmp_path)
    path = tmp_path / "annotations/panoptic_val2017/000000000139.png"
    segments_png(path, [[7, 300, number]])
    assert truth_message("coco", tmp_path) == (
        f"{path}: segment {number} is not in panoptic_val2017.json; unpack panoptic_annotations_trainval2017.zip "
        "again, both parts of it"
    )


def test_coco_says_what_is_missing(tmp_path):
    photos = "unpack http://images.cocodataset.org/zips/val2017.zip (1 GB) there"
    assert message("coco", tmp_path).startswith(f"{tmp_path}: has no val2017 or images/val2017; {photos}, http")
    photo(tmp_path / "val2017/000000000139.jpg")
    assert "has no annotations/panoptic_val2017.json or panoptic_val2017.json; " in message("coco", tmp_path)
    panoptic_json(tmp_path / "annotations/panoptic_val2017.json", {"000000000139": []})
    assert "has no annotations/panoptic_val2017 or panoptic_val2017; " in message("coco", tmp_path)
    (tmp_path / "annotations/panoptic_val2017").mkdir()
    assert "no image has both photo and truth" in message("coco", tmp_path)
    assert message("coco171", tmp_path).startswith(
        f"{tmp_path}: has no stuffthingmaps/val2017 or annotations/val2017; {photos}, and stuffthingmaps_trainval2017."
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"annotations": [{"image_id": 5, "segments_info": []}]},
        {"annotations": [{"image_id": 0, "segments_info": [{"id": 1, "category_id": 12}]}]},
        {"annotations": [{"image_id": 0, "segments_info": [{"id": 2**70, "category_id": 1}]}]},
        {"annotations": 3},
        {"images": None},
        {"categories": [1]},
    ],
)
def test_a_panoptic_json_that_is_something_else(tmp_path, changed):
    make_coco(tmp_path, **changed)
    path = tmp_path / "annotations/panoptic_val2017.json"
    assert message("coco", tmp_path).startswith(f"{path}: is not COCO's panoptic JSON (")


def test_a_panoptic_json_of_other_categories_or_with_a_path_is_refused(tmp_path):
    make_coco(tmp_path, categories=[{"id": 1, "name": "lesion"}])
    path = tmp_path / "annotations/panoptic_val2017.json"
    assert message("coco", tmp_path).startswith(f"{path}: category 1 is 'lesion', not 'person'; ")
    make_coco(tmp_path, images=[{"id": 0, "file_name": "../../secret.jpg"}])
    assert "'../../secret' is not a file's name" in message("coco", tmp_path)
    for text in ("", "{", "[" * 100_000):
        path.write_text(text)
        assert message("coco", tmp_path).startswith(f"{path}: is not COCO's panoptic JSON (")


@pytest.mark.parametrize(
    ("photos", "labels"), [("val2017", "stuffthingmaps/val2017"), ("images/val2017", "annotations/val2017")]
)
def test_coco_stuff_ids_are_one_less_with_gaps(tmp_path, photos, labels):
    photo(tmp_path / photos / "000000000139.jpg")
    # id - 1: 0 person, 10 fire hydrant (11), 11 the never segmented street sign (12), 12 stop sign (13), 181 wood (182)
    grey_png(tmp_path / labels / "000000000139.png", [[0, 10, 11], [12, 181, 255]])
    grey_png(tmp_path / labels / "000000000139_labelTrainIds.png", [[0]])
    assert maps("coco171", tmp_path) == {"000000000139": [[0, 10, V], [11, 170, V]]}
    data = open_data_set(f"coco171:{tmp_path}")
    assert (data.name, len(data.classes)) == ("coco171", 171)
    assert dict(zip(data.ids, data.official, strict=True))[13] == "stop sign"  # in JSON categories count from 1
    grey_png(tmp_path / labels / "000000000139.png", [[182]])
    assert "id 182 is none of the data set's (1 pixels" in truth_message("coco171", tmp_path)
