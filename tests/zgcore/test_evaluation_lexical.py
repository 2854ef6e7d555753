"""Labels and classes by WordNet: worked examples, each looked up in the dictionary by hand."""

from __future__ import annotations

import pytest

from zgcore.evaluation.lexical import HEAD_WORDS, RELATIONS, LexicalMatcher, _heads
from zgcore.wordnet import FOLDER

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no WordNet in {FOLDER}")

CLASSES = [
    "person", "dog", "car", "couch", "bird", "airplane", "hot dog", "tree", "traffic light", "table", "potted plant",
    "rock", "mouse", "sports ball", "cup",
]  # fmt: skip


@pytest.fixture(scope="module")
def matcher():
    return LexicalMatcher.find(CLASSES)


@pytest.mark.parametrize(("label", "name", "relation", "steps"), [
    ("dog", "dog", "exact", 0),
    ("Dogs", "dog", "exact", 0),
    ("a dog", "dog", "exact", 0),
    ("photo of the dog", "dog", "exact", 0),
    ("aeroplane", "airplane", "exact", 0),  # spelling
    ("traffic-light", "traffic light", "exact", 0),
    ("people", "person", "exact", 0),  # its plural
    ("sofa", "couch", "synonym", 0),
    ("automobile", "car", "synonym", 0),
    ("stone", "rock", "synonym", 0),
    ("poodle", "dog", "hyponym", 1),
    ("chihuahua", "dog", "hyponym", 2),  # toy dog, dog
    ("woman", "person", "hyponym", 2),  # adult, person
    ("palm tree", "tree", "hyponym", 1),
    ("brown dog", "dog", "hyponym", 1),  # no phrase of the dictionary: a kind of its head noun
    ("brown poodle", "dog", "hyponym", 2),
    ("red traffic light on a pole", "traffic light", "hyponym", 2),
    ("hot dog", "hot dog", "exact", 0),
    ("furniture", "table", "hypernym", 1),
    ("plant", "potted plant", "hypernym", 1),
    ("ball", "sports ball", "hypernym", 1),
    ("animal", "dog", "hypernym", 2),  # domestic animal, animal
])  # fmt: skip
def test_worked_examples(matcher, label, name, relation, steps):
    match = matcher.match(label)
    assert (CLASSES[match.row], match.relation, match.steps) == (name, relation, steps)


@pytest.mark.parametrize("label", ["", "!!!", "zzyzx", "thing", "entity", "red", "banana", "sky", "light brown"])
def test_no_class(matcher, label):
    assert matcher.match(label).row == -1
    assert matcher.match(label).relation == ""


def test_an_adjective_is_no_person(matcher):
    assert matcher.match("red").row == -1  # WordNet knows a red: a communist


def test_a_long_caption(matcher):
    """Its last words are looked up; all of its phrases, of 5,000 words each, would be 25 million."""
    words = ["brown", "zzyzx"] * 2499
    assert matcher.match(" ".join([*words, "hot", "dog"])).row == CLASSES.index("hot dog")
    assert matcher.match(" ".join([*words, "traffic", "light", "on", "a", "pole"])).steps == 4999
    assert len(list(_heads([*words, "dog"]))) == HEAD_WORDS
    assert list(_heads(["red", "traffic", "light", "on", "a", "pole"])) == [
        ("red traffic light", 1),
        ("traffic light", 2),
        ("light", 3),
    ]


def test_a_dictionary_phrase_is_no_kind_of_its_head():
    match = LexicalMatcher.find(["dog", "house"]).match("hot dog")
    assert match.row == -1


def test_the_better_relation_wins_whatever_the_order():
    assert LexicalMatcher.find(["dog", "poodle"]).match("poodle").row == 1  # exact before hyponym
    assert LexicalMatcher.find(["furniture", "couch"]).match("sofa").row == 1  # synonym before hyponym
    assert LexicalMatcher.find(["animal", "dog"]).match("poodle").row == 1  # the nearer one
    assert LexicalMatcher.find(["poodle", "animal"]).match("dog").row == 1  # hyponym before hypernym
    assert RELATIONS == ("exact", "synonym", "hyponym", "hypernym")


def test_a_class_of_several_names():
    ade = LexicalMatcher.find(["windowpane, window", "building;edifice", "tv monitor"])
    found = [ade.match(label) for label in ["window", "edifice", "building", "tv", "monitors", "TV monitor"]]
    assert [match.row for match in found] == [0, 1, 1, 2, 2, 2]
    assert {match.relation for match in found} == {"exact"}


def test_reassignment(matcher):
    found = matcher(["poodle", "sky", "sofa"])
    assert found.classes.tolist() == [1, -1, 3]
    assert found.similarity.tolist() == [1, 0, 1]
    assert found.relations == ("hyponym", "", "synonym")
    assert matcher([]).classes.shape == (0,)


def test_no_wordnet(tmp_path, monkeypatch):
    from zgcore import wordnet

    monkeypatch.setattr(wordnet, "FOLDER", tmp_path)
    assert LexicalMatcher.find(CLASSES) is None
