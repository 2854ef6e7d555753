"""The state of a run: who may take what in hand, and what becomes of it."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ls_backend.jobs.owner import Owner
from ls_backend.jobs.schema import StateError
from ls_backend.jobs.snapshot import snapshot
from ls_backend.jobs.store import LOST, MISSING, Added, Finished, NewImage, StateStore

ROOT = Path(__file__).parents[2]

# Takes images in hand, two at a time, and says which it finished; with "hold" it stops with two in hand.
WORKER = """
import sys, time
from pathlib import Path
from ls_backend.jobs.owner import Owner
from ls_backend.jobs.store import Finished, NewImage, StateStore

with StateStore(Path(sys.argv[1]), create=True) as store:
    store.add(NewImage(f"/p/{number}.jpg", str(number), "1:1") for number in range(int(sys.argv[3])))
    owner = Owner.here()
    while images := store.claim(owner, 2):
        if sys.argv[2] == "hold":
            print("holds", *(image.id for image in images), flush=True)
            time.sleep(600)
        print(*store.finish(owner, [Finished(image.id, image.mark) for image in images]))
"""


def images(*names, mark="1:1"):
    return [NewImage(f"/photos/{name}.jpg", name, mark) for name in names]


def worker(state, mode, count):
    program = [sys.executable, "-c", WORKER, str(state), mode, str(count)]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(image, **result):
    return Finished(image.id, image.mark, **result)


def real_counts(store):
    """Counted row by row, without the triggers' help."""
    found = Counter(state for (state,) in store.rows("SELECT state FROM images"))
    return {state: found[state] for state in ("queued", "running", "done", "failed")}


def expire(store):
    with store.writing() as db:
        db.execute("UPDATE owners SET lease = 0")


@pytest.fixture
def store(tmp_path):
    with StateStore(tmp_path / "state.sqlite", create=True) as made:
        yield made


def test_images_go_from_queued_to_done_or_failed(store):
    assert store.add(images("a", "b", "c")) == Added(changed=3)
    owner = Owner.here()
    first, second = store.claim(owner, 2)
    assert (first.key, first.name, first.attempts) == ("/photos/a.jpg", "a", 1)
    assert store.counts() == {"queued": 1, "running": 2, "done": 0, "failed": 0}
    finished = [done(first, segments=7), done(second, error="/photos/b.jpg: broken", reason="broken")]
    assert store.finish(owner, finished) == [1, 2]
    assert store.counts() == {"queued": 1, "running": 0, "done": 1, "failed": 1} == real_counts(store)
    assert [image.name for image in store.claim(owner, 5)] == ["c"]
    assert store.claim(owner, 5) == []


def test_adding_again_queues_what_changed_only(store):
    store.add(images("a", "b"))
    owner = Owner.here()
    store.finish(owner, [done(image) for image in store.claim(owner, 2)])
    assert store.add(images("a", "b")) == Added()
    assert store.add([*images("a"), *images("b", mark="2:2"), *images("c")]) == Added(changed=2)
    assert [image.name for image in store.claim(owner, 5)] == ["b", "c"]


def test_a_file_that_is_away_takes_no_result_with_it(store):
    store.add(images("a", "b", "c"))
    owner = Owner.here()
    first, _ = store.claim(owner, 2)
    store.finish(owner, [done(first)])
    assert store.add(images("a", "b", "c", mark=MISSING)) == Added(changed=1, away=2)
    assert store.counts() == {"queued": 1, "running": 1, "done": 1, "failed": 0}
    assert store.add(images("a", "b")) == Added()  # it is back


def test_an_image_that_changes_in_hand_is_made_again(store):
    store.add(images("a"))
    owner = Owner.here()
    (image,) = store.claim(owner, 1)
    store.add(images("a", mark="2:2"))
    assert store.finish(owner, [done(image)]) == [1]
    assert store.counts()["queued"] == 1
    (again,) = store.claim(owner, 1)
    assert (again.mark, again.attempts) == ("2:2", 1)


def test_a_lease_that_ends_lets_others_take_over_and_the_late_result_does_not_count(store):
    store.add(images("a", "b"))
    slow, other = Owner.here(), Owner.here()
    (image,) = store.claim(slow, 1)
    assert [one.name for one in store.claim(other, 5)] == ["b"]
    expire(store)
    (taken,) = store.claim_lost(other)
    assert (taken.name, taken.attempts) == ("a", 2)
    assert store.finish(slow, [done(image)]) == []
    assert store.finish(other, [done(taken)]) == [taken.id]
    assert store.counts() == real_counts(store)


def test_release_takes_no_attempt(store):
    store.add(images("a"))
    owner = Owner.here()
    store.claim(owner, 1)
    store.release(owner)
    assert store.owners() == []
    assert [image.attempts for image in store.claim(owner, 1)] == [1]


def test_an_image_that_changed_in_hand_can_be_taken_again_after_a_release(store):
    store.add(images("a"))
    owner = Owner.here()
    store.claim(owner, 1)
    store.add(images("a", mark="2:2"))
    store.release(owner)
    assert [image.attempts for image in store.claim(owner, 1)] == [1]


def test_what_is_worked_at_elsewhere_is_tried_only_if_it_was_lost_there(store):
    store.add(images("a", "b"))
    for _ in range(5):  # the process that keeps the state ends, and nothing was tried
        owner = Owner.here()
        assert [image.attempts for image in store.claim(owner, 2, tried=False)] == [1, 1]
        expire(store)
        store.recover()
    assert store.counts()["queued"] == 2
    (a, b) = store.claim(owner, 2, tried=False)
    store.finish(owner, [done(b)])
    store.let_go(owner, [a.id], tried=False)
    for attempt in (2, 3):
        (a,) = store.claim_lost(owner, tried=False)
        assert a.attempts == attempt
        store.let_go(owner, [a.id], tried=False)
    assert store.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 1}


def test_what_ends_its_process_three_times_has_failed_and_takes_no_neighbour_down(store):
    store.add(images("a", "b"))
    for attempt in range(3):
        victim, other = Owner.here(), Owner.here()
        taken = store.claim(victim, 1) or store.claim_lost(victim)
        assert [(image.name, image.attempts) for image in taken] == [("a", attempt + 1)]
        if attempt == 0:
            (neighbour,) = store.claim(other, 5)
            store.finish(other, [done(neighbour)])
        assert store.claim(other, 5) == []
        expire(store)
        store.recover()
    assert store.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 1} == real_counts(store)
    (reason,) = snapshot(store).reasons
    assert (reason.reason, reason.images, reason.example) == (LOST, 1, f"a: {LOST}")


def test_what_an_engine_lost_counts_as_tried(store):
    store.add(images("a", "b"))
    owner = Owner.here()
    first, second = store.claim(owner, 2)
    store.let_go(owner, [second.id])
    assert store.finish(owner, [done(first), done(second)]) == [first.id]
    assert store.claim(owner, 5) == []
    assert [(image.name, image.attempts) for image in store.claim_lost(owner)] == [("b", 2)]


def test_retry_takes_all_failures_or_those_of_a_reason(store):
    store.add(images("a", "b", "c"))
    owner = Owner.here()
    reasons = ["gone", "broken", "gone"]
    taken = store.claim(owner, 3)
    store.finish(owner, [done(image, error=why, reason=why) for image, why in zip(taken, reasons, strict=True)])
    assert [(reason.reason, reason.images) for reason in snapshot(store).reasons] == [("gone", 2), ("broken", 1)]
    assert store.retry("broken") == 1
    assert [image.name for image in store.claim(owner, 5)] == ["b"]
    assert store.retry() == 2
    assert [(image.name, image.attempts) for image in store.claim(owner, 5)] == [("a", 1), ("c", 1)]


def test_cancel_holds_back_what_is_queued(store):
    store.add(images("a", "b"))
    owner = Owner.here()
    (image,) = store.claim(owner, 1)
    store.cancel()
    assert store.claim(owner, 5) == store.claim_lost(owner) == []
    assert store.finish(owner, [done(image)]) == [image.id]
    assert snapshot(store).status == "cancelled"
    store.resume()
    assert [one.name for one in store.claim(owner, 5)] == ["b"]


def test_names_are_told_apart_whatever_their_case(store):
    store.add([NewImage(f"/{folder}/x.jpg", stem, "") for folder, stem in (("p", "Cat"), ("q", "cat"), ("r", "cat"))])
    names = [image.name for image in store.claim(Owner.here(), 5)]
    assert names[0] == "Cat"
    assert len({name.casefold() for name in names}) == 3
    assert all(name.startswith("cat-") and len(name) == 12 for name in names[1:])


def test_counts_hold_through_everything(store):
    """Every way from state to state; the triggers' counts are those of the rows after each."""
    owner = Owner.here()
    steps = [
        lambda: store.add(images(*"abcdefgh")),
        lambda: store.finish(owner, [done(image) for image in store.claim(owner, 2)]),
        lambda: store.finish(owner, [done(image, error="x", reason="x") for image in store.claim(owner, 2)]),
        lambda: store.let_go(owner, [image.id for image in store.claim(owner, 1)]),
        lambda: store.claim(owner, 1),
        lambda: store.add(images("a", "e", "f", mark="new")),
        lambda: store.retry(),
        lambda: store.redo([1, 2]),
        lambda: store.claim_lost(owner),
        lambda: store.release(owner),
        lambda: store.redo(),
    ]
    for step in steps:
        step()
        assert store.counts() == real_counts(store)
    assert store.counts() == {"queued": 8, "running": 0, "done": 0, "failed": 0}


def test_processes_share_a_run_and_take_no_image_twice(tmp_path):
    """Four start at once on a state that is not there yet, and list the same images."""
    state = tmp_path / "run" / "state.sqlite"
    workers = [worker(state, "work", 200) for _ in range(4)]
    outputs = [process.communicate(timeout=120) for process in workers]
    assert [process.returncode for process in workers] == [0] * 4, outputs
    finished = [int(number) for out, _ in outputs for number in out.split()]
    assert sorted(finished) == list(range(1, 201))
    with StateStore(state) as store:
        assert store.counts() == {"queued": 0, "running": 0, "done": 200, "failed": 0} == real_counts(store)
    assert [path.name for path in state.parent.iterdir()] == ["state.sqlite"]


def test_what_a_killed_process_had_in_hand_is_free_at_once(tmp_path):
    state = tmp_path / "state.sqlite"
    with worker(state, "hold", 4) as process:
        assert process.stdout.readline() == "holds 1 2\n"
        with StateStore(state) as store:
            (owner,) = store.owners()
            assert (owner.pid, owner.is_dead) == (process.pid, False)
            store.recover()
            assert store.counts()["running"] == 2
            assert snapshot(store).status == "running"
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert snapshot(store).status == "stopped"
            store.recover()
            assert store.counts() == {"queued": 4, "running": 0, "done": 0, "failed": 0}
            assert store.owners() == []


def test_a_process_of_another_machine_or_with_a_number_that_was_reused_is_told_apart():
    me = Owner.here()
    assert not me.is_dead
    assert not Owner(me.id, "elsewhere", 2**22 + 1, "1").is_dead  # nobody here can tell
    assert Owner(me.id, me.machine, 2**22 + 1, "1").is_dead  # more than any process's number
    assert Owner(me.id, me.machine, me.pid, "1").is_dead  # the number is ours, the process began at another time


def test_other_files_are_refused_and_left_as_they_are(tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("not a database, and long enough to be looked at as one " * 20)
    with pytest.raises(StateError, match="cannot be used"):
        StateStore(text, create=True)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE tasks (id INTEGER)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(StateError, match="is not the state of a run"):
        StateStore(foreign, create=True)
    assert foreign.read_bytes() == before
    with pytest.raises(StateError, match="there is no such run"):
        StateStore(tmp_path / "none.sqlite")


def test_the_state_is_for_its_owner_only(store):
    assert os.stat(store.path).st_mode & 0o777 == 0o600


def test_tables_of_the_first_version_are_read(tmp_path):
    path = tmp_path / "state.sqlite"
    with StateStore(path, create=True) as store:
        store.add(images("a"))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE images DROP COLUMN delivered")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for _ in range(2):
        with StateStore(path) as store:
            assert store.delivered(1) is None
            assert store.counts()["queued"] == 1


def test_another_version_of_the_tables_is_refused(tmp_path):
    path = tmp_path / "state.sqlite"
    StateStore(path, create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="another version of zeroguide"):
        StateStore(path)
