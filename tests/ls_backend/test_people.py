"""The policy on labels that describe people: the paper's examples, harmless neighbours, and what it counts."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ls_backend.people import PeopleLabel, PeoplePolicy

REPLACED = {
    # the paper's own examples
    "Asian woman": "person",
    "homeless": "person",
    # origin, status and looks, before and behind the word for a person
    "asian women": "people",
    "an asian woman's hat": "a person's hat",
    "a homeless old man sleeping on a bench": "an old person sleeping on a bench",
    "little indian boy": "little child",
    "african-american": "person",
    "dark-skinned girl": "child",
    "asian and european people": "people",
    "woman of Asian descent": "person",
    "man who is homeless": "person",
    "girl asian": "child",
    "black woman asian": "person",
    "black man": "person",
    "blind men": "people",
    "asians in a market": "people in a market",
    "a group of homeless": "a group of people",
    "asian dancing": "person dancing",
    "the mexican babies": "the babies",
    "asian elephant asian": "elephant person",
    # words that say what somebody does stay
    "an african chef": "a chef",
    "chinese opera singer": "opera singer",
    "asian couple": "couple",
    "south american": "person",
    "two polish girls": "two children",
    "homeless shelter worker": "shelter worker",
    # full-width letters are letters
    "\uff21\uff53\uff49\uff41\uff4e woman": "person",
}
KEPT = [
    "Asian elephant",
    "persian rug",
    "French bulldog",
    "chinese food",
    "thai noodle dish",
    "american flag",
    "german shepherd",
    "written in chinese",
    "old man",
    "girl in a red dress",
    "man riding a horse",
    "black car",
    "black and white photo of a man",
    "black police car",
    "white baby elephant",
    "white pitcher",
    "fat cat",
    "bald eagle",
    "hot dog",
    "blind spot",
    "nail polish",
    "danish",
    "wandering jew in a pot",
    "sky",
    "",
    "?!",
]
FLAGGED = ["homeless shelter sign", "refugee camp", "asian fooflex"]


@pytest.mark.parametrize(("label", "text"), REPLACED.items())
def test_a_description_of_people_gives_way_to_a_neutral_noun(label, text):
    assert PeoplePolicy().apply(label) == PeopleLabel(text, replaced=True, flagged=False)


@pytest.mark.parametrize("label", KEPT)
def test_harmless_neighbours_stay(label):
    assert PeoplePolicy().apply(label) == PeopleLabel(label, replaced=False, flagged=False)


@pytest.mark.parametrize("label", FLAGGED)
def test_doubtful_labels_stay_and_are_flagged(label):
    assert PeoplePolicy().apply(label) == PeopleLabel(label, replaced=False, flagged=True)


def test_a_label_may_be_replaced_and_flagged():
    assert PeoplePolicy().apply("asian man at a refugee camp") == PeopleLabel("person at a refugee camp", True, True)


@pytest.mark.parametrize("label", [*REPLACED, *FLAGGED])
def test_flag_changes_nothing_and_flags_all(label):
    assert PeoplePolicy("flag").apply(label) == PeopleLabel(label, replaced=False, flagged=True)


@pytest.mark.parametrize("label", KEPT)
def test_flag_leaves_harmless_labels_alone(label):
    assert PeoplePolicy("flag").apply(label) == PeopleLabel(label, replaced=False, flagged=False)


@pytest.mark.parametrize("label", [*REPLACED, *FLAGGED, *KEPT])
def test_keep_does_nothing(label):
    assert PeoplePolicy("keep").apply(label) == PeopleLabel(label, replaced=False, flagged=False)


def test_counts_are_kept_and_asking_ahead_does_not_count():
    policy = PeoplePolicy()
    assert policy.would_replace("homeless")
    assert not policy.would_replace("lawn")
    for label in ("lawn", "homeless", "Asian woman", "refugee camp"):
        policy.apply(label)
    assert policy.counts == {"labels": 4, "replaced": 2, "flagged": 1}


def test_counts_from_several_threads_add_up():
    policy = PeoplePolicy()
    threads = [threading.Thread(target=lambda: [policy.apply("homeless") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert policy.counts == {"labels": 2000, "replaced": 2000, "flagged": 0}


def test_the_original_is_kept_nowhere():
    policy = PeoplePolicy()
    label = policy.apply("Asian woman")
    assert "sian" not in repr(vars(policy)) + repr(label)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match='"neutral", "flag" or "keep", not \'off\''):
        PeoplePolicy("off")


WORDS = """asian homeless black obese woman men boy chef elephant shelter sign old and of in who is a an the red sitting
descent refugees dark skinned girl's baby police car fooflex"""


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=8).map(" ".join))
def test_what_was_made_neutral_needs_nothing_more(label):
    policy = PeoplePolicy()
    once = policy.apply(label)
    assert policy.apply(once.text) == PeopleLabel(once.text, replaced=False, flagged=once.flagged)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_taken_and_left_alone_unless_replaced(label):
    result = PeoplePolicy().apply(label)
    assert result.replaced or result.text == label


def test_a_huge_label_takes_no_time():
    label = "asian and " * 20_000
    assert PeoplePolicy().apply(label).replaced
