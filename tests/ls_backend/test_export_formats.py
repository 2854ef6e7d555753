"""Each format read back by its own rules, and what each says it lost."""

import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from ls_backend.exports.panoptic import write_panoptic
from ls_backend.exports.table import write_csv
from ls_backend.exports.voc import write_voc
from ls_backend.exports.yolo import write_yolo, yaml_string
from tests.ls_backend.exporting import Exported, annotation, brush_entries, task

RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)  # 9 pixels, a hole, two parts
TOP = np.zeros((4, 4), dtype=bool)
TOP[0] = True  # 4 pixels, 3 of them the ring's
MIDDLE = np.zeros((4, 4), dtype=bool)
MIDDLE[1, 1] = True
CHOICE = {"id": "c", "from_name": "scene", "to_name": "image", "type": "choices", "value": {"choices": ["in"]}}


@pytest.fixture
def exported(tmp_path):
    """Image 1: a ring, a strip over it, a dot that a second dot covers. Image 2: nothing, its size unknown."""
    first = annotation(
        5,
        brush_entries("ring", RING, text="ring", score=0.5),
        brush_entries("strip", TOP, text="strip"),
        brush_entries("under", MIDDLE, text="dot"),
        brush_entries("over", MIDDLE, text="dot"),
        [CHOICE],
    )
    return Exported(tmp_path, [task(1, first, image="/data/local-files/?d=x/a.jpg"), task(2, image="s3://b/b.jpg")])


SHOWN = [[2, 2, 2, 2], [1, 4, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]  # region + 1 of each pixel
SAID_OF_PAINT = {
    "pixels of regions that a later region covers": 3 + 1,
    "regions that later ones cover whole, or that have no pixels": 1,
    "whole-image entries (choices, texts, shapes without area)": 1,
    "images whose height and width nobody knows": 1,
}


def panoptic_rules(document, folder):
    """What panopticapi's pq_compute and its converters demand of a file and its PNGs."""
    images = {image["id"]: image for image in document["images"]}
    categories = {category["id"]: category for category in document["categories"]}
    assert all({"id", "name", "supercategory", "isthing", "color"} <= set(each) for each in categories.values())
    assert len({annotation["image_id"] for annotation in document["annotations"]}) == len(images)
    for each in document["annotations"]:
        image = images[each["image_id"]]
        pixels = np.asarray(Image.open(folder / each["file_name"]), dtype=np.uint32)  # RGB, as rgb2id wants it
        assert pixels.shape == (image["height"], image["width"], 3)
        ids = pixels[..., 0] + 256 * pixels[..., 1] + 256**2 * pixels[..., 2]
        infos = {info["id"]: info for info in each["segments_info"]}
        assert len(infos) == len(each["segments_info"])
        assert set(np.unique(ids).tolist()) - {0} == set(infos)
        for number, info in infos.items():
            assert info["category_id"] in categories
            rle = coco_mask.encode(np.asfortranarray(ids == number, dtype=np.uint8))
            assert (info["area"], info["bbox"]) == (int(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist())
            assert info["iscrowd"] in (0, 1)
        yield image, ids, infos


def test_panoptic_keeps_panopticapis_rules_and_counts_overlaps(tmp_path, exported):
    path = write_panoptic(exported.spool, exported.survey, {}, tmp_path, exported.lost)
    document = json.loads(path.read_text())
    ((image, ids, infos),) = panoptic_rules(document, tmp_path / "panoptic")
    assert image["file_name"] == "x/a.jpg"
    red, green, blue = 128, 128 * 256, 128 * 65536  # VOC's colours of 1, 2 and 4
    assert ids.tolist() == np.array([0, red, green, red + green, blue])[np.array(SHOWN)].tolist()
    assert (infos[red]["caption"], infos[red]["region"], infos[red]["annotator"]) == ("ring", "ring", 1)
    assert (infos[red]["score"], infos[red]["annotation_id"], infos[red]["area"]) == (0.5, 1000, 6)
    assert set(infos) == {red, green, blue}
    assert +exported.lost == SAID_OF_PAINT


def test_more_segments_than_a_byte_holds_have_ids_of_their_own(tmp_path):
    """300 regions of one pixel each."""
    masks = np.eye(300, dtype=bool).reshape(300, 15, 20)
    regions = [brush_entries(f"r{number}", mask, text="dot") for number, mask in enumerate(masks)]
    exported = Exported(tmp_path, [task(1, annotation(1, *regions))])
    path = write_panoptic(exported.spool, exported.survey, {}, tmp_path, exported.lost)
    ((_, ids, _),) = panoptic_rules(json.loads(path.read_text()), tmp_path / "panoptic")
    assert len(set(ids.ravel().tolist()) - {0}) == 300
    folder = write_voc(exported.spool, exported.survey, tmp_path, exported.lost)
    objects = np.asarray(Image.open(next((folder / "SegmentationObject").glob("*.png"))))
    assert np.array_equal(objects.ravel(), np.minimum(np.arange(1, 301), 255))
    assert exported.lost["regions beyond 254 of an image, void among its objects"] == 300 - 254


def test_yolo_has_a_line_a_part_and_counts_holes(tmp_path, exported):
    path = write_yolo(exported.spool, exported.survey, tmp_path, exported.lost)
    config = yaml.safe_load(path.read_text())
    assert config["names"] == {0: "dot", 1: "ring", 2: "strip"}
    lines = [line.split() for line in (tmp_path / "yolo/labels/x/a.txt").read_text().splitlines()]
    corners = {(int(line[0]), frozenset(zip(line[1::2], line[2::2], strict=True))) for line in lines}
    assert corners == {
        (1, frozenset({("0", "0"), ("0.75", "0"), ("0.75", "0.75"), ("0", "0.75")})),
        (1, frozenset({("0.75", "0.75"), ("1", "0.75"), ("1", "1"), ("0.75", "1")})),
        (2, frozenset({("0", "0"), ("1", "0"), ("1", "0.25"), ("0", "0.25")})),
        (0, frozenset({("0.25", "0.25"), ("0.5", "0.25"), ("0.5", "0.5"), ("0.25", "0.5")})),
    }
    assert len(lines) == 5
    assert (tmp_path / "yolo/labels/b.txt").read_text() == "", "an image without regions is background"
    assert (tmp_path / "yolo/images.txt").read_text() == "images/x/a.jpg\nimages/b.jpg\n"
    assert +exported.lost == {
        "holes that are filled": 1,
        "pixels of filled holes": 1,
        "regions cut into several lines, one a part": 1,
        "scores": 1,
        "ids of regions, their annotators and origins": 4,
        "whole-image entries (choices, texts, shapes without area)": 1,
    }


@pytest.mark.parametrize(
    "text", ["a: b #c", "- x", '"quoted\\', "é 犬 😀", "line\nbreak", "\x85\u2028\x7f\x00", "yes", "1"]
)
def test_any_text_is_a_yaml_string(text):
    assert yaml.safe_load(f"names:\n  0: {yaml_string(text)}\n") == {"names": {0: text}}


def test_voc_has_indexed_pictures_in_its_colours(tmp_path, exported):
    folder = write_voc(exported.spool, exported.survey, tmp_path, exported.lost)
    classes = Image.open(folder / "SegmentationClass/x/a.png")
    objects = Image.open(folder / "SegmentationObject/x/a.png")
    assert (classes.mode, objects.mode) == ("P", "P")
    shown = np.array(SHOWN)
    assert np.array_equal(np.asarray(classes), np.array([0, 2, 3, 1, 1])[shown])  # dot 1, ring 2, strip 3
    assert np.array_equal(np.asarray(objects), np.array([0, 1, 2, 0, 3])[shown])
    colours = np.array(classes.getpalette()).reshape(-1, 3).tolist()
    assert colours[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert colours[20] == [0, 64, 128], "VOC's tvmonitor"
    assert (folder / "ImageSets/Segmentation/default.txt").read_text() == "x/a\n"
    assert "ring:0,128,0::\n" in (folder / "labelmap.txt").read_text()
    said = +exported.lost
    assert said == {**SAID_OF_PAINT, "scores": 1, "ids of regions, their annotators and origins": 4}


def test_voc_keeps_the_254_most_frequent_classes(tmp_path):
    masks = np.eye(300, dtype=bool).reshape(300, 15, 20)
    regions = [brush_entries(f"r{number}", mask, text=f"thing {number:03}") for number, mask in enumerate(masks)]
    again = brush_entries("again", masks[299], text="thing 299")
    exported = Exported(tmp_path, [task(1, annotation(1, *regions, again))])
    folder = write_voc(exported.spool, exported.survey, tmp_path, exported.lost)
    classes = np.asarray(Image.open(next((folder / "SegmentationClass").glob("*.png")))).ravel()
    assert classes[:253].tolist() == list(range(1, 254))
    assert classes[299] == 254, "the one that is there twice"
    assert set(classes[253:299].tolist()) == {255}
    assert exported.lost["regions of classes beyond the 254 most frequent, now void"] == 46


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def test_the_table_has_a_row_a_region(tmp_path, exported):
    rows = rows_of(write_csv(exported.spool, exported.survey, tmp_path, exported.lost))
    assert [row["region"] for row in rows] == ["ring", "strip", "under", "over"]
    ring = rows[0]
    assert (ring["task"], ring["annotation_id"], ring["result"], ring["annotator"]) == ("1", "1000", "5", "1")
    assert (ring["caption"], ring["labels"], ring["score"], ring["source"]) == ("ring", "obj 1", "0.5", "annotation")
    assert [ring[key] for key in ("x", "y", "width", "height", "area", "area_share")] == [
        "0",
        "0",
        "4",
        "4",
        "9",
        "0.5625",
    ]
    assert +exported.lost == {
        "masks": 4,
        "images without regions": 1,
        "whole-image entries (choices, texts, shapes without area)": 1,
    }


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "\n=1"]
)
def test_no_text_is_a_formula(tmp_path, text):
    exported = Exported(tmp_path, [task(1, annotation(2, brush_entries("r", RING, text=text, score=-0.5)))])
    (row,) = rows_of(write_csv(exported.spool, exported.survey, tmp_path, exported.lost))
    assert row["caption"] == "'" + text
    assert row["score"] == "-0.5", "numbers stay numbers"
    assert exported.lost["texts with a ' in front, so that no spreadsheet runs them"] >= 1


def test_a_table_keeps_commas_quotes_and_lines(tmp_path):
    text = 'a, "b"\nc;d'
    exported = Exported(tmp_path, [task(1, annotation(2, brush_entries("r", RING, text=text)))])
    (row,) = rows_of(write_csv(exported.spool, exported.survey, tmp_path, Counter()))
    assert (row["caption"], row["category"]) == (text, 'a, "b" c;d')
