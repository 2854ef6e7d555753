"""Label Studio -> COCO -> Label Studio: every pixel, text, id and score comes back."""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ls_backend import brush
from tests.ls_backend.exporting import Exported, annotation, brush_entries, task

HEIGHT, WIDTH = 6, 7
MASKS = arrays(bool, (HEIGHT, WIDTH))  # holes, diagonals, single pixels, nothing at all, regions that touch or overlap
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCORES = st.none() | st.floats(-1, 1)
REGIONS = st.lists(
    st.tuples(MASKS, st.sampled_from(["obj 1", "obj 2"]), st.none() | st.lists(WORDS, max_size=2), SCORES), max_size=4
)
NO_SIZE = "images without a height and width (null), which nobody knows"
CHOICE = {"id": "c0", "from_name": "scene", "to_name": "image", "type": "choices", "value": {"choices": ["inside"]}}


def entries_of(regions, prefix):
    """The entries of regions, with a whole-image choice among them."""
    found = [CHOICE]
    for number, (mask, label, texts, score) in enumerate(regions):
        extra = {} if score is None else {"score": score}
        found += brush_entries(f"{prefix}{number}", mask, label, texts, **extra)
    return found


def decoded(tasks):
    """Tasks with masks in the place of their runs: two codes of a mask are the same mask."""
    tasks = copy.deepcopy(tasks)
    for each in tasks:
        for result in [*each.get("annotations", []), *each.get("predictions", [])]:
            for entry in result["result"]:
                if "rle" in entry["value"]:
                    size = entry["original_height"], entry["original_width"]
                    entry["value"]["rle"] = brush.decode(entry["value"]["rle"], *size).tolist()
    return tasks


def there_and_back(tasks, masks="rle"):
    with tempfile.TemporaryDirectory() as folder:
        there = Exported(Path(folder), tasks)
        document = there.coco(masks=masks)
        assert not there.losses.unreadable
        assert set(+there.lost) <= {NO_SIZE}, "COCO holds everything"
        back = Exported(Path(folder), document)
        assert not back.losses.unreadable
        assert back.coco(masks=masks) == document, "the same input gives the same file, byte for byte"
        return back.tasks()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(REGIONS, REGIONS), min_size=1, max_size=3), st.sampled_from(["rle", "polygon"]))
def test_random_tasks_come_back_whole(drawn, masks):
    tasks = [
        {
            **task(
                70 + number,
                annotation(5 + number, entries_of(people, "h"), by=3, updated_at="2026-01-01T00:00:00Z", lead_time=1.5),
                predictions=[{"id": 9, "model_version": "v1", "score": 0.5, "result": entries_of(model, "p")}],
            ),
            "meta": {"set": number},
            "inner_id": number,
        }
        for number, (people, model) in enumerate(drawn)
    ]
    assert decoded(there_and_back(tasks, masks)) == decoded(tasks)


def test_runs_come_back_byte_for_byte():
    """Ours are those of Label Studio's SDK, so that a file it wrote is the very file again."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[1:4, 2:5] = True
    mask[2, 3] = False
    tasks = [task(1, annotation(2, brush_entries("a", mask, text="ring")), annotation(3))]
    assert there_and_back(tasks) == tasks


def test_tasks_without_annotations_and_without_image_size_come_back():
    tasks = [task(4), task(2, annotation(1)), task(3, image="s3://bucket/a/b.jpg")]
    assert there_and_back(tasks) == tasks


def test_shapes_come_back_as_shapes():
    common = {"to_name": "image", "original_width": 20, "original_height": 10, "image_rotation": 0}
    box = {"x": 10.0, "y": 20.0, "width": 25.0, "height": 30.5, "rotation": 12.5, "rectanglelabels": ["car"]}
    round_shape = {"x": 50.0, "y": 50.0, "radiusX": 20.0, "radiusY": 30.0, "rotation": 0, "ellipselabels": ["wheel"]}
    walk = {"points": [[0.5, 0.5], [60.25, 10], [30, 90]], "closed": True, "polygonlabels": ["sail"]}
    result = [
        {**common, "id": "r", "from_name": "box", "type": "rectanglelabels", "value": box},
        {**common, "id": "e", "from_name": "round", "type": "ellipselabels", "value": round_shape},
        {**common, "id": "p", "from_name": "walk", "type": "polygonlabels", "value": walk},
        {**common, "id": "k", "from_name": "dot", "type": "keypointlabels", "value": {"x": 1, "y": 2, "width": 0.5}},
        {"type": "relation", "from_id": "r", "to_id": "e", "direction": "right"},
    ]
    tasks = [task(1, annotation(2, result))]
    assert there_and_back(tasks) == tasks


def test_a_task_of_several_images_is_one_task_again():
    mask = np.eye(3, dtype=bool)
    first = brush_entries("a", mask, text="one", item_index=0)
    second = brush_entries("b", ~mask, text="two", item_index=1)
    tasks = [{"id": 8, "data": {"image": ["x/1.jpg", "x/2.jpg"]}, "annotations": [annotation(1, second, first)]}]
    with tempfile.TemporaryDirectory() as folder:
        document = json.loads(Exported(Path(folder), tasks).coco())
    assert [(image["id"], image["file_name"], image["task"]) for image in document["images"]] == [
        (1, "x/1.jpg", 8),
        (2, "x/2.jpg", 8),
    ]
    assert [entry["id"] for entry in there_and_back(tasks)[0]["annotations"][0]["result"]] == ["b", "b", "a", "a"]


@pytest.fixture
def document(tmp_path):
    """COCO of one region: label "obj 1", text "red ball"."""
    mask = np.eye(3, dtype=bool)
    return json.loads(Exported(tmp_path, [task(1, annotation(2, brush_entries("a", mask, text="red ball")))]).coco())


def entries_after(folder, document):
    (one,) = Exported(folder, document).tasks()
    return [entry["value"] for entry in one["annotations"][0]["result"]]


def test_a_caption_changed_in_coco_is_the_text(tmp_path, document):
    document["annotations"][0]["caption"] = "blue ball"
    assert [value["text"] for value in entries_after(tmp_path, document) if "text" in value] == [["blue ball"]]


def test_a_category_renamed_in_coco_is_the_text_it_came_from(tmp_path, document):
    assert document["categories"][0]["name"] == "red ball"
    document["categories"][0]["name"] = "ball"
    values = entries_after(tmp_path, document)
    assert [value["text"] for value in values if "text" in value] == [["ball"]]
    assert [value["brushlabels"] for value in values if "brushlabels" in value] == [["obj 1"]]


def test_a_mask_changed_in_coco_is_the_brush(tmp_path, document):
    document["annotations"][0]["segmentation"] = [[0, 0, 2, 0, 2, 1, 0, 1]]
    for value in entries_after(tmp_path, document):
        assert brush.decode(value["rle"], 3, 3).tolist() == [[True, True, False], [False] * 3, [False] * 3]


def test_a_box_whose_mask_was_changed_in_coco_becomes_a_brush(tmp_path):
    box = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["car"]}
    entry = {"id": "r", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": box}
    result = [{**entry, "original_width": 4, "original_height": 4}]
    document = json.loads(Exported(tmp_path, [task(1, annotation(2, result))]).coco())
    assert document["annotations"][0]["area"] == 4
    document["annotations"][0]["segmentation"] = [[0, 0, 4, 0, 4, 1, 0, 1]]
    back = Exported(tmp_path, document)
    (found,) = back.tasks()[0]["annotations"][0]["result"]
    assert (found["type"], found["value"]["brushlabels"]) == ("brushlabels", ["car"])
    assert brush.decode(found["value"]["rle"], 4, 4)[0].all()
    assert sum(back.lost.values()) == 1
