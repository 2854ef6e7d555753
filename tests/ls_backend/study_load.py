"""Many raters at once at a study's page, as programs over kept connections; the tests and a benchmark drive it."""

import http.client
import json
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Load:
    """seconds: of each request, by kind. acknowledged: score by rater and question, as the raters know them."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: dict[tuple[int, str], int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class KeptRater:
    """A rater over one kept connection."""

    def __init__(self, host, number, load):
        self.number, self.load = number, load
        self.connection = http.client.HTTPConnection(host, timeout=60)
        self.cookie = ""

    def ask(self, kind, method, path, body=None):
        """The answer's bytes; anything but 200 is an error."""
        headers = {"Cookie": self.cookie, "Content-Type": "application/json"}
        start = time.perf_counter()
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        content = response.read()
        self.load.seconds[kind].append(time.perf_counter() - start)
        if response.status != 200:
            raise RuntimeError(f"{kind}: {response.status}: {content[:200]!r}")
        if cookie := response.headers["Set-Cookie"]:
            self.cookie = cookie.partition(";")[0]
        return content

    def rate(self, token, end, pause):
        """Open the link, then look at pictures and answer, until the time or the questions are over."""
        self.ask("page", "GET", "/")
        self.ask("enter", "POST", "/enter", {"token": token})
        done = None
        while batch := json.loads(self.ask("batch", "POST", "/batch", {"done": done}))["batch"]:
            for place, question in enumerate(batch["questions"]):
                if time.monotonic() > end:
                    return
                self.ask("picture", "GET", f"/pictures/{question['id']}")
                time.sleep(pause)
                body = {"question": question["id"], "score": (self.number + place) % 4, "seconds": pause}
                self.ask("answer", "POST", "/answer", {**body, "key": os.urandom(8).hex()})
                self.load.acknowledged[self.number, question["id"]] = body["score"]
            done = batch["id"]


def drive(host, tokens, seconds, pause):
    """All raters of `tokens` at once, for so many seconds; each answers after a pause in seconds."""
    load, end = Load(), time.monotonic() + seconds

    def work(number, token):
        try:
            KeptRater(host, number, load).rate(token, end, pause)
        except Exception as error:
            load.errors.append(f"rater {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(number, token)) for number, token in tokens.items() if number]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load
