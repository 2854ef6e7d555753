"""The cache on disk: what comes back, its bound, and what damage, crashes and company do to it."""

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from ls_backend.prediction_cache import FILE_NAME, PredictionCache, image_key

MIB = 2**20


def incompressible(kib, seed=0):
    return random.Random(seed).randbytes(kib * 512).hex()


@pytest.fixture
def cache(tmp_path):
    return PredictionCache(tmp_path / "cache", 8 * MIB)


def test_the_key_is_the_content_and_what_made_the_result():
    assert image_key(b"photo", "mini-1") == (hashlib.sha256(b"photo").hexdigest(), "mini-1")


def test_documents_come_back_and_versions_are_apart(cache):
    document = {"regions": [1, 2.5, None, "ä\u2028"], "empty": {}}
    cache.put(image_key(b"a", "v1"), document)
    assert cache.get(image_key(b"a", "v1")) == document
    assert cache.get(image_key(b"a", "v2")) is None
    assert cache.get(image_key(b"b", "v1")) is None
    cache.put(image_key(b"a", "v1"), [])
    assert cache.get(image_key(b"a", "v1")) == []
    assert cache.size() == (1, 4096)


def test_it_survives_the_process(tmp_path, cache):
    cache.put(("a", "v"), [1])
    assert PredictionCache(tmp_path / "cache", 8 * MIB).get(("a", "v")) == [1]


@pytest.mark.parametrize("document", [float("nan"), {"x": object()}])
def test_only_json_is_taken(cache, document):
    with pytest.raises((ValueError, TypeError)):
        cache.put(("a", "v"), document)
    assert cache.size() == (0, 0)


def test_what_was_not_asked_for_longest_goes_first(tmp_path):
    cache = PredictionCache(tmp_path, 100_000)
    for name in "abc":
        cache.put((name, "v"), incompressible(32, seed=ord(name)))  # about 16 KiB each once compressed
    _, each = cache.size()
    cache = PredictionCache(tmp_path, each)  # room for exactly these three
    assert cache.get(("a", "v")) is not None
    cache.put(("d", "v"), incompressible(32, seed=4))
    assert [name for name in "abcd" if cache.get((name, "v")) is not None] == ["a", "c", "d"]


def test_the_files_stay_bounded(tmp_path):
    cache = PredictionCache(tmp_path, 2 * MIB)
    for number in range(60):
        cache.put((str(number), "v"), incompressible(400, seed=number))
    count, size = cache.size()
    assert 0 < size <= 2 * MIB
    assert cache.get(("59", "v")) == incompressible(400, seed=59)
    assert cache.get(("0", "v")) is None
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk < 2 * MIB + 5 * MIB, f"{count} documents"  # the write-ahead log comes on top


def test_a_document_above_the_limit_is_not_kept_and_drives_nothing_out(tmp_path):
    cache = PredictionCache(tmp_path, 64 * 1024)
    cache.put(("small", "v"), 1)
    cache.put(("large", "v"), incompressible(400))
    assert cache.get(("large", "v")) is None
    assert cache.get(("small", "v")) == 1


def test_no_room_means_no_cache_and_no_files(tmp_path):
    cache = PredictionCache(tmp_path / "cache", 0)
    cache.put(("a", "v"), 1)
    assert cache.get(("a", "v")) is None
    assert cache.size() == (0, 0)
    assert not (tmp_path / "cache").exists()


def damage_whole(path):
    path.write_bytes(b"not a database" * 1000)


def damage_middle(path):
    with path.open("r+b") as handle:
        handle.seek(100)
        handle.write(os.urandom(path.stat().st_size - 100))


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [damage_whole, damage_middle, cut_short])
def test_a_damaged_file_is_begun_anew(tmp_path, damage):
    cache = PredictionCache(tmp_path, 8 * MIB)
    for number in range(20):
        cache.put((str(number), "v"), incompressible(40, seed=number))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damage(tmp_path / FILE_NAME)
    again = PredictionCache(tmp_path, 8 * MIB)
    for number in range(20):
        assert again.get((str(number), "v")) in (None, incompressible(40, seed=number))
    again.put(("new", "v"), "kept")
    assert again.get(("new", "v")) == "kept"


def test_a_file_taken_away_while_it_runs_is_made_again(tmp_path, cache):
    cache.put(("a", "v"), 1)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    assert cache.get(("a", "v")) is None
    cache.put(("a", "v"), 2)
    assert cache.get(("a", "v")) == 2


def test_a_damaged_entry_is_dropped_alone(tmp_path, cache):
    cache.put(("a", "v"), 1)
    cache.put(("b", "v"), 2)
    with sqlite3.connect(tmp_path / "cache" / FILE_NAME) as connection:
        connection.execute("UPDATE predictions SET body = x'00' WHERE image = 'a'")
    connection.close()
    assert cache.get(("a", "v")) is None
    assert cache.get(("b", "v")) == 2
    assert cache.size()[0] == 1


def test_another_schema_is_begun_anew(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE predictions (something TEXT)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    cache = PredictionCache(tmp_path, MIB)
    cache.put(("a", "v"), 1)
    assert cache.get(("a", "v")) == 1


def test_a_folder_that_cannot_be_made_costs_the_cache_and_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = PredictionCache(tmp_path / "file" / "cache", MIB)
    cache.put(("a", "v"), 1)
    assert cache.get(("a", "v")) is None
    assert cache.size() == (0, 0)
    assert "cannot open the prediction cache" in caplog.text


def test_threads_share_it(cache):
    failures = []

    def work(number):
        for step in range(25):
            key = (f"{number}-{step}", "v")
            cache.put(key, [number, step])
            if cache.get(key) != [number, step]:
                failures.append(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.size()[0] == 150


WRITER = """
import sys
from pathlib import Path
from ls_backend.prediction_cache import PredictionCache
cache, name = PredictionCache(Path(sys.argv[1]), 64 * 2**20), sys.argv[2]
for number in range(int(sys.argv[3])):
    cache.put((f"{name}-{number}", "v"), [name, number, "x" * 20_000])
    print(number, flush=True)
"""


def start_writer(folder, name, count):
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_it(tmp_path):
    writers = [start_writer(tmp_path, name, 40) for name in "abc"]
    for writer in writers:
        assert writer.communicate(timeout=120)[0].split()[-1] == "39"
    cache = PredictionCache(tmp_path, 64 * MIB)
    assert cache.size()[0] == 120
    assert all(cache.get((f"{name}-{n}", "v"))[:2] == [name, n] for name in "abc" for n in range(40))


def test_a_forked_process_has_a_connection_of_its_own(tmp_path, cache):
    cache.put(("parent", "v"), 1)
    child = os.fork()
    if child == 0:
        cache.put(("child", "v"), [cache.get(("parent", "v")), "from the child"])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    cache.put(("parent", "v"), 2)
    assert cache.get(("child", "v")) == [1, "from the child"]
    assert cache.get(("parent", "v")) == 2


def test_closing_leaves_one_whole_file(tmp_path, cache):
    cache.put(("a", "v"), 1)
    cache.close()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE_NAME]
    assert cache.get(("a", "v")) == 1


def test_kill_9_loses_nothing_that_was_put(tmp_path):
    for name in ("first", "second", "third"):
        writer = start_writer(tmp_path, name, 1_000_000)
        for _ in range(20):
            line = writer.stdout.readline()
        time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        done = int((writer.stdout.read().split() or [line])[-1])
        writer.wait()
        cache = PredictionCache(tmp_path, 64 * MIB)
        assert done >= 19
        assert all(cache.get((f"{name}-{n}", "v"))[:2] == [name, n] for n in range(done + 1))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_nothing_but_json_lies_in_the_file(tmp_path, cache):
    import zlib

    cache.put(("a", "v"), {"b": [1]})
    with sqlite3.connect(tmp_path / "cache" / FILE_NAME) as connection:
        ((body,),) = connection.execute("SELECT body FROM predictions")
    connection.close()
    assert json.loads(zlib.decompress(body)) == {"b": [1]}
