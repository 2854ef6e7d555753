"""A vocabulary: normal forms, what a text means, decisions laid over labels, versions, differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from zgcore.vocabulary import Decisions, Label, Member, Vocabulary, VocabularyError, normalise
from zgcore.vocabulary.diff import Change, difference

ANIMAL, DEVICE = np.eye(2, 4, dtype=np.float32)


def vocabulary(**decisions: object) -> Vocabulary:
    labels = (
        Label("sofa", (Member("sofa", 5), Member("couch", 4, "WordNet", 0.9), Member("Settees", 1, "WordNet", 0.8))),
        Label("cup", (Member("cup", 3), Member("glass", 2, "texts", 0.6)), ("container",)),
        Label("mouse (rodent)", (Member("mouse", 2, centre=ANIMAL),)),
        Label("mouse (device)", (Member("mouse", 1, centre=DEVICE), Member("computer mouse", 1))),
        Label("thing", (Member("thing", 1),)),
    )
    return Vocabulary(labels).decided(Decisions.from_document(decisions))


def mapping(found: Vocabulary) -> dict[str, list[str]]:
    return {label.name: sorted(member.text for member in label.members) for label in found.labels}


class TestNormalForms:
    @pytest.mark.parametrize(
        ("text", "form"),
        [
            ("Buses", "bus"),
            ("the glasses", "glasses"),  # no plural of glass
            ("2 Fire-Hydrants", "fire hydrant"),
            ("dog_03", "dog"),
            ("a pair of jeans", "jean"),
            ("close-up of a cat", "cat"),
            ("slices of bread", "bread"),
            ("people", "person"),
            ("men", "man"),
            ("wolves", "wolf"),
            ("kiwis", "kiwi"),
            ("cactus", "cactus"),
            ("gas", "gas"),
            ("piles of books", "pile of books"),  # only the head noun
            ("woman\u2019s hat", "woman hat"),
            ("Grey  tyre", "gray tire"),
            ("3d printer", "3d printer"),
            ("the", "the"),
            ("7", "7"),
            ("???", ""),
            ("", ""),
            ("\u732b", "\u732b"),
        ],
    )
    def test_form(self, text, form):
        assert normalise(text).form == form

    def test_steps_tell_what_was_changed(self):
        found = normalise("Two grey Tyres")
        assert found.steps == ("case", "determiner", "spelling", "plural")
        assert (found.plain, found.readable) == ("grey tyres", "grey tyre")

    @settings(deadline=None)
    @given(st.text(max_size=30))
    def test_any_text_has_a_form_that_stays(self, text):
        form = normalise(text).form
        assert form == " ".join(form.split())
        assert bool(form) == any(char.isalnum() for char in normalise(text).plain)


class TestCanonical:
    @pytest.mark.parametrize(
        ("text", "label"),
        [("couch", "sofa"), ("Some Couches", "sofa"), ("settee", "sofa"), ("SOFA", "sofa"), ("a glass", "cup")],
    )
    def test_known_in_any_spelling(self, text, label):
        found = vocabulary().resolve(text)
        assert (found.name, found.known, found.ambiguous) == (label, True, False)

    def test_unknown_is_only_tidied(self):
        found = vocabulary().resolve("Two grey Tyres")
        assert (found.name, found.known) == ("grey tyre", False)
        assert vocabulary().canonical("!?") == "!?"

    def test_an_exact_text_goes_before_its_form(self):
        found = Vocabulary((Label("polish", (Member("polish"),)), Label("Polish people", (Member("Polish"),))))
        assert (found.canonical("Polish"), found.canonical("polish")) == ("Polish people", "polish")

    def test_embedding_tells_meanings_apart(self):
        found = vocabulary()
        assert found.canonical("Mouse", [0.9, 0.1, 0, 0]) == "mouse (rodent)"
        assert found.canonical("mouse", [3, 9, 1, 0]) == "mouse (device)"
        assert found.resolve("mouse").ambiguous
        assert found.canonical("mouse") == "mouse"
        assert found.canonical("computer mouse", ANIMAL) == "mouse (device)"  # not ambiguous: the look is not asked

    @pytest.mark.parametrize("embedding", [[1, 0], [[1, 0, 0, 0]], [np.nan, 0, 0, 0]])
    def test_embedding_of_another_model(self, embedding):
        with pytest.raises(VocabularyError, match="embedding"):
            vocabulary().canonical("mouse", embedding)

    def test_the_way_back(self):
        assert [member.text for member in vocabulary().texts("sofa")] == ["sofa", "couch", "Settees"]
        assert vocabulary().texts("nothing") == ()

    def test_two_labels_of_one_name(self):
        with pytest.raises(VocabularyError, match='two labels are called "a"'):
            Vocabulary((Label("a", ()), Label("a", ())))


class TestDecisions:
    def test_drop(self):
        found = vocabulary(drop=["thing", "glass"])
        assert [found.canonical(text) for text in ("Things", "glass", "cup")] == [None, None, "cup"]
        assert [label.name for label in found.dropped] == ["glass", "thing"]
        assert found.canonical("glasses") == "glasses"  # another word

    def test_a_label_is_dropped_whole_and_stays_so(self):
        found = vocabulary(drop=["sofa"])
        for _ in range(2):
            assert [found.canonical(text) for text in ("sofa", "couch", "settees")] == [None, None, None]
            found = found.decided(found.decisions)

    def test_what_was_dropped_comes_back(self):
        found = vocabulary(drop=["thing"]).decided(Decisions())
        assert found.canonical("thing") == "thing"
        assert found.dropped == ()

    def test_merge_takes_whole_labels_and_single_texts(self):
        found = mapping(vocabulary(merge={"cup": ["sofa"]}))
        assert found["cup"] == ["Settees", "couch", "cup", "glass", "sofa"]
        found = mapping(vocabulary(merge={"cup": ["couch"]}))
        assert found["cup"] == ["couch", "cup", "glass"]
        assert found["sofa"] == ["Settees", "sofa"]

    def test_merge_into_a_new_name(self):
        found = vocabulary(merge={"tableware": ["cup", "glass"]})
        assert mapping(found)["tableware"] == ["cup", "glass"]
        assert {member.why for member in found.texts("tableware")} == {"decision: merge"}

    def test_merge_settles_an_ambiguous_word(self):
        found = vocabulary(merge={"pointer": ["mouse"]})
        assert mapping(found)["pointer"] == ["computer mouse", "mouse", "mouse"]
        assert not found.resolve("mouse").ambiguous

    def test_a_decision_on_texts_nobody_used_waits(self):
        assert mapping(vocabulary(merge={"boat": ["ship"]}, drop=["rain"], keep=["x"])) == mapping(vocabulary())
        assert vocabulary(drop=["rain"]).canonical("rain") is None

    def test_split_and_keep(self):
        found = mapping(vocabulary(split=[["cup", "glass"]], keep=["couch"]))
        assert (found["cup"], found["glass"], found["couch"]) == (["cup"], ["glass"], ["couch"])
        assert found["sofa"] == ["Settees", "sofa"]

    def test_rename(self):
        found = vocabulary(rename={"sofa": "settee"})
        assert found.canonical("couch") == "settee"
        assert found.decided(Decisions(rename={"sofa": "settee"}, drop=("settee",))).canonical("couch") is None

    def test_rename_to_a_name_that_is_there_makes_one_of_both(self):
        assert mapping(vocabulary(rename={"cup": "sofa"}))["sofa"] == ["Settees", "couch", "cup", "glass", "sofa"]

    @pytest.mark.parametrize(
        "decisions",
        [
            {"rename": {"sofa": "settee"}, "merge": {"sofa": ["glass"]}, "split": [["sofa", "couch"]]},
            {"rename": {"cup": "sofa"}, "drop": ["thing"]},
            {"merge": {"furniture": ["sofa", "cup"]}, "split": [["glass", "couch"]], "keep": ["settee"]},
            {"merge": {"sofa": ["mouse"]}, "rename": {"thing": "object"}},
            {"merge": {"pet": ["mouse"]}, "rename": {"pet": "companion"}, "drop": ["companion"]},
        ],
    )
    def test_laid_twice_as_once(self, decisions):
        once = vocabulary(**decisions)
        twice = once.decided(once.decisions)
        assert mapping(twice) == mapping(once)
        assert twice.version == once.version

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_any_decisions_laid_twice_as_once(self, data):
        word = st.sampled_from(["sofa", "couch", "settee", "cup", "glass", "mouse", "thing", "rain", "seat"])
        words = st.lists(word, unique=True, max_size=3)
        try:
            decisions = Decisions(
                keep=tuple(data.draw(words)),
                merge={
                    name: tuple(texts) for name, texts in data.draw(st.dictionaries(word, words, max_size=2)).items()
                },
                rename=data.draw(st.dictionaries(word, word, max_size=2)),
                split=tuple(map(tuple, data.draw(st.lists(words, max_size=2)))),
                drop=tuple(data.draw(words)),
            )
        except VocabularyError:
            reject()
        before, once = vocabulary(), vocabulary().decided(decisions)
        twice = once.decided(decisions)
        assert (mapping(twice), twice.version) == (mapping(once), once.version)
        texts = sorted(member.text for label in (*before.labels, *before.dropped) for member in label.members)
        assert texts == sorted(member.text for label in (*once.labels, *once.dropped) for member in label.members)

    @pytest.mark.parametrize(
        ("decisions", "message"),
        [
            ({"kepe": ["a"]}, 'did you mean "keep"'),
            ({"keep": "a"}, "keep is a list, as in keep: "),
            ({"keep": [["a"]]}, "keep holds texts"),
            ({"merge": ["a"]}, "merge is a mapping"),
            ({"rename": {"a": ["b"]}}, "rename gives one new name"),
            ({"drop": ["..."]}, "no letters"),
            ({"drop": ["cats"], "keep": ["Cat"]}, '"cat" is in drop and in keep'),
            ({"drop": ["a"], "merge": {"b": ["a"]}}, '"a" is in drop and in merge'),
            ({"merge": {"a": ["c"], "b": ["c"]}}, 'puts "c" into "a" and into "b"'),
            ({"rename": {"a": "b", "b": "c"}}, 'gives "a" the name "b", which is renamed as well'),
            ({"split": [["cat", "Cats"]]}, "two or more different words"),
            ({"split": [["a", "b"]], "merge": {"c": ["a", "b"]}}, "merge puts two of them together"),
            ([], "decisions is a mapping"),
        ],
    )
    def test_contradictions_name_the_words(self, decisions, message):
        with pytest.raises(VocabularyError, match=message) as error:
            Decisions.from_document(decisions or ["x"])
        assert error.value.exit_code == 2


class TestVersions:
    def test_counts_and_evidence_do_not_matter(self):
        one = Vocabulary((Label("a", (Member("x", 1, "why", 0.5), Member("y"))), Label("b", (Member("z"),))))
        other = Vocabulary((Label("b", (Member("z", 9),)), Label("a", (Member("y"), Member("x", 7))), ))  # fmt: skip
        assert one.version == other.version
        assert len(one.version) == 12

    def test_every_change_of_meaning_does(self):
        versions = {vocabulary(**d).version for d in ({}, {"drop": ["thing"]}, {"split": [["cup", "glass"]]})}
        assert len(versions) == 3

    def test_difference(self):
        found = difference(vocabulary(), vocabulary(drop=["thing"], split=[["cup", "glass"]]))
        assert found.labels_added == ("glass",)
        assert found.labels_removed == ("thing",)
        assert found.changes == (
            Change("glass", 2, ("cup",), ("glass",)),
            Change("thing", 1, ("thing",), ()),
        )
        assert not difference(vocabulary(), vocabulary())

    def test_difference_of_texts_that_are_new_or_ambiguous(self):
        new = Vocabulary((Label("mouse", (Member("mouse", 3), Member("rat", 1))),))
        changes = {change.text: (change.before, change.after) for change in difference(vocabulary(), new).changes}
        assert changes["mouse"] == (("mouse (device)", "mouse (rodent)"), ("mouse",))
        assert changes["rat"] == (None, ("mouse",))
        assert changes["couch"] == (("sofa",), None)
