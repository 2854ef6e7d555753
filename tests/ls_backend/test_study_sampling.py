"""Which segments a study asks about, and how they are dealt into batches."""

from collections import Counter

import pytest

from ls_backend.studies.batches import BatchSizes, arrange
from ls_backend.studies.gold import GoldQuestion
from ls_backend.studies.sampling import Candidate, at_equal_steps, equal_shares, sample, size_of, strata, thinned
from zgcore.errors import StudyError

AREAS = {"small": 0.005, "medium": 0.05, "large": 0.4}
LAST = 2**64 - 1  # the greatest draw


def segment(image, number, size="large", method="ours"):
    return Candidate(method, image, number, f"label {image} {number}", AREAS[size], 0.3)


def frame(images, sizes, method="ours"):
    """Each image has a segment of each of the sizes."""
    return [segment(image, number, size, method) for image in images for number, size in enumerate(sizes)]


def counts(candidates, what):
    return Counter(getattr(candidate, what) for candidate in candidates)


@pytest.mark.parametrize(
    ("area", "size"), [(0.0, "small"), (0.0099, "small"), (0.01, "medium"), (0.0999, "medium"), (0.1, "large")]
)
def test_sizes_by_share_of_the_image(area, size):
    assert size_of(area) == size


def test_equal_shares_are_dealt_in_turns():
    assert equal_shares({"a": 2, "b": 10, "c": 10}, 9) == {"a": 2, "b": 4, "c": 3}
    assert equal_shares({"a": 1, "b": 1}, 9) == {"a": 1, "b": 1}
    assert equal_shares({"a": 5, "b": 0}, 3) == {"a": 3, "b": 0}
    assert equal_shares({}, 3) == {}


def test_equal_steps_begin_anywhere_in_the_first_one():
    assert at_equal_steps(range(10), 3, 0) == [0, 3, 6]
    assert at_equal_steps(range(10), 3, LAST) == [3, 6, 9]
    assert at_equal_steps(range(4), 9, LAST) == [0, 1, 2, 3]
    assert at_equal_steps(range(4), 0, 0) == []


@pytest.mark.parametrize("seed", range(10))
def test_sizes_have_their_share(seed):
    everything = frame(range(40), ("large", "large", "medium", "small"))
    chosen = sample(everything, 20, None, seed)
    assert counts(chosen, "size") == {"large": 10, "medium": 5, "small": 5}
    assert strata(everything, chosen) == {"ours": {"small": (40, 5), "medium": (40, 5), "large": (80, 10)}}


@pytest.mark.parametrize("seed", range(20))
def test_images_are_spread(seed):
    """Steps of two through a, b, c, d and back through d, c, b, a meet each image once, wherever they begin."""
    chosen = sample(frame("abcd", ("small", "large")), 4, None, seed)
    assert counts(chosen, "image") == dict.fromkeys("abcd", 1)


def test_methods_have_equal_shares_of_the_same_segments():
    everything = [one for method in ("ours", "theirs") for one in frame(range(30), ("large", "small"), method)]
    chosen = sample(everything, 20, None, 7)
    assert counts(chosen, "method") == {"ours": 10, "theirs": 10}
    places = {
        method: [(one.image, one.segment) for one in chosen if one.method == method] for method in ("ours", "theirs")
    }
    assert places["ours"] == places["theirs"]


def test_at_most_k_of_an_image():
    crowded = [segment("crowd", number) for number in range(50)]
    rest = [segment(f"other{number}", 0) for number in range(10)]
    for seed in range(10):
        chosen = sample(crowded + rest, 12, 3, seed)
        assert len(chosen) == 12
        assert counts(chosen, "image")["crowd"] <= 3
    assert counts(sample(crowded + rest, None, 3, 0), "image") == {"crowd": 3} | {f"other{n}": 1 for n in range(10)}


@pytest.mark.parametrize("seed", range(20))
def test_sizes_keep_their_share_where_images_are_limited(seed):
    """30 images of 4 large, 2 medium and 2 small segments: of 60 and of 20, a half and two quarters."""
    everything = frame(range(30), ("large",) * 4 + ("medium",) * 2 + ("small",) * 2)
    for questions, of_sizes in ((None, (15, 15, 30)), (20, (5, 5, 10))):
        chosen = sample(everything, questions, 2, seed)
        assert counts(chosen, "size") == dict(zip(("small", "medium", "large"), of_sizes, strict=True))
        assert max(counts(chosen, "image").values()) <= 2


@pytest.mark.parametrize("seed", range(20))
def test_images_with_a_choice_make_up_for_those_without(seed):
    """Ten images of one small segment and ten of eight large ones and two small ones: 80 large, 30 small.

    30 are kept with two an image, 8.18 of them small by their share; ten small ones have no alternative. So no small
    one is taken from the others, and 20 large ones are left.
    """
    everything = frame(range(10), ("small",)) + frame(range(10, 20), ("large",) * 8 + ("small",) * 2)
    assert counts(thinned(everything, 2, seed), "size") == {"small": 10, "large": 20}
    # of 25 images with four small and one large segment each, and 25 with large ones: 100 of 250 are small, 40 of 100
    mixed = frame(range(25), ("small",) * 4 + ("large",)) + frame(range(25, 50), ("large",) * 5)
    assert counts(thinned(mixed, 2, seed), "size") == {"small": 40, "large": 60}


def test_a_size_that_is_rare_has_its_chance_where_images_are_limited():
    """One of 20 segments is small, and four are kept: it is among them in one of five studies."""
    everything = frame(range(4), ("large",) * 5)
    everything[0] = segment(0, 0, "small")
    found = sum("small" in counts(sample(everything, None, 1, seed), "size") for seed in range(400))
    assert 48 <= found <= 112  # 80 expected; four standard deviations of 8


def test_the_limit_of_an_image_is_shared_by_its_methods():
    everything = [segment("one", number, method="a") for number in range(5)] + [segment("one", 0, method="b")]
    assert counts(thinned(everything, 4, 0), "method") == {"a": 3, "b": 1}
    assert len(thinned(everything, 1, 0)) == 1
    whose = {thinned([segment(f"image{n}", 0, method=m) for m in "ab"], 1, 0)[0].method for n in range(20)}
    assert whose == {"a", "b"}  # in turns by image


def test_the_seed_alone_decides():
    everything = frame(range(20), ("large", "medium"))
    assert sample(everything, 9, 1, 5) == sample(everything[::-1], 9, 1, 5)
    assert sample(everything, 9, 1, 5) != sample(everything, 9, 1, 6)


def test_every_segment_has_the_same_chance():
    everything = frame(range(5), ("large", "small"))
    seen = Counter(one.key for seed in range(400) for one in sample(everything, 3, None, seed))
    assert len(seen) == 10
    assert all(83 <= count <= 157 for count in seen.values())  # 120 expected; four standard deviations of 9.2


def gold(count, expected=(0,)):
    name = "right" if expected == (3,) else "wrong"
    return [GoldQuestion(segment(f"{name}{number}", 0), expected, "file") for number in range(count)]


def test_a_batch_of_thirty():
    rated = [segment(f"image{number}", 0) for number in range(60)]
    batches = list(arrange(rated, gold(10) + gold(10, (3,)), BatchSizes(), 0))
    assert [len(batch) for batch in batches] == [30, 30, 9]  # 27, 27 and 6 rated ones
    for batch in batches:
        kinds = Counter(place.kind for place in batch)
        assert (kinds["gold"], kinds["repeat"]) == (2, 1)
        assert sorted(place.expected for place in batch if place.kind == "gold") == [(0,), (3,)]
    asked = [place.candidate for batch in batches for place in batch if place.kind == "rated"]
    assert sorted(one.image for one in asked) == sorted(one.image for one in rated)
    assert asked != rated


@pytest.mark.parametrize("seed", range(10))
def test_repeats_come_at_least_a_third_later(seed):
    rated = [segment(f"image{number}", 0) for number in range(40)]
    for batch in arrange(rated, gold(5), BatchSizes(24, 1, 3), seed):
        repeats = [(at, place) for at, place in enumerate(batch) if place.kind == "repeat"]
        assert len({place.of for _, place in repeats}) == 3
        for at, place in repeats:
            assert batch[place.of].candidate == place.candidate
            assert batch[place.of].kind == "rated"
            assert at - place.of >= 21 // 3


def test_gold_is_of_other_images_than_the_batch():
    rated = [segment(f"wrong{number}", 1) for number in range(4)]
    for seed in range(10):
        (batch,) = arrange(rated, gold(6), BatchSizes(6, 2, 0), seed)
        assert {place.candidate.image for place in batch if place.kind == "gold"} == {"wrong4", "wrong5"}


def test_gold_is_dealt_round_and_round():
    rated = [segment(f"image{number}", 0) for number in range(12)]
    batches = arrange(rated, gold(3), BatchSizes(5, 1, 0), 0)
    asked = [place.candidate.image for batch in batches for place in batch if place.kind == "gold"]
    assert sorted(asked) == ["wrong0", "wrong1", "wrong2"]


def test_the_places_of_kinds_differ_from_batch_to_batch():
    rated = [segment(f"image{number}", 0) for number in range(200)]
    batches = list(arrange(rated, gold(20), BatchSizes(12, 1, 1), 0))
    for kind, least in (("gold", 6), ("repeat", 4)):
        assert len({at for batch in batches for at, place in enumerate(batch) if place.kind == kind}) >= least


def test_too_few_gold_questions():
    with pytest.raises(StudyError, match="--gold-file"):
        list(arrange([segment("image", 0)], gold(1), BatchSizes(), 0))


@pytest.mark.parametrize("sizes", [(3, 2, 1), (2, 2, 0), (4, 0, 3), (30, -1, 1)])
def test_sizes_that_leave_nothing_to_rate(sizes):
    with pytest.raises(StudyError):
        BatchSizes(*sizes)
