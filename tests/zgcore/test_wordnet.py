"""WordNet's files: what of them is read, checked against the dictionary itself and a small one written by hand."""

from __future__ import annotations

import pytest

from zgcore.errors import WeightsError
from zgcore.wordnet import FOLDER, WordNet, read_counts, read_index, read_synsets

needs_wordnet = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no WordNet in {FOLDER}")

INDEX = """\
  1 a licence
couch n 3 2 @ ~ 3 1 00000010 00000020 00000030
hot_dog n 1 1 @ 1 0 00000040
"""
DATA = """\
  1 a licence
00000005 03 n 01 artifact 0 000 | made by people
00000010 06 n 02 sofa 0 couch 0 001 @ 00000005 n 0000 | a seat | for more than one
00000020 06 n 01 couch 1 002 @ 00000005 n 0000 @ 00000010 n 0000 | a flat bed
00000030 18 n 01 Couch 0 001 @i 00000005 n 0000 | somebody of that name
00000040 13 n 01 hot_dog 0 000 | a sausage
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "index.adj").write_text("red a 1 0 1 1 00000001  \nflat a 2 0 2 2 00000002 00000003  \n")
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "cntlist.rev").write_text("couch%1:06:01:: 2 7\ncouch%2:30:00:: 1 9\nhot_dog%1:13:00:: 1 3\n")
    return tmp_path


def test_files(folder):
    index = read_index(folder, "noun")
    assert set(index) == {"couch", "hot dog"}
    assert (index["couch"].synsets, index["couch"].tagged) == (("00000010", "00000020", "00000030"), 1)
    synsets = read_synsets(folder)
    assert synsets["00000010"].lemmas == ("sofa", "couch")
    assert synsets["00000010"].gloss == "a seat | for more than one"
    assert (synsets["00000020"].hypernyms, synsets["00000020"].instance) == (("00000005", "00000010"), False)
    assert (synsets["00000030"].instance, synsets["00000030"].category) == (True, "person")
    assert synsets["00000005"].category == "object"  # of the file of tops
    assert read_counts(folder) == {"couch": {1: 7}, "hot dog": {0: 3}}


def test_meanings(folder):
    wordnet = WordNet(folder)
    assert wordnet.senses("couch") == ["00000010", "00000020"]  # somebody's name is no kind of thing
    assert [wordnet.uses("couch", at) for at in wordnet.senses("couch")] == [0, 7]
    assert wordnet.above("00000020") == ["00000005", "00000010"]
    assert wordnet.senses("nothing") == []
    assert [word for word in ("red", "flat", "couch", "parked", "hot dog") if wordnet.describes(word)] == [
        "red", "flat", "parked"
    ]  # fmt: skip
    assert {"hot", "dog", "couch", "red"} <= wordnet.words


def test_no_folder(tmp_path):
    with pytest.raises(WeightsError, match="wordnet-base"):
        WordNet(tmp_path)
    with pytest.raises(WeightsError, match="wordnet-base"):
        WordNet.find(tmp_path)


@needs_wordnet
def test_the_real_one():
    wordnet = WordNet.find()
    assert wordnet is WordNet.find(FOLDER)  # read once
    assert wordnet.synsets[wordnet.senses("couch")[0]].lemmas == ("sofa", "couch", "lounge")
    assert wordnet.synsets[wordnet.senses("traffic light")[0]].category == "communication"
    names = [wordnet.synsets[at].lemmas[0] for at in wordnet.above(wordnet.senses("dog")[0])]
    assert names[0] == "canine"
    assert names.index("animal") > names.index("carnivore")
    assert not wordnet.describes("table")
    assert wordnet.describes("wooden")
