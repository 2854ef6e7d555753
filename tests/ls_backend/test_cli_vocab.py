"""`zeroguide vocab` from the command line: every input, the files it writes, decisions that stay, the way back."""

from __future__ import annotations

import csv
import json
import shutil
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from ls_backend.cli import main
from ls_backend.record import RunStamp, SourceFile, from_segmentation
from ls_backend.run_folder import RunFolder
from ls_backend.vocab_apply import apply
from tests.zgcore.test_render import segmentation
from zgcore.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

LABELS = "dog\nDogs\na dog\nfire hydrant\nfire-hydrant\n?\n"


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(LABELS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Two photos of two segments each, with embeddings; the second photo is gone."""
    root = tmp_path_factory.mktemp("run")
    folder = RunFolder(root)
    from PIL import Image

    halves = np.array([[0, 1]]).repeat(40, 0).repeat(30, 1)
    annotations, images = [], []
    for number, (name, texts) in enumerate([("one", ["dog", "grass"]), ("two", ["Dogs", "thing"])], start=1):
        photo = root.parent / f"{name}.png"
        if number == 1:
            Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(photo)
        record = from_segmentation(
            name, SourceFile(str(photo), 1, 1, "0" * 64), RunStamp("mini", "s", "v", False), segmentation(halves, texts)
        )
        folder.save(record, np.eye(2, 160, dtype=np.float32))
        images.append({"id": number, "file_name": f"{name}.png", "height": 40, "width": 60})
        annotations += [
            {"id": 10 * number + at, "image_id": number, "category_id": at + 1, "caption": text, "node": segment.node,
             "segmentation": record.rle(at), "area": segment.area, "bbox": list(segment.bbox)}
            for at, (text, segment) in enumerate(zip(texts, record.segments, strict=True))
        ]  # fmt: skip
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "grass"}]
    document = {"info": {"a": 1}, "images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return root


def tasks(*texts: str, labels: tuple[str, ...] = ()) -> list[dict]:
    shared = {"to_name": "image", "original_width": 4, "original_height": 2, "image_rotation": 0}
    result = []
    for number, text in enumerate(texts):
        box = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}
        value = {**box, "rectanglelabels": [labels[number] if labels else f"obj {number}"]}
        result.append({**shared, "id": f"r{number}", "from_name": "box", "type": "rectanglelabels", "value": value})
        if text:
            entry = {
                **shared,
                "id": f"r{number}",
                "from_name": "caption",
                "type": "textarea",
                "value": {"text": [text]},
            }
            result.append(entry)
    return [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": result}], "predictions": []}]


def vocab(*arguments: object) -> int:
    return main(["vocab", *map(str, arguments)])


def built(out: Path) -> dict[str, list[str]]:
    document = yaml.safe_load((out / "vocabulary.yaml").read_text(encoding="utf-8"))
    return {label["name"]: sorted(member["text"] for member in label["members"]) for label in document["labels"]}


def test_a_list(labels, tmp_path, capsys):
    assert vocab("build", labels, "--out", tmp_path / "v", "--texts", "none", "--list", "coco") == 0
    assert built(tmp_path / "v") == {
        "dog": ["Dogs", "a dog", "dog"], "fire hydrant": ["fire hydrant", "fire-hydrant"], "unnamed": ["?"]
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "6 texts of 6 segments -> 3 labels" in said
    assert "on the list: 2 of 3 labels; not: unnamed (1)" in said
    rows = list(csv.DictReader((tmp_path / "v/matches.csv").open(newline="")))
    assert [(row["label"], row["target"], row["how"]) for row in rows] == [
        ("dog", "dog", "name"), ("fire hydrant", "fire hydrant", "name"), ("unnamed", "", "")
    ]  # fmt: skip
    assert "Content-Security-Policy" in (tmp_path / "v/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "count,text\n2,dog\n1,Dogs\n"),
        ("a.tsv", "label\tcount\ndog\t2\nDogs\t1\n"),
        ("a.csv", "dog\ndog\nDogs\n"),
        ("a.csv", "\ufefftext,x\ndog,\ndog,1\nDogs,2\n,3\n"),
    ],
)
def test_tables(tmp_path, capsys, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert vocab("build", path, "--out", tmp_path / "v", "--texts", "none", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["frequent"] == [{"label": "dog", "count": 3}]


def test_results_of_a_run(run_folder, tmp_path, capsys):
    assert vocab("build", run_folder, "--out", tmp_path / "v") == 0
    assert built(tmp_path / "v") == {"dog": ["Dogs", "dog"], "grass": ["grass"], "thing": ["thing"]}
    page = (tmp_path / "v/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4  # of the photo that is gone the masks alone
    assert "reading: 2 images" in capsys.readouterr().err


def test_label_studio(tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks("dog", "", "Dogs")))
    assert vocab("build", path, "--out", tmp_path / "v", "--texts", "none") == 0
    assert built(tmp_path / "v") == {"dog": ["Dogs", "dog"]}  # "obj 1" is of a palette
    path.write_text(json.dumps(tasks("", "", labels=("Cat", "Car"))))
    assert vocab("build", path, "--out", tmp_path / "w", "--texts", "none") == 0
    assert built(tmp_path / "w") == {"cat": ["Cat"], "car": ["Car"]} or set(built(tmp_path / "w")) == {"car", "cat"}


def test_decisions_stay_and_earlier_versions_too(labels, tmp_path, capsys):
    out = tmp_path / "v"
    assert vocab("build", labels, "--out", out, "--texts", "none") == 0
    file = out / "vocabulary.yaml"
    mine = "decisions:\n  drop: ['?']\n"
    text = file.read_text(encoding="utf-8")
    file.write_text(mine.replace("'?'", "hydrant") + text[text.index("\n# ----") :], encoding="utf-8")
    before = yaml.safe_load(file.read_text())["version"]
    with labels.open("a") as more:
        more.write("hydrant\n")
    capsys.readouterr()
    assert vocab("build", labels, "--out", out, "--texts", "none") == 0
    said = capsys.readouterr().out
    assert "1 texts change" in said
    assert "hydrant (1): (not there) -> (dropped)" in said
    document = yaml.safe_load(file.read_text())
    assert document["decisions"] == {"drop": ["hydrant"]}
    assert [label["name"] for label in document["dropped"]] == ["hydrant"]
    assert (out / f"vocabulary-{before}.yaml").is_file()
    assert vocab("diff", out / f"vocabulary-{before}.yaml", file) == 0
    assert f"{before} -> {document['version']}: 1 texts change" in capsys.readouterr().out


def test_decisions_alone_make_a_new_version_and_keep_the_old(labels, tmp_path, capsys):
    out = tmp_path / "v"
    file = out / "vocabulary.yaml"
    versions = []
    for decisions in ("{}", "{drop: [dog]}", "{merge: {animal: [dog]}}"):
        if file.exists():
            text = file.read_text(encoding="utf-8")
            file.write_text(f"decisions: {decisions}\n" + text[text.index("\n# ----") :], encoding="utf-8")
        capsys.readouterr()
        assert vocab("build", labels, "--out", out, "--texts", "none", "--json") == 0
        made = json.loads(capsys.readouterr().out)
        versions.append(made["version"])
        changes = made["changes"] and [(one["text"], one["before"], one["after"]) for one in made["changes"]["changes"]]
        if len(versions) > 1:
            assert made["before"] == versions[-2]
            before, after = (["dog"], []) if len(versions) == 2 else ([], ["animal"])
            assert changes == [(text, before, after) for text in ("Dogs", "a dog", "dog")]
    assert len(set(versions)) == 3
    for version in versions[:2]:
        assert vocab("stats", out / f"vocabulary-{version}.yaml", "--json") == 0
        assert json.loads(capsys.readouterr().out)["version"] == version
    assert vocab("diff", out / f"vocabulary-{versions[0]}.yaml", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["labels_added"], found["labels_removed"], len(found["changes"])) == (["animal"], ["dog"], 3)


def test_labels_edited_by_hand_are_not_run_over(labels, tmp_path, capsys):
    out = tmp_path / "v"
    vocab("build", labels, "--out", out, "--texts", "none")
    file = out / "vocabulary.yaml"
    file.write_text(file.read_text().replace("name: dog", "name: hound"))
    assert vocab("build", labels, "--out", out, "--texts", "none") == 2
    assert "put the wishes into decisions" in capsys.readouterr().err
    assert "name: hound" in file.read_text()
    assert vocab("build", labels, "--out", out, "--texts", "none", "--discard-edits") == 0
    assert "dog" in built(out)


def test_stats(labels, tmp_path, capsys):
    vocab("build", labels, "--out", tmp_path / "v", "--texts", "none")
    capsys.readouterr()
    assert vocab("stats", tmp_path / "v/vocabulary.yaml", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {key: document[key] for key in ("texts", "labels", "segments", "used_once", "outliers")} == {
        "texts": 6, "labels": 3, "segments": 6, "used_once": 1, "outliers": 1
    }  # fmt: skip
    assert vocab("stats", tmp_path / "v/vocabulary.yaml") == 0
    assert "dog (3), fire hydrant (2), unnamed (1)" in capsys.readouterr().out


class TestApply:
    FILE = (
        "format: 1\ndecisions: {drop: [thing]}\nlabels:\n- {name: pet, members: [dog, cat], parents: [animal]}\n"
        "- {name: thing}\n- {name: grass}\n"
    )

    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "vocabulary.yaml"
        path.write_text(self.FILE)
        return path

    def test_to_a_list(self, file, tmp_path, capsys):
        source = tmp_path / "in.txt"
        source.write_text("Dogs\nDogs\nthing\nzebras\n")
        assert vocab("apply", file, source, "--out", tmp_path / "out.csv", "--json") == 0
        assert (
            tmp_path / "out.csv"
        ).read_text() == "text,count,label,known\nDogs,2,pet,yes\nthing,1,,yes\nzebras,1,zebra,no\n"
        document = json.loads(capsys.readouterr().out)
        assert document == {
            "segments": 4, "dropped": 1, "unknown": {"zebras": 1}, "ambiguous": {},
            "losses": {"unreadable": [], "left_out": [], "formats": {}},
        }  # fmt: skip

    def test_to_a_run_and_again(self, file, run_folder, tmp_path):
        out = tmp_path / "out.json"
        assert vocab("apply", file, run_folder, "--out", out) == 0
        document = json.loads(out.read_text())
        assert document["categories"] == [
            {"id": 1, "name": "grass", "supercategory": ""}, {"id": 2, "name": "pet", "supercategory": "animal"}
        ]  # fmt: skip
        kept = [(one["id"], one["category_id"], one["caption"]) for one in document["annotations"]]
        assert kept == [(1000, 2, "dog"), (1001, 1, "grass"), (2000, 2, "Dogs")]
        assert len(document["info"]["vocabulary"]) == 12
        other = tmp_path / "other.yaml"
        other.write_text("format: 1\nlabels:\n- {name: hound, members: [dog]}\n")
        assert vocab("apply", other, out, "--out", tmp_path / "again.json") == 0
        again = json.loads((tmp_path / "again.json").read_text())
        assert [category["name"] for category in again["categories"]] == ["grass", "hound"]

    def test_segments_of_a_run_choose_the_meaning(self, run_folder, tmp_path):
        import base64

        centres = [base64.b64encode(row.astype("<f2").tobytes()).decode() for row in np.eye(2, 160)]
        file = tmp_path / "v.yaml"
        file.write_text(
            "format: 1\nlabels:\n"
            f"- {{name: first, members: [{{text: dog, centre: '{centres[0]}'}}]}}\n"
            f"- {{name: second, members: [{{text: dog, centre: '{centres[1]}'}}]}}\n"
        )
        assert vocab("apply", file, run_folder, "--out", tmp_path / "o.json") == 0
        document = json.loads((tmp_path / "o.json").read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        assert [names[one["category_id"]] for one in document["annotations"]] == ["first", "grass", "first", "thing"]

    def test_to_tasks_and_again(self, file, tmp_path):
        source, out = tmp_path / "in.json", tmp_path / "out.json"
        source.write_text(json.dumps(tasks("Dogs", "thing")))
        assert vocab("apply", file, source, "--out", out) == 0
        (task,) = json.loads(out.read_text())
        box, text = task["annotations"][0]["result"]  # the other box went with its text
        assert text["value"]["text"] == ["pet"]
        note = {"text": ["before the vocabulary: Dogs"], "raw_text": ["Dogs"], "vocabulary_text": ["pet"]}
        assert box["meta"] == note
        file.write_text("format: 1\nlabels:\n- {name: hound, members: [dog]}\n")
        assert vocab("apply", file, out, "--out", out) == 0
        (task,) = json.loads(out.read_text())
        assert task["annotations"][0]["result"][1]["value"]["text"] == ["hound"]
        assert task["annotations"][0]["result"][0]["meta"] == {**note, "vocabulary_text": ["hound"]}

    def test_a_text_that_people_wrote_over_the_name_is_the_text_from_then_on(self, file, tmp_path):
        source, out = tmp_path / "in.json", tmp_path / "out.json"
        source.write_text(json.dumps(tasks("Dogs", "Dogs")))
        assert vocab("apply", file, source, "--out", out) == 0
        edited = json.loads(out.read_text())
        edited[0]["annotations"][0]["result"][1]["value"]["text"] = ["a lawn of grass"]
        out.write_text(json.dumps(edited))
        file.write_text(
            "format: 1\nlabels:\n- {name: lawn, members: [a lawn of grass]}\n- {name: hound, members: [dog]}\n"
        )
        assert vocab("apply", file, out, "--out", out) == 0
        result = json.loads(out.read_text())[0]["annotations"][0]["result"]
        assert [entry["value"]["text"] for entry in result[1::2]] == [["lawn"], ["hound"]]
        assert [entry["meta"]["raw_text"] for entry in result[::2]] == [["a lawn of grass"], ["Dogs"]]

    def test_a_rebuild_from_what_was_applied_has_the_raw_texts(self, file, tmp_path):
        source, out = tmp_path / "in.json", tmp_path / "out.json"
        source.write_text(json.dumps(tasks("Dogs", "cat", "grass")))
        assert vocab("apply", file, source, "--out", out) == 0
        assert vocab("build", out, "--out", tmp_path / "v", "--texts", "none") == 0
        assert sorted(built(tmp_path / "v").values()) == [["Dogs"], ["cat"], ["grass"]]

    def test_a_run_needs_no_merged_file(self, file, run_folder, tmp_path):
        shutil.copytree(run_folder / "results", tmp_path / "run/results")
        assert vocab("apply", file, tmp_path / "run", "--out", tmp_path / "one.json") == 0
        assert vocab("apply", file, run_folder, "--out", tmp_path / "other.json") == 0
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()

    @pytest.mark.parametrize("kind", ["tasks", "coco"])
    def test_one_image_at_a_time_is_in_memory(self, file, tmp_path, kind):
        (one,) = tasks("Dogs")
        one["data"]["padding"] = "x" * 200_000
        source = tmp_path / "in.json"
        source.write_text(json.dumps([{**one, "id": number} for number in range(1, 101)]))
        if kind == "coco":
            assert main(["export", str(source), "--out", str(tmp_path / "coco")]) == 0
            source = tmp_path / "coco/annotations.json"
        loaded = Vocabulary.load(file)
        tracemalloc.start()
        try:
            applied = apply(loaded, source, tmp_path / "out.json", lambda: None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert applied.settled.regions == 100
        assert (tmp_path / "out.json").stat().st_size > 20_000_000
        assert peak < 8_000_000

    def test_relations_with_what_is_left_out_go_and_are_counted(self, file, tmp_path, capsys):
        source, out = tmp_path / "in.json", tmp_path / "out.json"
        document = tasks("dog", "thing", "grass")
        ends = [("r0", "r1"), ("r0", "r2")]
        document[0]["annotations"][0]["result"] += [
            {"type": "relation", "from_id": one, "to_id": other, "direction": "right"} for one, other in ends
        ]
        source.write_text(json.dumps(document))
        assert vocab("apply", file, source, "--out", out, "--json") == 0
        result = json.loads(out.read_text())[0]["annotations"][0]["result"]
        assert [(entry["from_id"], entry["to_id"]) for entry in result if entry["type"] == "relation"] == [("r0", "r2")]
        assert json.loads(capsys.readouterr().out)["losses"]["left_out"] == [
            {"what": "regions whose names the vocabulary drops", "count": 1},
            {"what": "relations with regions whose names the vocabulary drops", "count": 1},
        ]

    def test_the_raw_text_of_tasks_survives_coco(self, file, tmp_path):
        """Tasks -> COCO -> applied -> tasks: the raw text is there again; applied on the way back, beside the name."""
        source = tmp_path / "in.json"
        source.write_text(json.dumps(tasks("Dogs", "grass")))
        assert main(["export", str(source), "--out", str(tmp_path / "coco")]) == 0
        applied = tmp_path / "applied.json"
        assert vocab("apply", file, tmp_path / "coco/annotations.json", "--out", applied) == 0
        document = json.loads(applied.read_text())
        assert [category["name"] for category in document["categories"]] == ["grass", "pet"]
        assert main(["export", str(applied), "--out", str(tmp_path / "back"), "--format", "labelstudio"]) == 0
        result = json.loads((tmp_path / "back/labelstudio.json").read_text())[0]["annotations"][0]["result"]
        assert result == json.loads(source.read_text())[0]["annotations"][0]["result"]

    @pytest.mark.parametrize("kind", ["tasks", "coco"])
    def test_it_writes_what_export_with_the_vocabulary_writes(self, file, tmp_path, kind):
        source = tmp_path / "in.json"
        source.write_text(json.dumps(tasks("Dogs", "thing", "zebras")))
        if kind == "coco":
            assert main(["export", str(source), "--out", str(tmp_path / "first")]) == 0
            source = tmp_path / "first/annotations.json"
        name = {"tasks": "labelstudio", "coco": "coco"}[kind]
        assert vocab("apply", file, source, "--out", tmp_path / "applied.json") == 0
        arguments = [str(source), "--out", str(tmp_path / "out"), "--format", name, "--vocabulary", str(file)]
        assert main(["export", *arguments, "--category", "text"]) == 0
        written = {"labelstudio": "labelstudio.json", "coco": "annotations.json"}[name]
        assert (tmp_path / "applied.json").read_bytes() == (tmp_path / "out" / written).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "{tmp}/empty.txt"], "holds no label"),
        (["build", "{tmp}/bad.csv"], "line 2: count is a whole number"),
        (["build", "{tmp}/bad.json"], "is no JSON"),
        (["build", "{tmp}"], "has no results/"),
        (["build", "{tmp}/ok.txt", "--list", "voc2"], "--list is one of voc, coco, ade"),
        (["build", "{tmp}/ok.txt", "--wordnet", "{tmp}"], "install Debian's wordnet-base"),
        (["stats", "{tmp}/ok.txt"], "is no vocabulary"),
        (["apply", "{tmp}/v.yaml", "{tmp}/bad.json", "--out", "{tmp}/o"], "is no JSON"),
        (["apply", "{tmp}/v.yaml", "{tmp}/other.json", "--out", "{tmp}/o"], "no COCO document"),
        (["diff", "{tmp}/v.yaml"], "Missing argument 'NEW'"),
        (["bild"], 'Did you mean "build"'),
    ],
)
def test_what_cannot_be_used(tmp_path, capsys, arguments, message):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "ok.txt").write_text("dog\n")
    (tmp_path / "bad.csv").write_text("text,count\ndog,many\n")
    (tmp_path / "bad.json").write_text("nonsense")
    (tmp_path / "other.json").write_text('{"images": 3}')
    (tmp_path / "v.yaml").write_text("format: 1\n")
    options = ["--texts", "none", "--out", "{tmp}/v"] if arguments[0] == "build" else []
    code = main(["vocab", *(argument.format(tmp=tmp_path) for argument in [*arguments, *options])])
    assert code in (2, 3)
    assert message in " ".join(capsys.readouterr().err.split())
