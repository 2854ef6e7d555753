"""Predictions of other systems, read from COCO files: what each form means, and what hostile ones do."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from ls_backend.eval_entries import LONGEST_TEXT
from ls_backend.eval_files import MOST_SEGMENTS, FilePredictor
from ls_backend.exports.nesting import DEEPEST
from zgcore.errors import EvaluationError
from zgcore.evaluation.ground_truth import GroundTruth, Sample
from zgcore.evaluation.predictors import Scene

LEFT = np.array([[1, 1, 0, 0]] * 3, bool)  # 3 x 4
TOP = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
NO_TRUTH = GroundTruth(np.zeros((3, 4), np.int32))


def runs(mask):
    found = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def write(tmp_path, content) -> Path:
    path = tmp_path / "other.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def document(annotations, images=None):
    return {
        "images": images or [{"id": 7, "file_name": "a.jpg", "height": 3, "width": 4}],
        "annotations": [{"id": k, "image_id": 7, **one} for k, one in enumerate(annotations, start=1)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "sky"}],
    }


def predict(predictor, image="photos/a.jpg"):
    return predictor.predict(Scene(Sample("a", Path(image)), NO_TRUTH))


def masks(prediction):
    return [coco.decode(mask).astype(bool).tolist() for mask in prediction.masks]


def test_a_document_with_every_kind_of_mask_and_text(tmp_path):
    found = predict(FilePredictor(write(tmp_path, document([
        {"category_id": 1, "segmentation": runs(LEFT), "score": 0.75},
        {"category_id": 2, "segmentation": {"size": [3, 4], "counts": [0, 1, 2, 1, 2, 1, 2, 1, 2]}},  # the top row
        {"category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 3, 0, 3]], "caption": "a sleeping cat"},
    ]))))  # fmt: skip
    assert found.texts == ("cat", "sky", "a sleeping cat")
    assert found.scores.tolist() == [0.75, 1.0, 1.0]  # without a score it is certain
    assert masks(found) == [LEFT.tolist(), TOP.tolist(), LEFT.tolist()]  # segments may overlap
    assert found.embeddings is None


def test_a_list_of_results(tmp_path):
    found = FilePredictor(write(tmp_path, [
        {"image_id": 139, "caption": "a cat", "segmentation": runs(LEFT), "score": 0.5},
        {"image_id": "b.png", "label": "sky", "segmentation": runs(TOP)},
        {"image_id": 139, "category": "sky", "segmentation": runs(TOP), "score": 0.25},
    ]))  # fmt: skip
    one = predict(found, "val2017/000000000139.jpg")  # ids of COCO's photos are their names
    assert (one.texts, one.scores.tolist()) == (("a cat", "sky"), [0.5, 0.25])
    assert masks(one) == [LEFT.tolist(), TOP.tolist()]
    assert predict(found, "b.jpg").texts == ("sky",)  # the suffix may be another
    assert len(predict(found, "c.jpg")) == 0  # nothing was found in it


def test_the_same_name_in_two_folders(tmp_path):
    images = [
        {"id": 1, "file_name": "train/a.jpg", "height": 3, "width": 4},
        {"id": 2, "file_name": "val/a.jpg", "height": 3, "width": 4},
    ]
    annotations = [
        {"image_id": 1, "category_id": 1, "segmentation": runs(LEFT)},
        {"image_id": 2, "category_id": 2, "segmentation": runs(TOP)},
    ]
    found = FilePredictor(write(tmp_path, document(annotations, images)))
    assert predict(found, "/data/val/a.jpg").texts == ("sky",)
    assert predict(found, "/data/train/a.jpg").texts == ("cat",)
    with pytest.raises(EvaluationError, match="several images called a"):
        predict(found, "/data/test/a.jpg")


def test_what_cannot_be_read_is_left_out_and_told(tmp_path):
    bad = [
        {"category_id": 1, "segmentation": {"size": [3, 4], "counts": [5]}},
        {"category_id": 1, "segmentation": {"size": [9, 9], "counts": [81]}},
        {"category_id": 1, "segmentation": {"size": [3, 4], "counts": "zzzz"}},
        {"category_id": 9, "segmentation": runs(LEFT)},  # no such category: no text
    ]
    found = FilePredictor(write(tmp_path, document([*bad, {"category_id": 1, "segmentation": runs(LEFT)}])))
    assert predict(found).texts == ("cat",)
    assert [note.partition(" (")[0] for note in found.notes] == [
        "other.json: 3 regions that cannot be read are left out",
        "other.json: 1 regions without a text are left out",
    ]


def samples(*names):
    return [Sample(name, Path(f"/photos/{name}.jpg")) for name in names]


def test_a_system_may_have_found_nothing(tmp_path):
    found = FilePredictor(write(tmp_path, []))
    assert found.check(samples("a", "b")) == ("2 of 2 images are not in other.json: scored as having no segment",)
    assert len(predict(found)) == 0


def test_images_that_the_file_lacks_are_counted(tmp_path):
    found = FilePredictor(write(tmp_path, [{"image_id": "b.png", "caption": "x", "segmentation": runs(LEFT)}]))
    assert found.check(samples("a", "b", "c", "d"))[0].startswith("3 of 4 images are not in other.json")
    assert found.check(samples("a", "b"))[0].startswith("1 of 2 images is not in other.json")
    assert found.check(samples("b")) == ()
    images = [{"id": k, "file_name": f"{name}.jpg", "height": 3, "width": 4} for k, name in enumerate("ab")]
    annotations = [{"image_id": 0, "category_id": 1, "segmentation": runs(LEFT)}]
    whole = FilePredictor(write(tmp_path, document(annotations, images)))
    assert whole.check(samples("a", "b")) == ()  # it names b, as an image without segments


def test_numbers_mean_names_that_are_numbers(tmp_path):
    path = write(tmp_path, [
        {"image_id": number, "caption": str(number), "segmentation": runs(LEFT)} for number in (7, 12, -1)
    ])  # fmt: skip
    found = FilePredictor(path)
    assert found.notes[0].startswith("other.json: 1 results that cannot be read are left out")  # no such number
    assert found.check(samples("007", "12", "x7"))[0].startswith("1 of 3 images")
    assert predict(found, "/photos/007.jpg").texts == ("7",)
    assert predict(found, "/photos/12.jpg").texts == ("12",)
    assert found.check(samples("8", "08", "12"))[0].startswith("2 of 3 images")  # it has no 8, which would be two
    with pytest.raises(EvaluationError, match=r"image_id 7 may be 7\.jpg or 007\.jpg; write the files' names"):
        found.check(samples("7", "007"))


def test_a_book_in_place_of_a_label_is_cut(tmp_path):
    book = "a cat " * 1000
    found = FilePredictor(write(tmp_path, [
        {"image_id": "a", "caption": book, "segmentation": runs(LEFT)},
        {"image_id": "a", "caption": "x" * LONGEST_TEXT, "segmentation": runs(TOP)},
    ]))  # fmt: skip
    assert predict(found).texts == (book[:LONGEST_TEXT], "x" * LONGEST_TEXT)
    assert found.notes == ("other.json: 1 text longer than 1,000 characters: cut there",)
    path = write(tmp_path, document([{"category_id": 1, "caption": "y" * 5000, "segmentation": runs(LEFT)}]))
    assert predict(FilePredictor(path)).texts == ("y" * LONGEST_TEXT,)


def test_categories_of_results_are_the_data_sets(tmp_path):
    path = write(tmp_path, [
        {"image_id": "a", "category_id": 3, "segmentation": runs(LEFT)},
        {"image_id": "a", "category_name": "sky", "category_id": 3, "segmentation": runs(TOP)},
        {"image_id": "a", "category_id": 4, "segmentation": runs(TOP)},
    ])  # fmt: skip
    found = FilePredictor(path, {1: "cat", 3: "traffic light"})
    assert predict(found).texts == ("traffic light", "sky")
    assert found.losses.examples["results that cannot be read"] == [
        "result 2: its category_id 4 is none of the data set's"
    ]


def test_scores_beyond_float32_stay_finite_and_in_order(tmp_path):
    path = write(tmp_path, [
        {"image_id": "a", "caption": "x", "segmentation": runs(LEFT), "score": score} for score in (1e300, -1e39, 0.5)
    ])  # fmt: skip
    largest = float(np.finfo(np.float32).max)
    assert predict(FilePredictor(path)).scores.tolist() == [largest, -largest, 0.5]


def test_a_box_in_place_of_a_mask_is_told(tmp_path):
    """The box is the two left columns, so LEFT."""
    found = FilePredictor(write(tmp_path, document([
        {"category_id": 1, "bbox": [0, 0, 2, 3]}, {"category_id": 2, "bbox": [0, 0, 4, 1], "segmentation": runs(TOP)},
    ])))  # fmt: skip
    assert masks(predict(found)) == [LEFT.tolist(), TOP.tolist()]
    assert found.notes == ("other.json: 1 region with a box and no mask: the whole box is scored as the mask",)


@pytest.mark.parametrize("content", [
    '[{"score": NaN}]', '[{"score": -Infinity}]', '{"images": [{"id": NaN}]}',
])  # fmt: skip
def test_numbers_that_json_does_not_have(tmp_path, content):
    with pytest.raises(EvaluationError, match="write null in place of NaN and Infinity"):
        FilePredictor(write(tmp_path, content))


@pytest.mark.parametrize(("result", "why"), [
    ({"image_id": 1, "category_id": 1, "segmentation": runs(LEFT)}, "with category_id, give a document"),
    ({"image_id": 1, "caption": "x", "segmentation": [[0, 0, 1, 1, 2, 2]]}, "polygons need a document"),
    ({"image_id": 1, "caption": "x", "segmentation": {"size": [10**6, 10**6], "counts": "0"}}, "above the limit"),
    ({"image_id": 1, "caption": "x", "segmentation": {"size": [3, 4], "counts": [-4, 16]}}, "the runs of a COCO mask"),
    ({"image_id": 1, "caption": "x", "segmentation": {"size": ["3", 4], "counts": [12]}}, "no numbers of pixels"),
    ({"image_id": None, "caption": "x", "segmentation": runs(LEFT)}, "neither a number nor a file name"),
    ("text", "no object"),
])  # fmt: skip
def test_results_of_no_use(tmp_path, result, why):
    with pytest.raises(EvaluationError, match=f"holds no predictions that can be read.*({why})"):
        FilePredictor(write(tmp_path, [result]))


@pytest.mark.parametrize("content", [
    "", "nothing", "7", "[1, 2", '{"images": [{"id": 1}', "[" * (DEEPEST + 1), '{"a":' * (DEEPEST + 1), "{}",
])  # fmt: skip
def test_files_that_are_none(tmp_path, content):
    with pytest.raises(EvaluationError, match=r"other\.json"):
        FilePredictor(write(tmp_path, content))


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    for path, what in ((tmp_path / "other.json", "not there"), (tmp_path, "a folder")):
        with pytest.raises(EvaluationError, match=f"is {what}; give a COCO document, or COCO results"):
            FilePredictor(path)


def test_more_segments_than_an_image_can_have(tmp_path):
    one = json.dumps({"image_id": 1, "caption": "x", "segmentation": runs(LEFT)})
    with pytest.raises(EvaluationError, match="more than 10,000"):
        FilePredictor(write(tmp_path, f"[{','.join([one] * (MOST_SEGMENTS + 1))}]"))


def test_masks_of_two_sizes_in_one_image(tmp_path):
    found = FilePredictor(write(tmp_path, [
        {"image_id": "a", "caption": "x", "segmentation": runs(LEFT)},
        {"image_id": "a", "caption": "y", "segmentation": runs(LEFT.T)},
    ]))  # fmt: skip
    with pytest.raises(EvaluationError, match=r"different sizes \(3 x 4 and 4 x 3\); write all masks"):
        predict(found)


def test_a_file_of_another_data_set_is_told(tmp_path):
    found = FilePredictor(write(tmp_path, document([{"category_id": 1, "segmentation": runs(LEFT)}])))
    found.check([Sample("z", Path("z.jpg")), Sample("a", Path("a.jpg"))])
    with pytest.raises(EvaluationError, match=r"none of the data set's images \(its first is 'a.jpg'.*'z.jpg'\)"):
        found.check([Sample("z", Path("z.jpg"))])
