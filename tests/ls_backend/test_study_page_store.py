"""Who gets which batch on a study's page, what is kept of answers, and what is read back."""

import threading
from collections import Counter

import pytest

from ls_backend.studies import page_store
from ls_backend.studies.answers import Answer
from ls_backend.studies.attention import RECENT, too_fast
from ls_backend.studies.manifest import load_study
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_people import MOST_SESSIONS, People
from ls_backend.studies.page_progress import progress
from ls_backend.studies.page_reader import read_page_answers
from ls_backend.studies.page_store import MOST_CHANGES, PageStore
from tests.ls_backend.studying import make_study
from zgcore.errors import StudyError


@pytest.fixture
def database(tmp_path):
    """Two batches of five questions, three raters each, six people."""
    study = make_study(tmp_path / "study", pictures=False)
    with Database(study) as database:
        People(database).add(6)
        yield database


def answer_all(store, database, rater, work, score=2):
    for question in database.study.batches[work.batch]:
        if question.id not in work.scores:
            assert store.answer(rater, question.id, f"key-{question.id}", score, 1.5) == "stored"


def age(database, batch, rater, seconds):
    """Have a rater not be heard of for so long."""
    with database.writing() as db:
        db.execute("UPDATE places SET seen = seen - ? WHERE batch = ? AND rater = ?", (seconds, batch, rater))


def test_begun_batches_are_filled_first_and_nobody_gets_one_twice(database):
    store = PageStore(database)
    assert [store.take(rater).batch for rater in (1, 2, 3, 4, 5)] == [1, 1, 1, 2, 2]
    assert store.take(1).batch == 1  # in hand
    work = store.take(1)
    answer_all(store, database, 1, work)
    assert store.finish(1, 1)
    assert store.take(1).batch == 2  # the third there
    answer_all(store, database, 1, store.take(1), 0)
    assert store.finish(1, 2)
    assert store.take(1) is None
    assert store.take(6) is None  # all places are taken
    assert store.finished(1) == [1, 2]


def test_a_batch_is_handed_in_whole_and_once(database):
    store = PageStore(database)
    first = database.study.batches[1][0].id
    store.take(1)
    assert store.answer(1, first, "key-one-1", 1, 1.0) == "stored"
    assert not store.finish(1, 1)  # four are missing
    answer_all(store, database, 1, store.take(1))
    assert store.finish(1, 1)
    assert store.finish(1, 1)
    assert store.answer(1, first, "key-one-2", 3, 1.0) == "finished"
    assert store.answer(1, first, "key-one-1", 1, 1.0) == "stored"  # sent again: it has been all the time
    assert store.latest(1)[first][0] == 1
    assert not store.finish(2, 1)  # not theirs


def test_the_last_answer_counts_and_sending_again_changes_nothing(database):
    store = PageStore(database)
    first = database.study.batches[1][0].id
    store.take(1)
    for key, score in (("key-a-00", 0), ("key-b-00", 3), ("key-a-00", 0), ("key-b-00", 3), ("key-a-00", 0)):
        assert store.answer(1, first, key, score, 0.0) == "stored"
    assert database.rows("SELECT key, score FROM answers ORDER BY id") == [("key-a-00", 0), ("key-b-00", 3)]
    assert store.work(1).scores == {first: 3}
    assert database.rows("SELECT answered FROM places") == [(1,)]
    assert [(one.rater, one.question, one.score) for one in read_page_answers(database.study)] == [("1", first, 3)]


def test_changes_without_end_are_refused(database):
    store = PageStore(database)
    first = database.study.batches[1][0].id
    store.take(1)
    outcomes = Counter(store.answer(1, first, f"key-{n:05}", n % 4, 0.0) for n in range(MOST_CHANGES + 11))
    assert outcomes == {"stored": MOST_CHANGES + 1, "refused": 10}


def test_answers_of_others_batches_are_refused(database):
    store = PageStore(database)
    store.take(1)
    assert store.answer(2, "q00001", "key-0001", 1, 1.0) == "refused"
    assert store.answer(1, "q00006", "key-0001", 1, 1.0) == "refused"
    assert database.rows("SELECT * FROM answers") == []


def test_seconds_of_a_batch_are_together_at_most_those_since_it_was_taken(database, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(page_store.time, "time", lambda: now[0])
    store = PageStore(database)
    store.take(1)

    def said(after, question, seconds):
        """What is kept of so many seconds, claimed so long after the answer before."""
        now[0] += after
        key = f"key-{now[0]}-{seconds}"
        assert store.answer(1, question, key, 1, seconds) == "stored"
        kept = store.latest(1)[question][1]
        assert store.answer(1, question, key, 1, 5000.0) == "stored"  # sent again: nothing is added up twice
        return kept

    assert said(20, "q00001", 15) == 15
    assert said(0, "q00002", 15) == 5  # one wait is not everybody's
    assert said(0, "q00003", 15) == 0
    assert said(10, "q00001", 40) == 25  # another look: 30 s in all, of which 5 went to the second
    assert said(0, "q00001", 8) == 8
    assert said(0, "q00003", 20) == 17  # 30 - 8 - 5
    now[0] -= 100  # a clock that was set back
    assert said(0, "q00004", 1) == 0
    assert database.rows("SELECT spent, answered FROM places") == [(8 + 5 + 17, 4)]


def test_the_rule_of_speed_is_not_beaten_by_one_wait(tmp_path, monkeypatch):
    study = make_study(tmp_path, batches=1, size=37, pictures=False)
    now = [1000.0]
    monkeypatch.setattr(page_store.time, "time", lambda: now[0])
    with Database(study) as database:
        People(database).add(3)
        store = PageStore(database)
        for rater, claimed in ((1, 20.0), (2, 3.0)):
            store.take(rater)
            now[0] += 20
            for question in study.questions:
                now[0] += 0.25 if rater == 1 else 3.0
                store.answer(rater, question.id, "key-00001", 0, claimed)
        medians = {one.number: one.seconds for one in progress(database).raters}
        recent = store.last_seconds(1, RECENT)
    assert medians[1] == 0.25  # 20 s go to the first, and each other has what went by since
    assert medians[2] == 3.0
    assert too_fast(recent, study.settings.rules)


def test_answers_that_waited_offline_keep_their_seconds(database, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(page_store.time, "time", lambda: now[0])
    store = PageStore(database)
    store.take(1)
    now[0] += 61
    for question in database.study.batches[1]:
        store.answer(1, question.id, "key-00001", 2, 12.0)
    assert {seconds for _, seconds in store.latest(1).values()} == {12.0}


def test_an_abandoned_place_is_given_away_and_its_answers_stay(database):
    store = PageStore(database, abandoned_s=600)
    for rater in (1, 2, 3, 4, 5, 6):
        store.take(rater)
    store.answer(1, "q00001", "key-0001", 3, 1.0)
    with database.writing() as db:
        db.execute("INSERT INTO people VALUES (7, x'00')")
    assert store.take(7) is None
    age(database, 1, 1, 601)
    store.heard(1)
    assert store.take(7) is None
    age(database, 1, 1, 500)
    assert store.take(7) is None
    age(database, 1, 1, 101)
    assert store.take(7).batch == 1
    assert database.rows("SELECT rater, place FROM places WHERE batch = 1 AND released IS NULL ORDER BY place") == [
        (7, 1),
        (2, 2),
        (3, 3),
    ]
    assert store.answer(1, "q00002", "key-0002", 3, 1.0) == "released"  # what was given offline is kept
    assert store.work(1) is None
    assert not store.finish(1, 1)
    assert store.take(1) is None  # nothing is abandoned now


def test_who_comes_back_may_have_the_batch_again_where_it_is_free_again(database):
    store = PageStore(database, abandoned_s=600)
    for rater in (1, 2, 3, 4, 5, 6):
        store.take(rater)
    store.answer(1, "q00001", "key-0001", 3, 1.0)
    age(database, 1, 1, 700)
    age(database, 2, 4, 650)
    answer_all(store, database, 5, store.take(5))
    assert store.finish(5, 2)
    assert store.take(5).batch == 1  # the place that was abandoned first
    assert store.take(1).batch == 2  # then the other
    age(database, 1, 5, 700)
    answer_all(store, database, 1, store.take(1))
    assert store.finish(1, 2)
    back = store.take(1)
    assert (back.batch, back.scores) == (1, {"q00001": 3})
    assert database.rows("SELECT COUNT(*) FROM places WHERE released IS NULL AND batch = 1") == [(3,)]


def test_answered_batches_are_never_abandoned(database):
    store = PageStore(database, abandoned_s=1)
    for rater in (1, 2, 3, 4, 5, 6):
        answer_all(store, database, rater, store.take(rater))
        age(database, 1 + (rater > 3), rater, 100)
    with database.writing() as db:
        db.execute("INSERT INTO people VALUES (7, x'00')")
    assert store.take(7) is None


def test_a_rater_gets_at_most_the_batches_that_are_allowed(database):
    store = PageStore(database, most_batches=1)
    answer_all(store, database, 1, store.take(1))
    assert store.finish(1, 1)
    assert store.take(1) is None
    assert store.take(2).batch == 1


def test_all_answers_are_read_and_those_of_lost_places_last(database):
    store = PageStore(database, abandoned_s=600)
    for rater in (1, 2, 3):
        store.take(rater)
    store.answer(1, "q00001", "key-0001", 0, 1.0)
    store.answer(1, "q00003", "key-0003", 0, 1.0)
    for rater in (4, 5, 6):
        store.take(rater)
    age(database, 1, 1, 700)
    answer_all(store, database, 4, store.take(4))
    assert store.finish(4, 2)
    assert store.take(4).batch == 1  # in the place of 1
    for rater, question in ((2, "q00001"), (3, "q00001"), (4, "q00001"), (2, "q00003")):
        store.answer(rater, question, f"key-{question}", rater - 1, 1.0)
    found = read_page_answers(database.study)
    told = [(one.rater, one.score, one.spare) for one in found if one.question == "q00001"]
    assert told == [("2", 1, False), ("3", 2, False), ("4", 3, False), ("1", 0, True)]  # the last is one too many
    told = [(one.rater, one.score, one.spare) for one in found if one.question == "q00003"]
    assert told == [("2", 1, False), ("1", 0, True)]
    assert [one.question for one in found] == sorted(one.question for one in found)
    assert all(isinstance(one, Answer) and one.answered_at.endswith("+00:00") and one.seconds <= 1 for one in found)


def test_50_raters_at_once_give_every_question_three_of_them(tmp_path):
    study = make_study(tmp_path, batches=60, size=4, pictures=False)
    people, asked = 50, Counter()
    with Database(study) as database:
        People(database).add(people)
        store, failed = PageStore(database), []

        def rate(rater):
            try:
                while work := store.take(rater):
                    answer_all(store, database, rater, work, rater % 4)
                    asked[rater] += 1
                    assert store.finish(rater, work.batch)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=rate, args=(number,)) for number in range(1, people + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert sum(asked.values()) == 60 * 3
        report = progress(database)
    assert (report.answers, report.wanted, report.done, report.percent) == (720, 720, 60, 100)
    found = read_page_answers(study)
    raters = {question.id: [] for question in study.questions}
    for one in found:
        raters[one.question].append(one.rater)
        assert one.score == int(one.rater) % 4
    assert {len(set(names)) for names in raters.values()} == {3}
    assert len(found) == 720


def test_sessions_end_and_others_tokens_do_not_open_them(database):
    people = People(database)
    fresh = people.renew()
    assert sorted(fresh) == list(range(7))
    sessions = [people.enter(fresh[2])[1] for _ in range(MOST_SESSIONS + 2)]
    assert [people.of(session) for session in sessions] == [None, None, *[2] * MOST_SESSIONS]
    assert people.enter(sessions[-1]) is None  # a session is no token
    assert people.of(fresh[2]) is None
    assert people.of(None) is None
    with database.writing() as db:
        db.execute("UPDATE sessions SET made = made - 61 * 86400")
    assert people.of(sessions[-1]) is None
    session = people.enter(fresh[2])[1]
    people.renew()
    assert people.of(session) is None
    assert people.enter(fresh[2]) is None
    stored = str(database.rows("SELECT * FROM people")) + str(database.rows("SELECT * FROM sessions"))
    assert fresh[2] not in stored


def test_a_file_of_another_study_is_refused(tmp_path):
    study = make_study(tmp_path, pictures=False)
    with pytest.raises(StudyError, match="zeroguide study serve"):
        read_page_answers(study)
    with Database(study):
        pass
    assert ((tmp_path / "answers.sqlite").stat().st_mode & 0o777) == 0o600
    assert read_page_answers(load_study(tmp_path)) == []
    other = make_study(tmp_path, pictures=False, labels=["another label"])
    with pytest.raises(StudyError, match="answers another study"):
        Database(other)
    (tmp_path / "answers.sqlite").write_bytes(b"no database at all, but text" * 100)
    with pytest.raises(StudyError, match="cannot be used"):
        Database(study)
