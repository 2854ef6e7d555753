"""Building a vocabulary: evidence, groups, names, parents, meanings, people's decisions, label lists."""

from __future__ import annotations

import numpy as np
import pytest

from zgcore.vocabulary import Decisions, VocabularyError
from zgcore.vocabulary.build import BuildConfig, Builder
from zgcore.vocabulary.embedding import preset_texts
from zgcore.vocabulary.evidence import Evidence, EvidenceConfig, FormUse, Link, gather
from zgcore.vocabulary.group import Groups, group
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.vocabulary.match import Matcher, label_list, unmatched
from zgcore.vocabulary.naming import explain
from zgcore.vocabulary.uses import LabelUse, Looks
from zgcore.vocabulary.yaml_file import vocabulary_text
from zgcore.wordnet import FOLDER, WordNet

needs_wordnet = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no WordNet in {FOLDER}")
WORDS = ["car", "red", "fire", "hydrant", "television", "dog", "small", "cat", "coffee", "table", "a"]


@pytest.fixture(scope="module")
def wordnet():
    return Lexicon(WordNet.find())


@pytest.fixture(scope="module")
def texts():
    return preset_texts("mini")


@pytest.fixture(scope="module")
def builder(wordnet, texts):
    return Builder(wordnet, texts)


def plain(*texts: str, decisions: Decisions | None = None, lexicon: Lexicon | None = None) -> dict[str, list[str]]:
    """Labels and their texts by spelling (and a dictionary, where one is given) alone."""
    found = Builder(lexicon or Lexicon(None, WORDS), None).build([LabelUse(text) for text in texts], decisions)
    return {label.name: sorted(member.text for member in label.members) for label in found.labels}


class TestWithoutWordNet:
    def test_spelling(self):
        assert plain("dog", "Dogs", "a dog", "dog_2") == {"dog": ["Dogs", "a dog", "dog", "dog_2"]}

    def test_joined_otherwise(self):
        assert plain("fire hydrant", "firehydrant", "Fire-Hydrants") == {
            "fire hydrant": ["Fire-Hydrants", "fire hydrant", "firehydrant"]
        }

    def test_typos_of_what_is_there(self):
        found = plain("television", "televison", "telvision", "coffee table", "cofee table", "xylofon")
        assert found["television"] == ["television", "televison", "telvision"]
        assert found["coffee table"] == ["cofee table", "coffee table"]
        assert found["xylofon"] == ["xylofon"]

    def test_words_are_no_typos(self):
        assert set(plain("car", "cart")) == {"car"}
        assert set(plain("car", "cart", lexicon=Lexicon(None, ["car", "cart"]))) == {"car", "cart"}

    def test_describing_words(self):
        assert plain("red car", "car", "small red cars") == {"car": ["car", "red car", "small red cars"]}
        assert plain("red kite", "blue kite") == {"red kite": ["blue kite", "red kite"]}

    def test_no_letters(self):
        assert plain("", "?!", "dog") == {"dog": ["dog"], "unnamed": ["", "?!"]}

    def test_flags(self):
        found = Builder(Lexicon(None, WORDS), None).build([LabelUse("xylofon"), LabelUse("red"), LabelUse("dog")])
        flags = {label.name: label.flags for label in found.labels}
        assert flags["xylofon"] == ('outlier: "xylofon" is in no dictionary',)
        assert flags["red"] == ("outlier: describes, names no thing",)
        assert flags["dog"] == ()

    def test_decisions_hold_against_the_evidence(self):
        texts = ("car", "red car", "dog", "cat")
        found = plain(*texts, decisions=Decisions(keep=("red car",), merge={"pet": ("dog", "cat")}))
        assert found == {"car": ["car"], "red car": ["red car"], "pet": ["cat", "dog"]}
        found = plain(*texts, decisions=Decisions(split=(("car", "red car"),), rename={"car": "auto"}, drop=("dog",)))
        assert found == {"auto": ["car"], "red car": ["red car"], "cat": ["cat"]}

    def test_counts_add_up(self):
        found = Builder(Lexicon(None, WORDS), None).build([LabelUse("dog", 2), LabelUse("dog", 3), LabelUse("Dogs")])
        assert [(member.text, member.count) for member in found.texts("dog")] == [("dog", 5), ("Dogs", 1)]


class TestGroups:
    def test_average_linkage_stops_chains(self):
        links = [Link("a", "b", 0.9, ""), Link("b", "c", 0.8, "")]  # a-c: nothing, so ab-c has a mean of 0.4
        groups = Groups(["a", "b", "c"])
        used = group(groups, Evidence(similar=links), threshold=0.5)
        assert sorted(map(sorted, groups.members().values())) == [["a", "b"], ["c"]]
        assert used == links[:1]
        groups = Groups(["a", "b", "c"])
        group(groups, Evidence(similar=links), threshold=0.4)
        assert [sorted(forms) for forms in groups.members().values()] == [["a", "b", "c"]]

    def test_apart_and_together(self):
        links = [Link("a", "b", 0.9, ""), Link("c", "b", 0.9, ""), Link("a", "c", 0.9, "")]
        groups = Groups(["a", "b", "c", "d"], apart=[("a", "b")], together=[("d", "a")])
        group(groups, Evidence(similar=links), threshold=0.3)
        assert groups.root("a") == groups.root("d")
        assert groups.root("a") != groups.root("b")
        assert not groups.join("b", "d")

    def test_the_surest_way_explains(self):
        links = [Link("a", "c", 0.5, "weak"), Link("a", "b", 0.9, "one"), Link("b", "c", 0.8, "two")]
        found = explain("a", ["a", "b", "c", "d"], links)
        assert found["b"] == ("as a: one", 0.9)
        assert found["c"] == ("as b: two", pytest.approx(0.72))
        assert found["a"] == ("", 1.0)


class TestEvidence:
    def test_looks_move_a_likeness(self):
        def use(form: str, look: list[float]) -> FormUse:
            return FormUse(form, 3, (form,), vector=np.array([1.0, 0.0]), look=np.array(look))

        lexicon, config = Lexicon(None, ["aa", "bb"]), EvidenceConfig()
        found = {}
        for name, look in (("same", [1.0, 0.0]), ("other", [-1.0, 0.0])):
            uses = {"aa": use("aa", [1.0, 0.0]), "bb": use("bb", look)}
            (found[name],) = gather(uses, lexicon, config).similar
        # texts 1.0: 0.5 + (1 - 0.8); looks: 0.2 x (cosine - 0.35)
        assert found["same"].confidence == pytest.approx(0.70 + 0.2 * 0.65)
        assert found["other"].confidence == pytest.approx(0.70 - 0.2 * 1.35)
        assert found["other"].why == "texts 1.00 alike; segments -1.00 alike"

    def test_widths_are_not_mixed(self):
        uses = [LabelUse("a", 1, np.ones((1, 3), np.float32)), LabelUse("b", 1, np.ones((1, 4), np.float32))]
        with pytest.raises(VocabularyError, match="3 and 4 wide"):
            Looks(uses)


@needs_wordnet
class TestWithWordNet:
    def test_synonyms(self, builder):
        found = builder.build([LabelUse("sofa", 5), LabelUse("couches", 3), LabelUse("car", 2), LabelUse("automobile")])
        assert found.names == ("sofa", "car")
        (member,) = [member for member in found.texts("sofa") if member.text == "couches"]
        assert member.why.startswith("as sofa: WordNet: sofa, couch, lounge; texts 0.")
        assert 0.5 < member.confidence < 1

    def test_neighbours_stay_apart(self, builder):
        texts = ["cat", "dog", "car", "truck", "boy", "girl", "chair", "table", "fork", "spoon", "polar bear", "bear"]
        assert set(builder.build(map(LabelUse, texts)).names) == set(texts)

    def test_plural_words_of_their_own(self, builder):
        found = builder.build(map(LabelUse, ["glass", "glasses", "spectacles", "woods", "forest", "trousers", "pants"]))
        together = sorted(sorted(member.text for member in label.members) for label in found.labels)
        assert together == [["forest", "woods"], ["glass"], ["glasses", "spectacles"], ["pants", "trousers"]]

    def test_parents_are_labels_first(self, builder):
        found = {
            label.name: label.parents for label in builder.build(map(LabelUse, ["dog", "animal", "palm tree"])).labels
        }
        assert found["dog"][0] == "animal"
        assert found["palm tree"][0] == "tree"

    def test_the_name_is_the_most_frequent_real_word(self, builder):
        assert builder.build([LabelUse("televison", 9), LabelUse("television", 2), LabelUse("tv", 3)]).names == ("tv",)

    def test_the_same_again(self, builder):
        texts = ["sofa", "couch", "red car", "Cars", "tv", "television set", "xylofon", "bat", "baseball bat"]
        one, other = builder.build(map(LabelUse, texts)), builder.build(map(LabelUse, reversed(texts)))
        assert vocabulary_text(one) == vocabulary_text(other)

    def test_a_rebuild_keeps_decisions_that_the_evidence_is_against(self, builder):
        decisions = Decisions(split=(("sofa", "couch"),), merge={"pet": ("dog",)}, rename={"pet": "companion"})
        found = builder.build(map(LabelUse, ["sofa", "couch", "settee", "dog", "cat"]), decisions)
        assert found.canonical("dog") == "companion"
        assert found.canonical("sofa") != found.canonical("couch")
        assert found.decided(decisions).version == found.version

    def test_ambiguous_words_are_flagged(self, builder):
        found = builder.build(map(LabelUse, ["mouse", "computer mouse", "crane", "tree", "dog", "cat"]))
        flags = {label.name: label.flags for label in found.labels}
        assert 'as "computer mouse"' in flags["mouse"][0]
        assert flags["crane"][0].startswith("ambiguous: ")
        assert [flags[name] for name in ("tree", "dog", "cat")] == [(), (), ()]

    def test_segments_tell_meanings_apart(self, builder, texts, wordnet):
        rng = np.random.default_rng(0)
        kinds = [wordnet.named(meaning) for meaning in wordnet.meanings("mouse")[::2]]  # the animal, the device
        centres = texts([f"{kind} mouse" for kind in kinds])
        segments = np.concatenate([centre + 0.02 * rng.standard_normal((8, len(centre))) for centre in centres])
        uses = [LabelUse("mouse", 16, segments.astype(np.float32)), LabelUse("cat", 4)]
        found = builder.build(uses)
        assert set(found.names) == {f"mouse ({kind})" for kind in kinds} | {"cat"}
        assert [found.canonical("mouse", centre) for centre in centres] == [f"mouse ({kind})" for kind in kinds]
        assert found.resolve("mouse").ambiguous
        assert {label.count for label in found.labels} == {8, 4}

    def test_one_look_is_one_meaning(self, builder, texts):
        rng = np.random.default_rng(0)
        segments = texts(["rodent mouse"]) + 0.02 * rng.standard_normal((16, texts.mean.size))
        assert builder.build([LabelUse("mouse", 16, segments.astype(np.float32))]).names == ("mouse",)

    def test_threshold(self, wordnet, texts):
        strict = Builder(wordnet, texts, BuildConfig(threshold=1.0))
        assert strict.build(map(LabelUse, ["sofa", "couch", "Sofas"])).names == ("sofa", "couch")


@needs_wordnet
class TestLabelLists:
    def test_coco(self, builder, wordnet, texts):
        labels = builder.build(map(LabelUse, ["sofa", "motorbike", "puppy", "sky", "TVs", "cellphone", "zzqx"])).labels
        found = {match.label: match for match in Matcher(label_list("coco"), wordnet, texts).match(labels)}
        assert {name: match.target for name, match in found.items()} == {
            "sofa": "couch", "motorbike": "motorcycle", "puppy": "dog", "tv": "tv", "cellphone": "cell phone",
            "sky": None, "zzqx": None,
        }  # fmt: skip
        assert (found["sofa"].how, found["puppy"].how, found["tv"].how) == ("dictionary", "kind of", "name")
        left = unmatched(label_list("coco"), list(found.values()))
        assert len(left) == 80 - 5
        assert "zebra" in left

    def test_by_member_and_by_segment(self, texts):
        lexicon = Lexicon(None, WORDS)
        matcher = Matcher(["vehicle", "pet"], lexicon, texts)
        rng = np.random.default_rng(0)
        look = texts(["pet"])[0]
        uses = [
            LabelUse("zzqx", 8, (look + 0.02 * rng.standard_normal((8, look.size))).astype(np.float32)),
            LabelUse("qqzx", 8, (0.5 * rng.standard_normal((8, look.size))).astype(np.float32)),
        ]
        labels = Builder(lexicon, None).build(uses, Decisions(merge={"thing": ("Vehicles", "qqzx")})).labels
        found = {match.label: match for match in matcher.match(labels, Looks(uses))}
        assert (found["zzqx"].target, found["zzqx"].how) == ("pet", "segment")
        assert found["thing"].target is None
        assert found["thing"].nearest in ("vehicle", "pet")

    def test_a_list_holds_each_thing_once(self, texts):
        for names in ([], ["cat", "Cats"]):
            with pytest.raises(VocabularyError, match="each thing once"):
                Matcher(names, Lexicon(None), texts)
