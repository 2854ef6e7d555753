"""What benchmarks/pipeline.py measures: runs that know no more than they should, and settings that arrive."""

import json
import sys

import numpy as np
import pytest

from benchmarks import pipeline
from zgcore import ZeroGuidance, load_image
from zgcore.samples import sample_paths


@pytest.fixture(scope="module")
def model() -> ZeroGuidance:
    small = {"dino__size": 64, "tree__leaves": 4, "tree__similarity": 1.0, "zerocap__max_tokens": 2}
    return ZeroGuidance.from_preset("untrained", device="cpu", **small)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return load_image(next(path for path in sample_paths() if path.stem == "bus_tiny"))


def test_a_photo_is_as_new_every_time(model, photo):
    first = model(photo)
    prompt = model.labeller.first_step.prompt
    known = model.labeller.continuations
    ids, features = known.rows(prompt)
    further = f"{prompt} {first.labels[0].split()[0]}"
    assert known.count(further) > 0
    pipeline.forget_texts(model)
    kept = model.describer.labeller.continuations
    assert kept is model.labeller.continuations
    assert (kept.count(prompt), kept.count(further)) == (len(ids), 0)
    assert kept.rows(prompt)[1].equal(features)
    assert model(photo).labels == first.labels


def test_operations_are_those_of_new_texts_and_seconds_are_not_of_counting(model, photo):
    found = {row["stage"]: row for row in pipeline.profiled(model, [photo])["stages"]}
    again = {row["stage"]: row for row in pipeline.profiled(model, [photo])["stages"]}
    assert found["text"]["flops"] > 0
    assert found["text"]["flops"] == again["text"]["flops"]
    assert found["text"]["seconds"] > 0
    assert found["CRF"]["flops"] is None


def test_settings_reach_the_process_of_their_own(monkeypatch):
    given = ["pipeline.py", "--preset", "untrained", "--device", "cpu", "--images", "1", "--repeats", "1"]
    monkeypatch.setattr(
        sys, "argv", [*given, "--set", "zerocap.max_tokens=1", "--set", "dino.size=64", "--set", "labeler=retrieval"]
    )
    options = pipeline.arguments()
    assert pipeline.chosen(options) == {"zerocap__max_tokens": 1, "dino__size": 64, "labeler": "retrieval"}
    row = pipeline.in_own_process(options, size="64x64", leaves=2)
    assert (row["asked"], row["leaves"], row["size"]) == (2, 2, "64x64")
    assert "zerocap.max_tokens=1, dino.size=64, labeler=retrieval" in row["title"]
    assert json.loads(json.dumps(row)) == row
