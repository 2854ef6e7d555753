"""Studies of evaluation runs: reassigned labels, and gold questions by the data set's own truth.

The run is that of `evaluation_runs`, worked out by hand there.
"""

import json

import pytest

from ls_backend import cli
from ls_backend.studies.gold import absent_classes, pure_segments
from ls_backend.studies.manifest import load_study
from tests.zgcore.evaluation_runs import CLASSES, C, G, S, make_data, make_run
from zgcore.evaluation.records import read_scored


@pytest.fixture
def run(tmp_path):
    make_data(tmp_path / "data")
    return make_run(tmp_path / "full", tmp_path / "data")


def create(capsys, *arguments):
    assert cli.main(["study", "create", *map(str, arguments), "--workers", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def rated(folder):
    return {(one.image, one.segment): one for one in load_study(folder).questions if one.kind == "rated"}


def test_reassigned_labels_that_reach_the_threshold(run, tmp_path, capsys):
    document = create(capsys, run, "--out", tmp_path / "study", "--score", "reassigned", "--gold", "1")
    found = rated(tmp_path / "study")
    assert {place: (one.label, one.class_index) for place, one in found.items()} == {
        ("meadow", 0): ("sky", S),
        ("meadow", 1): ("grass", G),
        ("garden", 0): ("cat", C),
        ("field", 0): ("grass", G),
    }  # the garden's second segment has a similarity of 0.05, and 0.1 is asked for
    assert document["methods"]["full"]["kind"] == "evaluation"
    assert document["methods"]["full"]["left_out"] == {"segments that are no class of the data set": 1}
    settings = load_study(tmp_path / "study").settings
    assert (settings.labels, settings.reassigned_by) == ("reassigned", "st")
    assert {one.area for one in found.values()} == {0.5, 0.75, 1.0}


def test_by_another_rule(run, tmp_path, capsys):
    arguments = ("--score", "reassigned", "--reassigned-by", "tt", "--gold", "0")
    create(capsys, run, "--out", tmp_path / "study", *arguments)
    found = {place: one.label for place, one in rated(tmp_path / "study").items()}
    assert found == {("meadow", 0): "sky", ("meadow", 1): "grass", ("garden", 0): "cat", ("field", 0): "sky"}


def test_predicted_labels_are_one_line_of_text(run, tmp_path, capsys):
    create(capsys, run, "--out", tmp_path / "study", "--gold", "0")
    found = {place: one.label for place, one in rated(tmp_path / "study").items()}
    assert found["meadow", 1] == "lawn"
    assert found["garden", 1] == "green lawn"
    assert "\u202e" not in found["garden", 0]
    assert len(found) == 5


def test_gold_by_the_truth(run, tmp_path, capsys):
    """Only the meadow's segments are of one class and the whole of it; every class is seen with every other one."""
    document = create(capsys, run, "--out", tmp_path / "study", "--gold", "1", "--per-task", "3")
    assert list(document["gold"]) == ["truth"]
    assert [note for note in document["notes"] if "always say 3 pass" in note]
    gold = [one for one in load_study(tmp_path / "study").questions if one.kind == "gold"]
    assert len(gold) == 5  # a batch for each of five segments
    assert {(one.image, one.segment, one.label, one.expected) for one in gold} == {
        ("meadow", 0, "sky", (2, 3)),
        ("meadow", 1, "grass", (2, 3)),
    }


def test_a_study_is_not_made_in_an_evaluation(run, capsys):
    before = sorted(run.rglob("*"))
    assert cli.main(["study", "create", str(run), "--out", str(run), "--gold", "0"]) == 2
    assert "is a run; choose another folder" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


def test_pure_and_whole_segments(run):
    found = {image.name: pure_segments(image) for image in read_scored(run)}
    assert found == {
        "meadow": {0: (S, True), 1: (G, True)},
        "garden": {1: (G, False)},  # half of the grass; the first segment has 8 of 12 pixels on the cat
        "field": {},  # a quarter of it is void
    }


def test_absent_classes_were_never_seen_together_with_what_is_there():
    together = {0: {0, 1}, 1: {0, 1}, 3: {3}}
    classes = (*CLASSES, "boat")
    assert absent_classes(classes, frozenset({0}), together) == ["boat"]
    assert absent_classes(classes, frozenset({3}), together) == ["cat", "grass"]  # sky is in no truth at all
