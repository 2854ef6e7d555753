"""Files that somebody tampered with: whatever one value is replaced by, the export ends, and says what it left out."""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ls_backend.exports.choose import Choice
from tests.ls_backend.exporting import Exported, annotation, brush_entries, task

MASK = np.zeros((3, 4), dtype=bool)
MASK[1, 1:3] = True
BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 5, "rectanglelabels": ["car"]}
ENTRY = {"id": "b", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": BOX,
         "original_width": 4, "original_height": 3}  # fmt: skip
TASKS = [
    task(
        1,
        annotation(2, brush_entries("a", MASK, text="dot"), [ENTRY], updated_at="2026-01-01T00:00:00Z"),
        annotation(3, brush_entries("a", MASK), by={"id": 3, "email": "x@y.z"}),
        predictions=[{"id": 4, "model_version": "v", "score": 0.5, "result": brush_entries("p", MASK, text="x")}],
    )
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [-1, 0, 1, 255, 256, 2**31, 2**40, 1e308, -0.5, "", "a" * 300, "../..", "=1", [], {}, [[]], [{}], [1]]
    ),
    st.text(max_size=5),
    st.dictionaries(st.sampled_from(["id", "result", "value", "rle"]), st.integers(-(2**62), 2**62), max_size=2),
)


def places(document, path=()):
    """Every place in a document, as keys and indices."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def tampered(document, path, junk):
    document = copy.deepcopy(document)
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = junk
    return document


@pytest.fixture(scope="module")
def coco():
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(Exported(Path(folder), TASKS).coco())


def exported_whole(document, **options):
    """Every writer of one document that needs no folder; the files are read back as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        found = Exported(Path(folder), document, **options)
        json.loads(found.coco())
        assert isinstance(found.tasks(), list)
        return found


@settings(max_examples=120, deadline=None)
@given(st.data(), st.sampled_from([Choice("both"), Choice("both", merge="latest"), Choice(merge="majority")]))
def test_tampered_tasks_are_exported_or_counted(data, choice):
    path = data.draw(st.sampled_from([*places(TASKS)]))
    found = exported_whole(tampered(TASKS, path, data.draw(JUNK)), choice=choice)
    assert found.items or found.losses.unreadable


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_tampered_coco_is_exported_or_counted(coco, data):
    path = data.draw(st.sampled_from([*places(coco)]))
    found = exported_whole(tampered(coco, path, data.draw(JUNK)))
    assert len(found.items) <= 1
