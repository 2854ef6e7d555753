"""What labels are like, counted by hand."""

from __future__ import annotations

import pytest

from zgcore.evaluation.label_statistics import LabelStatistics
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.wordnet import FOLDER, WordNet

needs_wordnet = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no WordNet in {FOLDER}")


def counted(*texts, lexicon=None):
    statistics = LabelStatistics(lexicon)
    for text in texts:
        statistics.add([text])
    return statistics.document()


def test_vocabulary_and_length():
    found = counted("dog", "dog", "Dogs", "brown dog on a sofa", "cat")
    assert found["segments"] == 5
    assert found["vocabulary"] == 4
    assert found["forms"] == 3  # dog and Dogs are one
    assert found["words_per_label"] == pytest.approx((1 + 1 + 1 + 5 + 1) / 5)
    assert found["used_once"] == pytest.approx(3 / 4)
    assert found["frequent"][0] == {"label": "dog", "count": 2}
    assert [entry["label"] for entry in found["frequent"]] == ["dog", "Dogs", "brown dog on a sofa", "cat"]


def test_generic_labels():
    generic = ["thing", "Objects", "a blurry photo", "close-up", "texture"]
    found = counted(*generic, "photo of a dog", "dog", "picture frame")  # the photo names a dog, and the frame is one
    assert found["generic"] == pytest.approx(5 / 8)


def test_adjectives_need_wordnet():
    assert counted("red")["adjectives_alone"] is None


@needs_wordnet
def test_adjectives_alone():
    found = counted(
        "red", "wooden", "parked", "big brown", "red car", "light bulb", "", lexicon=Lexicon(WordNet.find())
    )
    assert found["adjectives_alone"] == pytest.approx(4 / 7)


def test_no_labels():
    found = counted()
    assert (found["segments"], found["vocabulary"], found["words_per_label"], found["generic"]) == (0, 0, None, None)
