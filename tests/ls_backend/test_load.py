"""`zeroguide serve` as a process of its own under load: a minute of 32 clients, and kill -9 in a queue run."""

import json
import re
import signal
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from pathlib import Path

from tests.ls_backend.serving import LEGACY, PALETTE, Client, PredictionStore, bands, task
from tests.ls_backend.test_app import until
from tests.ls_backend.test_serve import started

CLIENTS = 32
WITH_NEW_PHOTOS = 4  # of the clients; the model is slower than all others together
SECONDS = 60
SETTLED = 0.4  # share of the minute after which memory may not grow any more
GROWTH_MIB = 24
SETUP = {"project": "7.1", "schema": PALETTE, "hostname": "http://x", "access_token": "t", "extra_params": None}


@contextmanager
def process(folder, *flags):
    """`zeroguide serve` with the smallest real model: the process and a client. Its log is read and left."""
    child, url, _ = started(folder, "--min-area", "0", "--log-level", "error", *flags)
    log = threading.Thread(target=lambda: deque(child.stderr, maxlen=0), daemon=True)
    log.start()
    try:
        yield child, Client(url)
    finally:
        child.kill()
        child.wait()
        log.join(10)
        child.stderr.close()


def resident_mib(pid):
    """Resident memory of a process and of those it started."""
    own = int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    children = {child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()}
    return own + sum(map(resident_mib, children))


def photo(number):
    """A photo that no other number has."""
    return bands(number % 256, size=(16 + number // 256, 12))


class Load:
    """Clients that ask until the time is over. answers: (address, status) of each request; wrong: what it was."""

    def __init__(self, client, seconds):
        self.client = client
        self.end = time.monotonic() + seconds
        self.answers = Counter()
        self.wrong = []
        self._lock = threading.Lock()

    def run(self, number):
        step = 0
        while time.monotonic() < self.end:
            step += 1
            try:
                path, status, right = self._ask(number, step)
            except Exception as error:  # no answer, or one that makes no sense
                path, status, right = "?", repr(error), False
            with self._lock:
                self.answers[path, status] += 1
                if not right:
                    self.wrong.append((path, number, step))

    def _ask(self, number, step):
        if number < WITH_NEW_PHOTOS:
            return self._predict([task(number * 10**6 + step, photo(100 + WITH_NEW_PHOTOS * step + number))], [True])
        kind = (number + step) % 8
        if kind == 0:
            status, _, content = self.client.get("/health")
            return "/health", status, json.loads(content)["status"] == "UP"
        if kind == 1:
            status, answer = self.client.post("/setup", SETUP)
            return "/setup", status, "model_version" in answer
        if kind == 2:
            event = {"action": "ANNOTATION_CREATED", "annotation": {"id": step, "task": step % 8, "result": []}}
            return "/webhook", self.client.post("/webhook", event)[0], True
        if kind == 3:
            return self._predict([task(1, photo(1)), task(99, b"broken"), {"id": 98}], [True, False, False])
        return self._predict([task(step % 8, photo(step % 8))], [True])

    def _predict(self, tasks, masks):
        body = {"tasks": tasks, "project": "7.1", "label_config": PALETTE}
        status, answer = self.client.post("/predict", body)
        return "/predict", status, [bool(one["result"]) for one in answer.get("results", [])] == masks


def test_32_clients_for_a_minute_get_their_answers_and_memory_stays_flat(tmp_path):
    with process(tmp_path) as (child, client):
        client.predict([task(number, photo(number)) for number in range(8)])
        load = Load(client, SECONDS)
        threads = [threading.Thread(target=load.run, args=(number,)) for number in range(CLIENTS)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        memory = []
        while any(thread.is_alive() for thread in threads):
            memory.append((time.monotonic() - begin, resident_mib(child.pid)))
            time.sleep(0.5)
        print(load.answers, [(round(at), round(mib)) for at, mib in memory[::10]])
        assert load.wrong == []
        assert {status for _, status in load.answers} == {200}
        assert {path for path, _ in load.answers} == {"/health", "/setup", "/webhook", "/predict"}
        assert client.get("/health")[0] == 200
        settled = [mib for at, mib in memory if at >= SETTLED * SECONDS]
        assert max(settled) - settled[0] < GROWTH_MIB
        assert len(list(Path(f"/proc/{child.pid}/fd").iterdir())) < 100  # nothing stays open


def test_kill_9_in_a_queue_run_loses_nothing(tmp_path):
    store, count = PredictionStore(), 24
    with store.serve() as label_studio:
        flags = ["--deadline-s", "1", "--label-studio-url", f"http://127.0.0.1:{label_studio.port}"]
        flags += ["--label-studio-api-key", LEGACY]
        with process(tmp_path, *flags) as (child, client):
            results = client.predict([task(number) for number in range(1, count + 1)])
            answered = {number for number, result in enumerate(results, 1) if result}
            until(lambda: len(store.predictions) >= 2, 60)
            child.send_signal(signal.SIGKILL)
            child.wait()
        left = count - len(answered) - len(store.predictions)
        assert left > 0  # it was killed at work
        with process(tmp_path, *flags) as (_, client):
            until(lambda: len(store.predictions) == count - len(answered), 120)
            until(lambda: b'zeroguide_queue_tasks{state="waiting"} 0.0' in client.get("/metrics")[2])
            again = client.predict([task(number) for number in range(1, count + 1)])
    sent = {one["task"]: one["result"] for one in store.predictions}
    assert sorted([*sent, *answered]) == list(range(1, count + 1))  # each once
    assert all(sent[number] == again[number - 1]["result"] for number in sent)
