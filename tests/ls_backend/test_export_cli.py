"""`zeroguide export` as a user meets it."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ls_backend import cli
from ls_backend.exports import NumberedRecord
from ls_backend.exports.coco import coco_pieces
from ls_backend.exports.labelstudio import task_pieces
from ls_backend.run_folder import RunFolder
from tests.ls_backend.exporting import annotation, brush_entries, task
from tests.ls_backend.test_exports import record
from zgcore.vocabulary import Decisions, Label, Member, Vocabulary
from zgcore.vocabulary.yaml_file import vocabulary_text

ROWS, COLUMNS = np.indices((24, 32))
DISC = (ROWS - 12) ** 2 + (COLUMNS - 14) ** 2 < 81
RING = DISC & ((ROWS - 12) ** 2 + (COLUMNS - 14) ** 2 > 16)
HALF = COLUMNS >= 20
TASKS = [
    task(
        11,
        annotation(1, brush_entries("a", RING, text="ring"), brush_entries("b", HALF, text="wall"), by=4),
        annotation(2, brush_entries("a", RING, text="ring"), by=5),
        image="/data/local-files/?d=set/a.jpg",
        predictions=[{"id": 3, "model_version": "v", "result": brush_entries("p", DISC, text="disc", score=0.25)}],
    ),
    task(12, annotation(4, brush_entries("a", ~DISC, text="lawn"), brush_entries("b", DISC, text="ring"))),
    task(15, image="/data/local-files/?d=set/empty.png"),
]


@pytest.fixture
def tasks(tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASKS))
    return path


CHECK = {"text": ["this text may describe people: please check it"]}


def export(*arguments):
    return cli.main(["export", *map(str, arguments)])


@pytest.mark.parametrize("masks", ["rle", "polygon"])
@pytest.mark.parametrize("source", ["annotations", "predictions", "both"])
def test_cocoeval_of_a_file_against_itself_is_perfect(tmp_path, tasks, capsys, source, masks):
    assert export(tasks, "--out", tmp_path / "out", "--source", source, "--masks", masks) == 0
    path = str(tmp_path / "out/annotations.json")
    truth, found = COCO(path), COCO(path)
    evaluation = COCOeval(truth, found, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[:3] == pytest.approx(1.0, abs=1e-12)
    boxes = COCOeval(
        truth, truth.loadRes(json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]), "bbox"
    )
    boxes.evaluate()
    boxes.accumulate()
    boxes.summarize()
    assert boxes.stats[0] == pytest.approx(1.0, abs=1e-12)
    wanted = {"annotations": [RING, HALF, RING, ~DISC, DISC], "predictions": [DISC]}
    wanted["both"] = [RING, HALF, RING, DISC, ~DISC, DISC]
    got = [truth.annToMask(each) for each in truth.dataset["annotations"]]
    assert all(np.array_equal(mask, other) for mask, other in zip(got, wanted[source], strict=True))
    capsys.readouterr()


def test_coco_says_of_each_region_where_it_is_from(tmp_path, tasks):
    assert export(tasks, "--out", tmp_path / "out", "--source", "both") == 0
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [(image["id"], image["task"], image["file_name"]) for image in document["images"]] == [
        (11, 11, "set/a.jpg"),
        (12, 12, "0123abcd-photo.jpg"),
        (15, 15, "set/empty.png"),
    ]
    first, _, _, model = document["annotations"][:4]
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert names == {1: "disc", 2: "lawn", 3: "ring", 4: "wall"}
    del first["labelstudio"], first["segmentation"]
    assert first == {
        "id": 11000,
        "image_id": 11,
        "category_id": 3,
        "area": int(RING.sum()),
        "bbox": [6, 4, 17, 17],
        "iscrowd": 0,
        "caption": "ring",
        "score": 1.0,
        "labels": ["obj 1"],
        "region": "a",
        "origin": "manual",
        "task": 11,
        "annotation": 1,
        "annotator": 4,
    }
    assert (model["prediction"], model["model_version"], model["score"]) == (3, "v", 0.25)
    assert "annotation" not in model


ALL = "coco,panoptic,yolo,voc,labelstudio,csv"


def test_every_format_is_the_same_byte_for_byte_each_time(tmp_path, tasks, capsys):
    for out in ("one", "two"):
        assert export(tasks, "--out", tmp_path / out, "--format", ALL) == 0
    one, two = ({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
                for out in (tmp_path / "one", tmp_path / "two"))  # fmt: skip
    assert one == two
    names = {str(path) for path in one}
    assert {"annotations.json", "panoptic.json", "panoptic/set/a.png", "yolo/labels/set/a.txt", "labelstudio.json",
            "labels.csv", "losses.json", "voc/labelmap.txt", "voc/SegmentationClass/set/a.png"} <= names  # fmt: skip
    assert not [name for name in names if name.endswith(".tmp")]
    shown = capsys.readouterr().out
    assert "labelstudio holds everything" in shown
    assert "yolo loses: 3 holes that are filled" in shown  # two rings, and the lawn around a disc


def test_losses_are_in_a_file_and_in_the_document_for_programs(tmp_path, tasks, capsys):
    assert export(tasks, "--out", tmp_path / "out", "--format", "coco,yolo", "--merge", "latest", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["images"], document["regions"], document["categories"]) == (3, 3, 2)
    losses = json.loads((tmp_path / "out/losses.json").read_text())
    assert losses == document["losses"]
    assert losses["left_out"] == [{"what": "older results of the same task (--merge latest)", "count": 1}]
    assert losses["formats"]["coco"] == [
        {"what": "images without a height and width (null), which nobody knows", "count": 1}
    ]
    assert {"what": "holes that are filled", "count": 2} in losses["formats"]["yolo"]


def test_photos_tell_the_size_of_images_without_regions(tmp_path, tasks):
    (tmp_path / "photos/set").mkdir(parents=True)
    Image.new("RGB", (7, 5)).save(tmp_path / "photos/set/empty.png")
    assert export(tasks, "--out", tmp_path / "out", "--images", tmp_path / "photos", "--format", "coco,panoptic") == 0
    images = json.loads((tmp_path / "out/annotations.json").read_text())["images"]
    assert [(image["height"], image["width"]) for image in images] == [(24, 32), (24, 32), (5, 7)]
    assert not np.asarray(Image.open(tmp_path / "out/panoptic/set/empty.png")).any()
    assert json.loads((tmp_path / "out/losses.json").read_text())["formats"]["coco"] == []


def test_a_run_exports_to_what_label_itself_writes(tmp_path):
    folder = RunFolder(tmp_path / "run")
    (tmp_path / "photos").mkdir()
    made = []
    for number, name in enumerate(("a", "b"), start=1):
        photo = tmp_path / "photos" / f"{name}.png"
        Image.new("RGB", (4, 4)).save(photo)
        one = record(name)
        one = type(one)(**{**vars(one), "source": type(one.source)(str(photo), 1, 2, "00")})
        folder.save(one, np.zeros((3, 2), np.float32))
        made.append(NumberedRecord(number, photo.name, one))
    folder.save_failure(
        type(one)("c", type(one.source)(str(tmp_path / "photos/c.png"), 0, 0, ""), one.stamp, error="no")
    )
    (folder.results / "torn.json").write_text("{")
    lies = made[0].record.to_json().replace(b'"counts":"', b'"counts":"0').replace(b"a.png", b"z.png")
    (folder.results / "lies.json").write_bytes(lies)
    assert export(tmp_path / "run", "--out", tmp_path / "out", "--format", ALL, "--image-root", tmp_path) == 1
    stamp = made[0].record.stamp
    assert (tmp_path / "out/annotations.json").read_text() == "".join(coco_pieces(made, stamp))
    urls = {entry.file_name: f"/data/local-files/?d=photos/{entry.file_name}" for entry in made}
    expected = "".join(task_pieces(made, lambda entry: urls[entry.file_name]))
    assert (tmp_path / "out/labelstudio.json").read_text() == expected
    assert (tmp_path / "out/labelstudio_config.xml").is_file()
    unreadable = json.loads((tmp_path / "out/losses.json").read_text())["unreadable"]
    assert [(row["what"], row["count"]) for row in unreadable] == [
        ("images that failed in the run", 1),
        ("records that are damaged", 2),
    ]


def test_coco_of_another_tool_becomes_tasks(tmp_path):
    """Polygons, uncompressed runs and a bare box; keys of ours are missing."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 18, "segmentation": [[0, 0, 1, 0, 1, 2, 0, 2]]},
            {"id": 2, "image_id": 1, "category_id": 18, "segmentation": {"size": [2, 3], "counts": [4, 2]}},
            {"id": 3, "image_id": 1, "category_id": 18, "bbox": [1, 0, 1, 1]},
            {"id": 4, "image_id": 1, "category_id": 18, "segmentation": {"size": [9, 9], "counts": [81]}},
            {"id": 5, "image_id": 77, "category_id": 18, "bbox": [1, 0, 1, 1]},
        ],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    assert export(path, "--out", tmp_path / "out", "--format", "labelstudio,coco") == 1
    first, second = json.loads((tmp_path / "out/labelstudio.json").read_text())
    assert (first["data"], second["data"]) == (
        {"image": "a.jpg", "file_name": "a.jpg"},
        {"image": "b.jpg", "file_name": "b.jpg"},
    )
    assert "annotations" not in second
    texts = [entry["value"]["text"] for entry in first["annotations"][0]["result"] if entry["type"] == "textarea"]
    assert texts == [["dog"]] * 3
    again = COCO(str(tmp_path / "out/annotations.json"))
    masks = [again.annToMask(each).tolist() for each in again.dataset["annotations"]]
    assert masks == [[[1, 0, 0]] * 2, [[0, 0, 1]] * 2, [[0, 1, 0], [0, 0, 0]]]
    unreadable = json.loads((tmp_path / "out/losses.json").read_text())["unreadable"]
    assert {row["what"]: row["count"] for row in unreadable} == {
        "regions that cannot be read": 1,
        "images that annotations name and the file lacks": 1,
    }


def test_tasks_that_share_a_number_are_numbered_in_order(tmp_path):
    path = tmp_path / "twice.json"
    path.write_text(json.dumps([TASKS[0], TASKS[0], {"data": {"image": "x.jpg"}}]))
    assert export(path, "--out", tmp_path / "out") == 0
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [(image["id"], image.get("task")) for image in document["images"]] == [(1, 11), (2, 11), (3, None)]
    ids = [each["id"] for each in document["annotations"]]
    assert ids == [1000, 1001, 1002, 2000, 2001, 2002]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("no json", "is no JSON"),
        ('"text"', "neither a list of tasks nor a COCO document"),
        (json.dumps(TASKS)[:-40], "no whole JSON after 2 images"),
        ('[{"id": 1, "data": {}}, ]', "no whole JSON after 1 images"),
    ],
)
def test_a_broken_file_is_one_line_and_no_export(tmp_path, capsys, content, message):
    path = tmp_path / "broken.json"
    path.write_text(content)
    assert export(path, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out/annotations.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "cannot be read"),
        (["."], "has no results/"),
        (["--project", "3"], "--url and --project together"),
        (["http://host/other"], "no address of a project"),
        (["http://127.0.0.1:9/projects/3"], "LABEL_STUDIO_API_KEY"),
        (["http://127.0.0.1:9/projects/3?tab=1"], "LABEL_STUDIO_API_KEY"),
        (["http://127.0.0.1:9/projects/3/data?tab=1#x"], "LABEL_STUDIO_API_KEY"),
        (["label-studio:12"], "LABEL_STUDIO_API_KEY"),
        (["label-studio:new"], "a new project has nothing to export"),
        (["x.json", "--format", "coko"], 'Did you mean "coco"?'),
    ],
)
def test_wrong_use_says_what_is_right(tmp_path, monkeypatch, capsys, arguments, message):
    for name in ("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN", "ZEROGUIDE_LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert export(*arguments) == 2
    assert message in capsys.readouterr().err


def test_choosing_results_of_a_coco_file_is_refused(tmp_path, tasks, capsys):
    assert export(tasks, "--out", tmp_path / "out") == 0
    assert export(tmp_path / "out/annotations.json", "--merge", "latest", "--out", tmp_path / "again") == 2
    assert "choose among the results of Label Studio tasks" in capsys.readouterr().err


def test_several_annotations_and_predictions_alone_are_told(tmp_path, tasks, capsys):
    path = tmp_path / "more.json"
    alone = task(20, predictions=[{"id": 1, "result": brush_entries("p", DISC)}])
    path.write_text(json.dumps([*TASKS, alone]))
    assert export(path, "--out", tmp_path / "out", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["notes"] == ["1 images have several annotations, side by side; see --merge and --annotator"]
    assert document["losses"]["left_out"] == [
        {"what": "tasks whose predictions alone could be exported (--source predictions)", "count": 1}
    ]


def test_a_second_export_removes_what_the_first_wrote_and_nothing_else(tmp_path, tasks):
    out = tmp_path / "out"
    assert export(tasks, "--out", out, "--format", "panoptic,yolo,voc") == 0
    gone = {"panoptic/set/a.png", "yolo/labels/set/a.txt", "voc/SegmentationClass/set/a.png",
            "voc/SegmentationObject/set/a.png"}  # fmt: skip
    assert all((out / name).is_file() for name in gone)
    outside, mine = tmp_path / "outside.txt", out / "yolo/labels/set/mine.txt"
    outside.write_text("stays")
    mine.write_text("stays")
    with (out / "yolo/.zeroguide-files").open("a") as listing:
        listing.write("../../outside.txt\n")
    before = {path for path in out.rglob("*") if path.is_file()}
    tasks.write_text(json.dumps(TASKS[1:2]))
    assert export(tasks, "--out", out, "--format", "panoptic,yolo,voc") == 0
    after = {path for path in out.rglob("*") if path.is_file()}
    removed = {path.relative_to(out).as_posix() for path in before - after}
    assert removed == gone | {"yolo/labels/set/empty.txt"}
    assert outside.exists()
    assert mine.exists()
    assert not (out / "panoptic/set").exists()
    assert (out / "yolo/.zeroguide-files").read_text().splitlines() == [
        "data.yaml", "images.txt", "labels/0123abcd-photo.txt"
    ]  # fmt: skip


def vocabulary_of(path, *labels, drop=()):
    """A vocabulary file."""
    made = Vocabulary(tuple(labels)).decided(Decisions.from_document({"drop": list(drop)}))
    path.write_text(vocabulary_text(made))
    return path


def test_a_vocabulary_names_the_categories_and_keeps_the_raw_text(tmp_path, tasks, capsys):
    band = Label("band", (Member("band"), Member("ring")), parents=("shape",))
    vocabulary = vocabulary_of(tmp_path / "vocabulary.yaml", band, Label("wall", (Member("wall"),)), drop=["wall"])
    assert export(tasks, "--out", tmp_path / "out", "--vocabulary", vocabulary, "--json", "--format", "coco,csv") == 0
    report = json.loads(capsys.readouterr().out)
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [(each["name"], each["supercategory"]) for each in document["categories"]] == [
        ("band", "shape"),
        ("lawn", ""),
    ]
    assert [each["caption"] for each in document["annotations"]] == ["ring", "ring", "lawn", "ring"]
    assert document["info"]["vocabulary"] == Vocabulary.load(vocabulary).version
    assert report["regions"] == 4
    assert report["losses"]["left_out"] == [{"what": "regions whose names the vocabulary drops", "count": 1}]
    assert "1 regions have names that the vocabulary does not know; they stand for themselves" in report["notes"]


def test_a_vocabulary_names_the_texts_of_tasks_with_the_raw_text_beside(tmp_path, tasks):
    band = Label("band", (Member("band"), Member("ring")))
    vocabulary = vocabulary_of(tmp_path / "vocabulary.yaml", band, Label("wall", (Member("wall"),)), drop=["wall"])
    assert export(tasks, "--out", tmp_path / "out", "--vocabulary", vocabulary, "--format", "labelstudio") == 0
    made = json.loads((tmp_path / "out/labelstudio.json").read_text())
    found = [
        (entry["id"], entry["value"].get("text"), entry.get("meta"))
        for document in made
        for result in document["annotations"]
        for entry in result["result"]
    ]
    note = {"text": ["before the vocabulary: ring"], "raw_text": ["ring"], "vocabulary_text": ["band"]}
    assert found == [
        ("a", None, note), ("a", ["band"], None), ("a", None, note), ("a", ["band"], None),
        ("a", None, None), ("a", ["lawn"], None), ("b", None, note), ("b", ["band"], None),
    ]  # fmt: skip
    losses = json.loads((tmp_path / "out/losses.json").read_text())
    assert losses["left_out"] == [{"what": "regions whose names the vocabulary drops", "count": 1}]
    assert export(tmp_path / "out/labelstudio.json", "--out", tmp_path / "back", "--vocabulary", vocabulary) == 0
    document = json.loads((tmp_path / "back/annotations.json").read_text())
    assert [each["caption"] for each in document["annotations"]] == ["ring", "ring", "lawn", "ring"]


def test_labels_of_a_fixed_list_stay_as_the_config_has_them(tmp_path):
    path = tmp_path / "tasks.json"
    regions = brush_entries("a", DISC, "Couch"), brush_entries("b", HALF, "Wall")
    path.write_text(json.dumps([task(1, annotation(1, *regions))]))
    vocabulary = vocabulary_of(tmp_path / "v.yaml", Label("sofa", (Member("couch"),)), Label("Wall", (Member("wall"),)))
    assert export(path, "--out", tmp_path / "out", "--vocabulary", vocabulary, "--format", "coco,labelstudio") == 0
    result = json.loads((tmp_path / "out/labelstudio.json").read_text())[0]["annotations"][0]["result"]
    assert [entry["value"]["brushlabels"] for entry in result] == [["Couch"], ["Wall"]]
    categories = json.loads((tmp_path / "out/annotations.json").read_text())["categories"]
    assert [category["name"] for category in categories] == ["Wall", "sofa"]
    assert json.loads((tmp_path / "out/losses.json").read_text())["formats"]["labelstudio"] == [
        {"what": "regions whose label has another canonical name, and stays as the labelling config has it", "count": 1}
    ]


@pytest.mark.parametrize(
    ("mode", "texts", "notes", "lost"),
    [
        (None, ["person", "homeless night"], [None, CHECK], 1),
        ("flag", ["Asian woman", "homeless night"], [CHECK, CHECK], 0),
        ("keep", ["Asian woman", "homeless night"], [None, None], 0),
    ],
)
@pytest.mark.parametrize("through", ["run", "coco"])
def test_texts_of_a_run_that_describe_people(tmp_path, capsys, mode, texts, notes, lost, through):
    folder = RunFolder(tmp_path / "run")
    index = np.array([[0, 0, 1, 1]], dtype=np.int32)
    said = "Asian woman", "homeless night"
    folder.save(record("a", index=index, labels=said), np.zeros((2, 2), np.float32))
    source = tmp_path / "run"
    if through == "coco":
        assert export(source, "--out", tmp_path / "first") == 0
        source = tmp_path / "first/annotations.json"
        assert tuple(each["caption"] for each in json.loads(source.read_text())["annotations"]) == said
    capsys.readouterr()
    options = [] if mode is None else ["--people-labels", mode]
    assert export(source, "--out", tmp_path / "out", "--format", "labelstudio", "--json", *options) == 0
    report = json.loads(capsys.readouterr().out)
    (made,) = json.loads((tmp_path / "out/labelstudio.json").read_text())
    result = (made.get("predictions") or made["annotations"])[0]["result"]
    assert [entry["value"]["text"] for entry in result[1::2]] == [[text] for text in texts]
    assert [entry.get("meta") for entry in result[::2]] == notes
    rows = {row["what"]: row["count"] for row in report["losses"]["formats"]["labelstudio"]}
    assert rows.get("texts that describe people, made neutral (--people-labels)", 0) == lost
    flagged = len(notes) - notes.count(None)
    wanted = f"{flagged} texts in labelstudio may describe people; their regions ask to be checked"
    assert (wanted in report["notes"]) == (flagged > 0)


def test_ambiguous_texts_of_a_run_are_told_by_their_embeddings(tmp_path):
    """Both are called "mouse"; the one's embedding is near the animals', the other's near the devices'."""
    animal, device = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    folder = RunFolder(tmp_path / "run")
    index = np.array([[0, 0, 1, 1]], dtype=np.int32)
    folder.save(record("a", index=index, labels=("mouse", "mouse")), np.array([[0.1, 2.0], [3.0, 0.2]], np.float32))
    vocabulary = vocabulary_of(
        tmp_path / "vocabulary.yaml",
        Label("rodent", (Member("mouse", centre=animal),)),
        Label("pointer", (Member("mouse", centre=device),)),
    )
    assert export(tmp_path / "run", "--out", tmp_path / "out", "--vocabulary", vocabulary) == 0
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert [names[each["category_id"]] for each in document["annotations"]] == ["pointer", "rodent"]
    assert [each["caption"] for each in document["annotations"]] == ["mouse", "mouse"]


def test_photos_of_a_run_that_are_elsewhere_keep_their_addresses(tmp_path):
    folder = RunFolder(tmp_path / "run")
    for name, path in (("a", "https://host/set/a.jpg"), ("b", "s3://bucket/set/b.jpg"), ("c", "task 7")):
        one = record(name)
        one = type(one)(**{**vars(one), "source": type(one.source)(path, 1, 0, "00")})
        folder.save(one, np.zeros((3, 2), np.float32))
    assert export(tmp_path / "run", "--out", tmp_path / "out", "--format", "labelstudio,coco") == 0
    made = json.loads((tmp_path / "out/labelstudio.json").read_text())
    assert [each["data"] for each in made] == [
        {"image": "https://host/set/a.jpg", "file_name": "set/a.jpg"},
        {"image": "s3://bucket/set/b.jpg", "file_name": "set/b.jpg"},
        {"image": "task 7", "file_name": "task 7"},
    ]
