"""What tests of a study's page share: a small study, a real server of it in a process of its own, and raters."""

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import deque
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from ls_backend.studies.instruction import write_instruction
from ls_backend.studies.manifest import Question, Rules, Source, StudySettings, write_study
from ls_backend.studies.pictures import PhotoPictures, PictureStyle, jpeg
from ls_backend.studies.tokens import read_links

ROOT = Path(__file__).parents[2]
STYLE = PictureStyle(longest=320)
RUN = "import sys; from ls_backend.cli_study_serve import serve; serve(sys.argv[1:])"
SERVER_ONLY = ("secret-method", "secret-image", "gold", "repeat", "q0000", "expected")  # words no rater may fetch


def make_study(root, batches=2, size=5, raters=3, labels=(), pictures=True, rules=None):
    """A study of `batches` batches of `size` questions: the second is gold with score 3, the last repeats the first.

    labels: of the first questions; the others are called after their place. Small real pictures, 20 different ones.
    """
    questions = []
    for number in range(batches * size):
        batch, position = number // size + 1, number % size + 1
        kind = "gold" if position == 2 else "repeat" if position == size > 2 else "rated"
        questions.append(
            Question(
                id=f"q{number + 1:05}", batch=batch, position=position, kind=kind,
                label=labels[number] if number < len(labels) else f"label {number + 1}",
                picture=f"picture-{number}.jpg", method="secret-method", image="secret-image", segment=number, area=0.1,
                size="medium", label_kind="two words", file="/secret-image.jpg", height=60, width=80, counts="",
                expected=(3,) if kind == "gold" else (),
                repeat_of=f"q{number + 2 - size:05}" if kind == "repeat" else None,
            )
        )  # fmt: skip
    settings = StudySettings(
        title="secret-method study", version="1", seed=0, labels="predicted", questions=None,
        rated=sum(q.kind == "rated" for q in questions), per_task=size, raters=raters, gold=1, repeat=1, per_image=None,
        sizes=(0.02, 0.2), sources=(Source("secret-method", "run", "/secret", "1", 1, len(questions)),), strata={},
        gold_from={}, picture={}, rules=rules or Rules(),
    )  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    study = write_study(root, settings, questions)
    if pictures:
        study.pictures.mkdir()
        for number, question in enumerate(questions):
            (study.pictures / question.picture).write_bytes(_picture(number % 20))
        write_instruction(study.instruction)
    return study


@cache
def _picture(number):
    rng = np.random.default_rng(number)
    photo = rng.integers(0, 255, (3, 4, 3), np.uint8).repeat(60, axis=0).repeat(60, axis=1)
    mask = np.zeros(photo.shape[:2], bool)
    mask[40:120, 60 + number % 5 * 20 : 160] = True
    return jpeg(PhotoPictures(photo, STYLE).draw(mask), STYLE)


@contextmanager
def study_server(root, *flags, port=0):
    """`zeroguide study serve` as a process. Gives the process and its address; its log is `process.lines`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZEROGUIDE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(root), "--port", str(port), *flags],
        cwd=ROOT, env={**kept, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        process.lines, address = deque(maxlen=10_000), None
        for line in process.stderr:
            process.lines.append(line)
            if found := re.search(r"listens on (http://\S+)", line):
                address = found[1]
                break
        assert address, "".join(process.lines)
        reader = threading.Thread(target=lambda: process.lines.extend(process.stderr), daemon=True)
        reader.start()
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def links(root):
    """Tokens by number of the rater; 0 is the organiser's."""
    return read_links(root / "links.csv")


class Rater:
    """A program that uses the page's requests as its script does: a cookie jar, and JSON."""

    def __init__(self, url, token=None, **headers):
        self.url, self.headers = url, headers
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        if token is not None:
            assert self.post("enter", {"token": token})[0] == 200

    def ask(self, method, path, body=None, **headers):
        """Status, headers and bytes."""
        request = urllib.request.Request(f"{self.url}/{path}", body, {**self.headers, **headers}, method=method)
        try:
            with self.opener.open(request, timeout=60) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def get(self, path):
        """Status and JSON."""
        status, _, content = self.ask("GET", path)
        return status, json.loads(content)

    def post(self, path, body):
        status, _, content = self.ask("POST", path, json.dumps(body).encode(), **{"Content-Type": "application/json"})
        return status, json.loads(content)

    def batch(self, done=None):
        """What the server answers when the rater wants a batch."""
        status, state = self.post("batch", {"done": done})
        assert status == 200, state
        return state

    def answer(self, question, score, seconds=2.0, key=None):
        key = key or os.urandom(8).hex()
        return self.post("answer", {"question": question, "score": score, "seconds": seconds, "key": key})
