"""Exports of hand-made records: areas and boxes worked out on 4 x 4 masks, read back by the tools they are for."""

import base64
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from ls_backend import brush
from ls_backend.exports import NumberedRecord
from ls_backend.exports.coco import coco_pieces
from ls_backend.exports.labelstudio import (
    IMAGE_NAME,
    MASK_NAME,
    PALETTE,
    TEXT_NAME,
    data_uri,
    local_files_url,
    task,
    task_pieces,
)
from ls_backend.exports.read_run import record_item
from ls_backend.merged import write_merged
from ls_backend.people import PeoplePolicy
from ls_backend.record import ImageRecord, RecordError, RunStamp, SourceFile, from_segmentation, to_segmentation
from ls_backend.run_folder import RunFolder, RunRecords, Source
from zgcore import Segmentation, SegmentTree
from zgcore.gallery import templates_folder

STAMP = RunStamp("mini", "abc", "mini-1", False)
FILE = SourceFile("/photos/a.jpg", 10, 20, "00")
# A ring around the middle of four pixels, and one corner.
INDEX = np.array([[0, 0, 0, 2], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=np.int32)
LABELS = ("lawn", "red ball", "")


def segmentation(index=INDEX, labels=LABELS, scores=(0.25, 0.5, -0.125), random_weights=False):
    n = len(labels)
    nodes = {1: (0,), 2: (1, 2), 3: (2, 3, 4)}[n]
    return Segmentation(
        index_map=index,
        nodes=nodes,
        labels=labels,
        embeddings=np.zeros((n, 2), np.float32),
        scores=np.array(scores[:n], np.float32),
        tree=SegmentTree(nodes, index),
        preset="mini",
        random_weights=random_weights,
    )


def record(name="a", stamp=STAMP, **changes):
    return from_segmentation(name, FILE, stamp, segmentation(**changes))


@pytest.fixture
def entries():
    one = np.zeros((2, 3), dtype=np.int32)
    return [
        NumberedRecord(1, "a.jpg", record()),
        NumberedRecord(3, "sub/b.jpg", record("b", index=one, labels=("lawn",))),
    ]


def test_a_record_has_exact_areas_and_tight_boxes():
    segments = record().segments
    assert [segment.area for segment in segments] == [11, 4, 1]
    assert [segment.bbox for segment in segments] == [(0, 0, 4, 4), (1, 1, 2, 2), (3, 0, 1, 1)]
    assert [segment.score for segment in segments] == [0.25, 0.5, -0.125]


def test_a_record_survives_json_and_becomes_the_segmentation_again():
    made = record()
    read = ImageRecord.from_json(made.to_json())
    assert read == made
    again = to_segmentation(read)
    assert np.array_equal(again.index_map, INDEX)
    assert (again.labels, again.nodes) == (LABELS, (2, 3, 4))


def test_huge_node_numbers_stay_exact():
    """A tree as lopsided as it gets: 80 splits of the last leaf, so its number needs 81 bits."""
    leaves = [0]
    for _ in range(80):
        leaves[-1:] = [2 * leaves[-1] + 1, 2 * leaves[-1] + 2]
    n, index = len(leaves), np.arange(len(leaves), dtype=np.int32)[None, :]
    result = Segmentation(
        index_map=index,
        nodes=tuple(leaves),
        labels=("x",) * n,
        embeddings=np.zeros((n, 1), np.float32),
        scores=np.zeros(n, np.float32),
        tree=SegmentTree(tuple(leaves), index),
        preset="mini",
    )
    made = from_segmentation("a", FILE, STAMP, result)
    assert leaves[-1] == 2**81 - 2
    assert to_segmentation(ImageRecord.from_json(made.to_json())).nodes == tuple(leaves)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-3],
        lambda data: b"[]",
        lambda data: data.replace(b'"schema":1', b'"schema":99'),
        lambda data: data.replace(b'"height":4', b'"height":5'),
        lambda data: data.replace(b'"segments":', b'"segmente":'),
        lambda data: b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_refused(damage):
    with pytest.raises(RecordError):
        ImageRecord.from_json(damage(record().to_json()))


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="overflowed"):
        record(scores=(0.5, float("nan"), 0.5))


def test_coco_loads_in_pycocotools_with_masks_areas_and_boxes(tmp_path, entries):
    path = tmp_path / "annotations.json"
    path.write_text("".join(coco_pieces(entries, STAMP)))
    coco = COCO(str(path))
    assert coco.getImgIds() == [1, 3]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["lawn", "red ball", "unnamed"]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [annotation["id"] for annotation in annotations] == [1000, 1001, 1002]
    for index, annotation in enumerate(annotations):
        assert np.array_equal(coco.annToMask(annotation), index == INDEX)
        assert coco.annToMask(annotation).sum() == annotation["area"]
    assert annotations[1]["bbox"] == [1, 1, 2, 2]
    assert [annotation["caption"] for annotation in annotations] == ["lawn", "red ball", ""]
    assert coco.loadImgs([3])[0] == {"id": 3, "file_name": "sub/b.jpg", "height": 2, "width": 3}


def test_coco_keeps_images_without_annotations():
    empty = ImageRecord("e", FILE, STAMP, 4, 4)
    document = json.loads("".join(coco_pieces([NumberedRecord(1, "e.jpg", empty)], STAMP)))
    assert document["images"] == [{"id": 1, "file_name": "e.jpg", "height": 4, "width": 4}]
    assert document["annotations"] == []


def test_coco_says_where_the_weights_are_random(entries):
    plain = json.loads("".join(coco_pieces(entries, STAMP)))["info"]
    assert (plain["preset"], plain["model_version"], plain["random_weights"]) == ("mini", "mini-1", False)
    assert "note" not in plain
    random = json.loads("".join(coco_pieces(entries, RunStamp("mini", "abc", "mini-1", True))))["info"]
    assert "random weights" in random["note"]


def test_an_empty_run_is_a_whole_document():
    assert json.loads("".join(coco_pieces([], STAMP)))["images"] == []
    assert json.loads("".join(task_pieces([], lambda entry: ""))) == []


def test_label_studio_ties_text_to_mask_and_keeps_every_pixel(entries):
    tasks = json.loads("".join(task_pieces(entries, lambda entry: "/x/" + entry.file_name)))
    assert [task["data"] for task in tasks] == [
        {"image": "/x/a.jpg", "file_name": "a.jpg"},
        {"image": "/x/sub/b.jpg", "file_name": "sub/b.jpg"},
    ]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == "mini-1"
    assert prediction["score"] == pytest.approx((0.25 * 11 + 0.5 * 4 - 0.125) / 16, abs=1e-6)
    masks = [region for region in prediction["result"] if region["type"] == "brushlabels"]
    texts = [region for region in prediction["result"] if region["type"] == "textarea"]
    assert (
        [region["id"] for region in masks] == [region["id"] for region in texts] == ["segment0", "segment1", "segment2"]
    )
    assert [region["value"]["text"] for region in texts] == [["lawn"], ["red ball"], [""]]
    for index, region in enumerate(masks):
        assert (region["original_width"], region["original_height"], region["image_rotation"]) == (4, 4, 0)
        assert np.array_equal(brush.decode(region["value"]["rle"], 4, 4), index == INDEX)
        assert region["value"]["brushlabels"] == [f"obj {index + 1}"]


@pytest.mark.parametrize(
    ("people", "texts", "checked"),
    [
        (None, ["person", "homeless night"], [1]),
        (PeoplePolicy("flag"), ["Asian woman", "homeless night"], [0, 1]),
        (PeoplePolicy("keep"), ["Asian woman", "homeless night"], []),
    ],
)
def test_the_task_of_a_run_describes_nobody_and_its_record_stays(tmp_path, people, texts, checked):
    folder = RunFolder(tmp_path)
    index = np.array([[0, 1]], dtype=np.int32)
    made = from_segmentation("a", FILE, STAMP, segmentation(index, ("Asian woman", "homeless night"), (0.5, 0.5)))
    folder.save(made, np.zeros((2, 2), np.float32))
    records = RunRecords(folder, (Source(1, Path(FILE.path), "a"),), STAMP, Path("/photos"))
    write_merged(records, ["labelstudio", "coco"], lambda entry: entry.file_name, people)
    (document,) = json.loads((tmp_path / "labelstudio.json").read_text())
    result = document["predictions"][0]["result"]
    assert [entry["value"]["text"] for entry in result[1::2]] == [[text] for text in texts]
    assert [number for number, entry in enumerate(result[::2]) if "meta" in entry] == checked
    said = ("Asian woman", "homeless night")
    assert tuple(segment.label for segment in folder.load("a").segments) == said
    coco = json.loads((tmp_path / "annotations.json").read_text())
    assert tuple(annotation["caption"] for annotation in coco["annotations"]) == said
    if people is not None:
        wanted = {"labels": 2, "replaced": 0, "flagged": len(checked)}
        assert people.counts == wanted


def test_more_segments_than_colours_start_the_palette_again():
    index = np.arange(22, dtype=np.int32).reshape(1, 22)
    nodes = tuple(range(21, 43))
    result = Segmentation(
        index,
        nodes,
        ("x",) * 22,
        np.zeros((22, 1), np.float32),
        np.zeros(22, np.float32),
        SegmentTree(nodes, index),
        "mini",
    )
    entry = NumberedRecord(1, "a.jpg", from_segmentation("a", FILE, STAMP, result))
    made = task([record_item(entry)], "")["predictions"][0]["result"]
    colours = [region["value"]["brushlabels"][0] for region in made if region["type"] == "brushlabels"]
    assert colours[18:] == ["obj 19", "obj 20", "obj 1", "obj 2"]


def test_the_labelling_config_has_the_names_that_predictions_use():
    config = ET.parse(templates_folder() / "free_text.xml").getroot()
    brushes, text, image = config.find("BrushLabels"), config.find("TextArea"), config.find("Image")
    assert [label.get("value") for label in brushes.findall("Label")] == list(PALETTE)
    assert len({label.get("background") for label in brushes.findall("Label")}) == len(PALETTE)
    assert (brushes.get("name"), text.get("name"), image.get("name")) == (MASK_NAME, TEXT_NAME, IMAGE_NAME)
    assert brushes.get("toName") == text.get("toName") == image.get("name")
    assert (text.get("perRegion"), image.get("value")) == ("true", "$image")


def test_local_files_are_named_below_the_document_root(tmp_path):
    photo = tmp_path / "set 1" / "ä&b.jpg"
    assert local_files_url(photo, tmp_path) == "/data/local-files/?d=set%201/%C3%A4%26b.jpg"
    with pytest.raises(ValueError, match="subpath"):
        local_files_url(photo, tmp_path / "other")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp"])
def test_photos_that_browsers_show_travel_as_they_are(tmp_path, suffix):
    photo = tmp_path / f"a.{suffix}"
    Image.new("RGB", (3, 2), (200, 10, 10)).save(photo)
    head, content = data_uri(photo).split(",")
    assert base64.b64decode(content) == photo.read_bytes()
    assert head == f"data:image/{suffix.replace('jpg', 'jpeg')};base64"


def test_a_tiff_travels_as_png(tmp_path):
    photo = tmp_path / "a.tif"
    Image.new("RGB", (3, 2), (200, 10, 10)).save(photo)
    head, content = data_uri(photo).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")
