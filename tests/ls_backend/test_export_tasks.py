"""What is read out of Label Studio tasks: shapes as pixels, what belongs together, and tasks that lie."""

import io
import json

import numpy as np
import pytest

from ls_backend import brush
from ls_backend.cli import main
from ls_backend.exports.choose import Choice
from ls_backend.exports.names import OutputNames, image_name, reference_name, relative_path
from ls_backend.exports.nesting import ShallowFile
from ls_backend.exports.shapes import region_mask
from tests.ls_backend.exporting import Exported, annotation, brush_entries, task

DOT = np.zeros((4, 4), dtype=bool)
DOT[1, 2] = True
LEFT = np.arange(4)[None, :].repeat(4, 0) < 2


def regions_of(folder, *tasks, **options):
    return [region for item in Exported(folder, list(tasks), **options).items for region in item.regions]


def test_a_rectangle_turns_clockwise_about_its_corner():
    value = {"x": 50, "y": 0, "width": 50, "height": 25, "rotation": 90}
    mask = region_mask("rectanglelabels", value, 4, 4).mask()  # 2 x 1 pixels at (2, 0), turned to lie left of x = 2
    expected = np.zeros((4, 4), dtype=bool)
    expected[0:2, 1] = True
    assert np.array_equal(mask, expected)


def test_an_ellipse_covers_the_pixels_whose_centres_it_covers():
    value = {"x": 50, "y": 50, "radiusX": 50, "radiusY": 25, "rotation": 0}
    mask = region_mask("ellipse", value, 4, 4).mask()
    # Rows 1 and 2 are 0.5 from the centre line of a half height of 1: columns up to 2 * sqrt(3/4) = 1.73 from x = 2.
    assert mask.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]
    upright = region_mask("ellipse", {**value, "rotation": 90}, 4, 4).mask()
    assert np.array_equal(upright, mask.T)


def test_a_polygon_in_percent_covers_its_pixels():
    value = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]]}
    assert np.array_equal(region_mask("polygonlabels", value, 4, 4).mask(), LEFT)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("rectangle", {"x": 0, "y": 0, "width": "1", "height": 1}),
        ("rectangle", {"x": 0, "y": 0, "width": 1e300, "height": 1}),
        ("polygon", {"points": [[0, 0], [1, 1]]}),
        ("polygon", {"points": [[0, 0], [1, 1], [1]]}),
        ("polygon", {}),
        ("ellipse", {"x": 0, "y": 0, "radiusX": True, "radiusY": 1}),
        ("brush", {"rle": [1, 2, 3]}),
        ("brush", {"rle": "abc"}),
        ("brushlabels", {"brushlabels": ["sky"]}),
    ],
)
def test_shapes_that_are_none_are_refused(kind, value):
    with pytest.raises(ValueError, match=r".+"):
        region_mask(kind, value, 4, 4)


def test_label_text_score_and_origin_of_one_id_are_one_region(tmp_path):
    result = brush_entries("a", DOT, "animal", ["red", "ball"], score=0.25, origin="prediction-changed")
    (region,) = regions_of(tmp_path, task(1, annotation(2, result, by={"id": 7, "email": "a@example.com"})))
    assert (region.id, region.labels, region.texts) == ("a", ("animal",), ("red", "ball"))
    assert (region.score, region.origin, region.control, region.caption) == (
        0.25,
        "prediction-changed",
        "mask",
        "red\nball",
    )
    assert (region.rle.area, region.rle.bbox) == (1, (2, 1, 1, 1))


def test_labels_of_a_tag_of_its_own_belong_to_the_brush_of_their_id(tmp_path):
    """<Labels> and <Brush> beside each other: the runs stand in both entries."""
    (brush_entry,) = brush_entries("a", DOT)
    runs = brush_entry["value"]["rle"]
    brush_entry |= {"type": "brush", "from_name": "paint", "value": {"format": "rle", "rle": runs}}
    label = {**brush_entry, "type": "labels", "from_name": "kind", "value": {**brush_entry["value"], "labels": ["dog"]}}
    (region,) = regions_of(tmp_path, task(1, annotation(2, [label, brush_entry])))
    assert (region.labels, region.control, len(region.entries)) == (("dog",), "kind", 2)
    assert all("rle" not in entry["value"] for _, entry in region.entries)


@pytest.mark.parametrize(
    ("labels", "category"),
    [(("obj 1", "obj 2"), "red ball"), (("animal", "plant"), "animal"), (("animal",), "red ball")],
)
def test_the_category_is_the_label_where_labels_are_names_of_things(tmp_path, labels, category):
    regions = [
        brush_entries("a", DOT, labels[0], "red ball"),
        *(brush_entries(name, ~DOT, name) for name in labels[1:]),
    ]
    exported = Exported(tmp_path, [task(1, annotation(2, *regions))])
    assert exported.survey.naming(exported.items[0].regions[0]) == category


@pytest.mark.parametrize(("rule", "category"), [("label", "animal"), ("text", "red ball")])
def test_the_category_is_what_was_asked_for(tmp_path, rule, category):
    exported = Exported(
        tmp_path, [task(1, annotation(2, brush_entries("a", DOT, "animal", "red ball")))], category=rule
    )
    assert list(exported.survey.numbers) == [category]


def test_what_cannot_be_read_is_counted_and_takes_nothing_with_it(tmp_path):
    good = brush_entries("good", DOT, text="dot")
    (cut,) = brush_entries("cut", DOT)
    cut["value"]["rle"] = cut["value"]["rle"][:-3]
    (huge,) = brush_entries("huge", DOT)
    huge |= {"original_width": 10**9, "original_height": 10**9}
    (sizeless,) = brush_entries("sizeless", DOT)
    del sizeless["original_width"]
    other_size = brush_entries("small", DOT[:2, :2])
    tasks = [
        task(1, annotation(2, good, [cut, huge, sizeless, "text", {"id": 4, "value": []}, {"id": "x", "value": 3}])),
        "no task",
        {"id": 5},
        {"id": 6, "data": {}, "annotations": {"a": 1}},
        {"id": 7, "data": {}, "annotations": ["x"]},
        task(8, annotation(9, good, other_size), {"result": None}, {"id": 1, "result": "abc"}),
    ]
    exported = Exported(tmp_path, tasks)
    assert [[region.id for region in item.regions] for item in exported.items] == [["good"], ["good"]]
    assert exported.losses.unreadable == {
        "regions that cannot be read": 3,
        "entries that are no objects": 1,
        "tasks that cannot be read": 4,
        "regions of another size than their image": 1,
        "annotations or predictions without a result": 2,
    }
    assert "region cut: the brush RLE ends" in exported.losses.examples["regions that cannot be read"][0]


def test_a_small_file_cannot_claim_a_large_mask(tmp_path):
    """Two bytes a run: 100 million pixels would be a gigabyte of RGBA."""
    (bomb,) = brush_entries("a", np.zeros((1000, 1000), dtype=bool))
    bomb |= {"original_width": 20_000, "original_height": 20_000}
    exported = Exported(tmp_path, [task(1, annotation(2, [bomb]))])
    assert exported.losses.unreadable == {"regions that cannot be read": 1}


def test_a_file_nested_too_deep_is_one_task_that_cannot_be_read(tmp_path):
    deep = '{"id": 1, "data": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}"
    path = tmp_path / "deep.json"
    path.write_text(f"[{deep}, {json.dumps(task(2))}]")
    assert main(["export", str(path), "--out", str(tmp_path / "out")]) == 1
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [image["task"] for image in document["images"]] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '[{"id":1,"data":' + '{"a":' * 100_000,
        '{"images":[],"annotations":' + "[" * 100_000,
        '{"images":[],"other":["' + "\\\\" * 40_000 + '",' + "[" * 100_000,
    ],
)
def test_brackets_without_end_are_refused(tmp_path, capsys, text):
    path = tmp_path / "deep.json"
    path.write_text(text)
    assert main(["export", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "nests lists and objects more than 10,000 deep" in " ".join(capsys.readouterr().err.split())


def test_brackets_in_texts_nest_nothing(tmp_path):
    """However the escapes and quotes fall on the parts that are read."""
    data = {"image": "a.jpg", **{f"{'x' * number}": '\\"[[{' * 9_000 + "[" * number for number in range(3)}}
    path = tmp_path / "flat.json"
    path.write_text(json.dumps([{**task(1), "data": data}]))
    watched = ShallowFile(io.BytesIO(path.read_bytes()), "flat.json")
    for size in (1, 2, 3, 65_536):
        watched.seek(0)
        while watched.read(size):
            pass
        assert watched._depth == 0
    assert main(["export", str(path), "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("/data/local-files/?d=set%201/%C3%A4%26b.jpg", "set 1/ä&b.jpg"),
        ("/data/upload/12/0a1b2c3d-cat.jpg", "0a1b2c3d-cat.jpg"),
        ("s3://bucket/2024/a.jpg", "2024/a.jpg"),
        ("https://host/x/a%20b.png?token=secret", "x/a b.png"),
        ("../../etc/passwd", "etc/passwd"),
        ("/data/local-files/?d=..%2F..%2Fetc%2Fpasswd", "etc/passwd"),
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("a/\x1b[31m\n/b.jpg", "a/[31m/b.jpg"),
        ("data:image/png;base64,AAAA", ""),
        ("http://[broken", ""),
    ],
)
def test_a_reference_gives_a_path_that_stays_in_its_folder(reference, name):
    assert reference_name(reference) == name


def test_the_name_of_a_tasks_image_is_found_whatever_its_key():
    assert image_name({"n": 1, "pic": "a.jpg"}, "image", None) == "a.jpg"
    assert image_name({"text": "a photo of a cat", "image": "/x/b"}, "image", None) == "x/b"
    assert image_name({"images": ["a.jpg", "b.jpg"]}, "image", 1) == "b.jpg"
    assert image_name({"image": "data:image/png;base64,AA", "file_name": "c.png"}, "image", None) == "c.png"
    assert image_name({"text": "a photo of a cat"}, "image", None) == ""


def test_output_names_are_safe_and_no_two_are_the_same():
    names = OutputNames()
    assert names("a/b.jpg", 1, ".png") == "a/b.png"
    assert names("A/B.png", 2, ".png") == "A/B-2.png"
    assert names("con.jpg", 3, ".png") == "_con.png"
    assert names('x:"<>|?*.jpg', 4, ".png") == "x_.png"
    assert names("", 5, ".png") == "image-5.png"
    assert names("ü" * 200 + ".jpg", 6, ".png") == "ü" * 75 + ".png"
    assert names.changed == 4
    assert relative_path("..") == ""


# Whose work


def people(*results):
    return task(1, *(annotation(number, *regions, **extra) for number, regions, extra in results))


TWO = people(
    (1, [brush_entries("a", DOT, text="old")], {"by": 1, "updated_at": "2026-01-02T00:00:00Z"}),
    (
        2,
        [brush_entries("b", DOT, text="new")],
        {"by": {"id": 2, "email": "b@x.y"}, "updated_at": "2026-01-02T00:00:01+00:00"},
    ),
    (3, [brush_entries("c", DOT, text="gone")], {"by": 3, "was_cancelled": True, "updated_at": "2027-01-01T00:00:00Z"}),
)


@pytest.mark.parametrize(
    ("choice", "ids"),
    [
        (Choice(), ["a", "b"]),
        (Choice(merge="latest"), ["b"]),
        (Choice(annotators=("1",)), ["a"]),
        (Choice(annotators=("b@x.y",)), ["b"]),
        (Choice(annotators=("9",)), []),
        (Choice("predictions"), ["p", "q"]),
        (Choice("predictions", model_version="v2"), ["q"]),
        (Choice("both", merge="latest"), ["b", "q"]),
    ],
)
def test_whose_regions_are_taken(tmp_path, choice, ids):
    predictions = [
        {"id": 1, "model_version": "v1", "result": brush_entries("p", DOT), "created_at": "2026-01-01T00:00:00Z"},
        {"id": 2, "model_version": "v2", "result": brush_entries("q", DOT), "created_at": "2026-01-01T00:00:00Z"},
    ]
    assert [region.id for region in regions_of(tmp_path, {**TWO, "predictions": predictions}, choice=choice)] == ids


def test_predictions_that_are_ids_alone_are_none(tmp_path):
    exported = Exported(tmp_path, [{**task(1), "predictions": [4, 5]}])
    assert (len(exported.items), exported.losses.unreadable) == (1, {})


def test_the_majority_votes_region_by_region_and_pixel_by_pixel(tmp_path):
    """Three annotators. Two and a half see the left half: pixels that two marked stay. One alone sees a dot."""
    most = LEFT.copy()
    most[3] = False  # 6 of 8 pixels
    top = LEFT.copy()
    top[2:] = False  # 4 of 8: with LEFT 0.5, with `most` 0.67
    dot = np.zeros((4, 4), dtype=bool)
    dot[3, 3] = True
    voted = people(
        (1, [brush_entries("a", LEFT, "obj 1", "grass")], {"by": 1}),
        (2, [brush_entries("b", most, "obj 2", "lawn"), brush_entries("d", dot, text="dot")], {"by": 2}),
        (3, [brush_entries("c", top, "obj 3", "lawn")], {"by": 3}),
    )
    exported = Exported(tmp_path, [voted], choice=Choice(merge="majority"))
    (item,) = exported.items
    (region,) = item.regions
    assert np.array_equal(region.rle.mask(), most)
    assert (region.texts, item.results[0].annotator) == (("lawn",), "majority")
    assert exported.losses.left_out["regions merged into the majority's or outvoted (--merge majority)"] == 3
    (back,) = exported.tasks()
    (mask, _) = back["annotations"][0]["result"]
    assert np.array_equal(brush.decode(mask["value"]["rle"], 4, 4), most)


def test_two_of_four_are_no_majority_and_one_annotator_alone_is_kept(tmp_path):
    half = people(*((n, [brush_entries("a", LEFT)] if n < 3 else [], {"by": n}) for n in (1, 2, 3, 4)))
    assert regions_of(tmp_path, half, choice=Choice(merge="majority")) == []
    alone = people((1, [brush_entries("a", LEFT)], {"by": 1}))
    assert [region.id for region in regions_of(tmp_path, alone, choice=Choice(merge="majority"))] == ["a"]
