"""The small parts of a study's page: tokens and links, rates, signs of inattention."""

import csv

import pytest

from ls_backend.studies.attention import RECENT, checks, missed, too_fast
from ls_backend.studies.manifest import Rules
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_links import have_links, wanted_raters
from ls_backend.studies.page_people import People
from ls_backend.studies.page_settings import PageSettings
from ls_backend.studies.rate_limit import MOST_BUCKETS, RateLimit
from ls_backend.studies.tokens import handle, hashed, is_hash_of, is_token, new_token, read_links, write_links
from tests.ls_backend.studying import make_study
from zgcore.errors import StudyError


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(is_token(token) and len(token) * 6 == 192 for token in tokens)
    assert not any(map(is_token, ("", "a" * 31, "a" * 33, "a" * 31 + "/", "a" * 31 + "\n", "ä" * 32)))
    assert hashed("a") != hashed("b")
    assert len(hashed("\ud800")) == 32  # whatever somebody sends
    assert is_hash_of(hashed("a"), "a")
    assert not is_hash_of(hashed("a"), "b")
    assert not is_hash_of(b"", "")
    assert not is_hash_of(hashed("a")[:-1], "a")


def test_names_differ_by_rater_question_and_study():
    names = {
        handle(secret, rater, what) for secret in (b"a", b"b") for rater in (1, 2, 11) for what in ("1 q", "q", "1")
    }
    assert len(names) == 18
    assert {len(name) for name in names} == {32}


def test_links_are_private_and_read_back(tmp_path):
    path, tokens = tmp_path / "links.csv", {2: new_token(), 0: new_token(), 1: new_token()}
    write_links(path, "https://example.org/rate", tokens)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(csv.reader(path.open())) == [
        ["who", "link"],
        ["rater 1", f"https://example.org/rate/#{tokens[1]}"],
        ["rater 2", f"https://example.org/rate/#{tokens[2]}"],
        ["progress", f"https://example.org/rate/#{tokens[0]}"],
    ]
    assert read_links(path) == tokens
    path.write_text('who,link\nrater x,#\nrater 3\n"rater 1,', "utf-8")
    assert read_links(path) == {}
    assert read_links(tmp_path / "none.csv") == {}


def test_links_stay_when_raters_are_added_and_end_when_renewed(tmp_path):
    study = make_study(tmp_path, pictures=False)
    path = tmp_path / "links.csv"
    with Database(study) as database:
        people = People(database)
        with pytest.raises(StudyError, match="set --raters to 3 or more"):
            have_links(study, people, path, "http://one", 2)
        assert not path.exists()
        first = have_links(study, people, path, "http://one", None)
        assert list(first.fresh) == ["rater 1", "rater 2", "rater 3", "progress"]
        tokens = read_links(path)
        more = have_links(study, people, path, "http://two", 4)
        assert list(more.fresh) == ["rater 4"]
        assert {**read_links(path), 4: ""} == {**tokens, 4: ""}
        assert path.read_text().count("http://two/#") == 5
        assert have_links(study, people, path, "http://two", 2)[1:] == (5, 0)  # nobody is thrown out
        path.unlink()
        assert have_links(study, people, path, "http://two", None) == ({}, 5, 5)
        assert not path.exists()
        renewed = have_links(study, people, path, "http://two", None, renew=True)
        assert (len(renewed.fresh), renewed.lost) == (5, 0)
        assert people.enter(tokens[1]) is None
        assert people.enter(read_links(path)[1])[0] == 1


def test_only_links_that_are_ours_and_let_in_are_kept(tmp_path):
    with Database(make_study(tmp_path, pictures=False)) as database:
        people = People(database)
        tokens = people.add(3)
        assert people.valid({**tokens, 2: tokens[1], 9: tokens[3]}) == {n: tokens[n] for n in (0, 1, 3)}
        assert [people.enter(tokens[n])[0] for n in range(4)] == [0, 1, 2, 3]


def test_so_many_raters_are_wanted(tmp_path):
    study = make_study(tmp_path, pictures=False)  # three a question
    assert [wanted_raters(study, raters) for raters in (None, 3, 12)] == [3, 3, 12]
    assert [wanted_raters(study, raters, 5) for raters in (None, 2, 7)] == [5, 5, 7]
    for raters, there in ((2, 0), (2, 1), (None, 2)):
        with pytest.raises(StudyError, match="set --raters to 3 or more"):
            wanted_raters(study, raters, there)


def test_a_bucket_fills_at_its_rate():
    now = [100.0]
    limit = RateLimit(2.0, 3, lambda: now[0])
    assert [limit.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("b")
    now[0] += 0.5  # one more
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    now[0] += 100
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    for number in range(MOST_BUCKETS):
        limit.allows(number)
    assert len(limit._buckets) == MOST_BUCKETS
    assert limit.allows("a")  # was forgotten, as those are who did not ask for longest


def test_fast_is_the_median_of_the_last_answers():
    rules = Rules(min_seconds=1.0)
    assert not too_fast([0.1] * (RECENT - 1), rules)
    assert too_fast([0.1] * RECENT, rules)
    assert too_fast([0.9] * 5 + [9.0] * 3, rules)
    assert not too_fast([0.9] * 4 + [1.2] * 4, rules)  # 1.05
    assert not too_fast([0.0] * RECENT, Rules(min_seconds=0))


def test_known_answers_are_counted(tmp_path):
    study = make_study(tmp_path, pictures=False)  # q00002 and q00007 are 3
    assert checks({"q00001": 0, "q00002": 3, "q00007": 2, "q00005": 3}, study.questions) == (2, 1)
    assert checks({"q00001": 0}, study.questions) == (0, 0)
    rules = Rules(min_gold_accuracy=0.6, min_checks=2)
    assert not missed(0, 0, rules)
    assert not missed(1, 0, rules)  # one may be bad luck
    assert missed(2, 1, rules)
    assert not missed(5, 3, rules)
    assert not missed(0, 0, Rules(min_checks=0))
    assert not missed(9, 0, Rules(min_gold_accuracy=0.0))


@pytest.mark.parametrize(
    ("url", "prefix", "origin"),
    [
        (None, "", None),
        ("https://example.org", "", "https://example.org"),
        ("https://example.org:8443/a/rating", "/a/rating", "https://example.org:8443"),
    ],
)
def test_a_public_address_gives_prefix_and_origin(url, prefix, origin):
    settings = PageSettings(public_url=url)
    assert (settings.prefix, settings.origin) == (prefix, origin)
