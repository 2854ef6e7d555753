"""What a study finds and what `zeroguide eval human` makes of its scores.csv are the same figures.

The run is that of `evaluation_runs`: by ST two segments of the meadow, one of the garden and one of the field are kept.
"""

from __future__ import annotations

import json

import pytest

from ls_backend.cli import main
from ls_backend.studies.answers import Answer, write_answers
from ls_backend.studies.manifest import Source
from tests.ls_backend.rating_studies import question, study
from tests.zgcore.evaluation_runs import make_data, make_run

ALL = {("meadow", 0): 3, ("meadow", 1): 3, ("garden", 0): 2, ("field", 0): 0}


@pytest.mark.parametrize(("scores", "images", "unrated", "iou"), [
    (ALL, 3, 0, {"1": (1 + 1 / 3 + 0) / 3, "2": (1 + 1 / 3 + 0) / 3, "3": 1 / 3}),
    # a sample: nobody saw the garden and the field; of the meadow the upper half is right, the lower was not rated
    ({("meadow", 0): 3}, 1, 1, {"1": 1 / 2, "2": 1 / 2, "3": 1 / 2}),
])  # fmt: skip
def test_a_study_and_eval_human_agree(tmp_path, scores, images, unrated, iou):
    make_data(tmp_path / "data")
    run = make_run(tmp_path / "ours", tmp_path / "data")
    questions = [question(n, image=image, segment=k) for n, (image, k) in enumerate(scores)]
    source = Source("ours", "evaluation", str(run), "1", 3, 4)
    made = study(tmp_path / "study", questions, sources=(source,), labels="reassigned", reassigned_by="st")
    write_answers(made.answers, [Answer(rater, q.id, scores[q.image, q.segment]) for q in questions for rater in "abc"])
    assert main(["study", "analyse", str(made.root)]) == 0
    found = json.loads((made.root / "analysis" / "figures.json").read_text())["human"]["ours"]
    assert (found["images"], found["unrated"]) == (images, unrated)
    assert {least: one["iou"] for least, one in found["least"].items()} == pytest.approx(iou)
    assert main(["eval", "human", str(run), "--scores", str(made.root / "analysis" / "scores.csv")]) == 0
    by_st = json.loads((run / "summary.json").read_text())["human"]["st"]
    assert by_st["least"]["1"]["interval"]["iou"] == pytest.approx(found["least"]["1"]["interval"]["iou"])
    assert {least: one["iou"] for least, one in by_st["least"].items()} == pytest.approx(iou)
    assert by_st["images"] == images
