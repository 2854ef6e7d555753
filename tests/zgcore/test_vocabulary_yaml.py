"""vocabulary.yaml: a round trip without loss, people's decisions byte for byte, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zgcore.vocabulary import Decisions, Label, Member, Vocabulary, VocabularyError
from zgcore.vocabulary.yaml_file import NO_DECISIONS, edited_below, read_decisions_text, vocabulary_text

MINE = """\
decisions:
  # asked Kim about these
  drop: [thing]   # really

  merge:
    sofa: [couch]
"""


@pytest.fixture
def small():
    centre = np.array([0.6, 0.8, 0.0], np.float32)
    return Vocabulary(
        (
            Label("sofa", (Member("sofa", 5), Member("No", 2, "WordNet: a, b", 0.8765)), ("seat",), ("ambiguous: x",)),
            Label("mouse (rodent)", (Member("mouse", 1, centre=centre),)),
            Label("thing", (Member("thing", 1),)),
        ),
        made_by={"texts": "mini"},
    )


@pytest.fixture
def file(tmp_path, small):
    path = tmp_path / "vocabulary.yaml"
    path.write_text(vocabulary_text(small), encoding="utf-8")
    return path


def test_round_trip(file, small):
    read = Vocabulary.load(file)
    assert read.version == small.version
    assert (read.names, read.made_by) == (small.names, {"texts": "mini"})
    (label,) = [label for label in read.labels if label.name == "sofa"]
    assert (label.parents, label.flags, label.count) == (("seat",), ("ambiguous: x",), 7)
    assert (label.members[1].text, label.members[1].why, label.members[1].confidence) == ("No", "WordNet: a, b", 0.876)
    np.testing.assert_allclose(read.texts("mouse (rodent)")[0].centre, [0.6, 0.8, 0], atol=1e-3)
    assert not edited_below(file)


def test_any_yaml_reader_reads_it(file):
    document = yaml.safe_load(file.read_text())
    assert document["labels"][0]["members"][1] == {
        "text": "No",
        "count": 2,
        "why": "WordNet: a, b",
        "confidence": 0.876,
    }
    assert document["decisions"] is None


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, max_size=6))
def test_any_text_survives(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    built = Vocabulary((Label("x", tuple(Member(text) for text in texts)),) if texts else ())
    path.write_text(vocabulary_text(built), encoding="utf-8", newline="")
    read = Vocabulary.load(path)
    assert sorted(member.text for member in read.texts("x")) == sorted(texts)
    assert read.version == built.version


def test_decisions_work_without_a_rebuild_and_stay_as_written(file):
    file.write_text(file.read_text().replace(NO_DECISIONS, MINE))
    read = Vocabulary.load(file)
    assert read.canonical("thing") is None
    assert read.decisions == Decisions(merge={"sofa": ("couch",)}, drop=("thing",))
    assert not edited_below(file)
    text = read_decisions_text(file)
    assert text == MINE
    again = vocabulary_text(read, text)
    assert MINE in again
    file.write_text(again)
    assert read_decisions_text(file) == MINE
    assert Vocabulary.load(file).version == read.version


def test_decisions_may_stand_anywhere(file):
    text = file.read_text().replace(NO_DECISIONS, "")
    file.write_text(text + MINE)
    assert read_decisions_text(file) == MINE
    assert Vocabulary.load(file).canonical("thing") is None


def test_decisions_made_by_program_are_written(small):
    decided = small.decided(Decisions(keep=("sofa",), split=(("a", "b"),)))
    assert yaml.safe_load(vocabulary_text(decided))["decisions"] == {"keep": ["sofa"], "split": [["a", "b"]]}


def test_edits_below_are_noticed(file):
    file.write_text(file.read_text().replace("- name: thing", "- name: object"))
    assert edited_below(file)
    assert Vocabulary.load(file).canonical("thing") == "object"


def test_a_file_written_by_hand(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("format: 1\nlabels:\n- name: sofa\n  members: [couch, settee]\n- name: yes\n")
    read = Vocabulary.load(path)
    assert (read.canonical("Settees"), read.canonical("yes"), read.names) == ("sofa", "yes", ("sofa", "yes"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no vocabulary"),
        ("just text", "is no vocabulary"),
        ("a: [", "is not YAML: line 2"),
        ("format: 2\n", "format 2"),
        ("labels: []\n", "format none"),
        ("format: 1\nlabels: 3\n", "labels is a list"),
        ("format: 1\nlabels: [{members: [a]}]\n", "label 1: name is a text"),
        ("format: 1\nlabels: [{name: a, members: [{count: 1}]}]\n", "a: a member has no text"),
        ("format: 1\nlabels: [{name: a, members: [{text: b, count: x}]}]\n", 'a: "b": count is a number'),
        ("format: 1\nlabels: [{name: a, members: [{text: b, confidence: 2}]}]\n", "between 0 and 1"),
        ("format: 1\nlabels: [{name: a, members: [{text: b, count: nan}]}]\n", "count is a number"),
        ("format: 1\nlabels: [{name: a, members: [{text: b, centre: '?'}]}]\n", "base64"),
        ("format: 1\nlabels: [{name: a}, {name: a}]\n", 'two labels are called "a"'),
        ("format: 1\ndecisions: {drop: [a], drop: [b]}\n", 'line 2: "drop" is here twice'),
        ("format: 1\ndecisions: {dorp: [a]}\n", 'did you mean "drop"'),
        ("format: 1\nx: &a [1]\ny: *a\n", "aliases"),
        ("format: 1\nx: !!python/object/apply:os.system [ls]\n", "the tag tag:yaml.org,2002:python/object"),
        ("format: 1\nx: " + "[" * 40 + "]" * 40 + "\n", "nested too deeply"),
        ("format: 1\nx: " + "[" * 5000 + "\n", "is not YAML"),
        ("format: 1\n? [a]\n: b\n", "a key is a text"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(VocabularyError, match=message) as error:
        Vocabulary.load(path)
    assert str(path) in str(error.value)


def test_missing_or_binary(tmp_path):
    with pytest.raises(VocabularyError, match="zeroguide vocab build"):
        Vocabulary.load(tmp_path / "none.yaml")
    Path(tmp_path, "x").write_bytes(b"\xff\xfe\0")
    with pytest.raises(VocabularyError, match="UTF-8"):
        Vocabulary.load(tmp_path / "x")
