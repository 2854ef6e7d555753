"""A rating study in Label Studio: made, published, answered by three people in their browsers, collected, analysed.

Every rater answers the first BY_KEYS questions with the keys 0 to 3 and Ctrl+Enter in Chromium; the rest come through
the API under the same account, since the editor takes a second or two a task (STUDY_BY_KEYS=60 does all by keys).
The segments are made ones, unless STUDY_RUN names a run of `zeroguide label`.
"""

import csv
import json
import os
import re
import threading
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from ls_backend import cli
from ls_backend.studies.manifest import load_study
from tests.label_studio.studio import Studio, until
from tests.ls_backend.study_runs import write_run

BY_KEYS = int(os.environ.get("STUDY_BY_KEYS", "8"))
TASK_NUMBER = "return (document.querySelector('[class*=current-task__task-id]') || {}).innerText"
READY = "return !!document.querySelector('.lsf-choices') && !!document.querySelector('.konvajs-content canvas')"


@pytest.fixture
def study(tmp_path, monkeypatch, studio):
    """60 questions: 2 batches of 27 rated, 2 gold and 1 repeated."""
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.token)
    run = os.environ.get("STUDY_RUN") or write_run(tmp_path / "run", 20)
    out = tmp_path / "study"
    rules = ["--min-seconds", "0"]  # scripts are quick
    assert (
        cli.main(["study", "create", str(run), "--out", str(out), "--questions", "54", "--workers", "1", *rules]) == 0
    )
    return load_study(out)


def command(capsys, *arguments):
    """What a command prints with --json."""
    capsys.readouterr()
    code = cli.main(["study", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def planned(study):
    """By question: n modulo 4 of the n-th rated one, the same for its repeat, 0 where that is the right answer."""
    scores, rated = {}, 0
    for question in study.questions:
        if question.kind == "rated":
            scores[question.id] = rated % 4
            rated += 1
    for question in study.questions:
        if question.kind != "rated":
            scores[question.id] = scores[question.repeat_of] if question.kind == "repeat" else question.expected[0]
    return scores


class Rater:
    """A person with an account and a browser."""

    def __init__(self, studio, number, profile, screenshots):
        from tests.label_studio.browser import Browser

        self.number = number
        self.browser = Browser(studio.url, profile, screenshots)
        self.browser.open(studio.call("GET", "/api/invite")["invite_url"])
        self.browser.one("input[name=email]").send_keys(f"rater{number}@example.com")
        self.browser.one("input[name=password]").send_keys(f"quite-a-secret-{number}", Keys.ENTER)
        until(lambda: "signup" not in self.browser.driver.current_url, "signed up")
        self.browser.open("/api/current-user/token")
        self.api = Studio(studio.url, re.search(r"[0-9a-f]{40}", self.browser.driver.page_source)[0])
        self.id = self.api.call("GET", "/api/current-user/whoami")["id"]

    def rate(self, project, scores, count):
        """Answer `count` tasks by keys. scores: by task. Returns the tasks."""
        self.browser.open(f"/projects/{project}/data?labeling=1")
        self.browser.says("Labeling Instructions")
        self.browser.shot(f"study-{self.number}-instruction")
        self.press(Keys.ESCAPE)
        self.browser.says("How well does the text describe the marked part?")
        self.browser.shot(f"study-{self.number}-question")
        answered = []
        while len(answered) < count:
            task = until(lambda: self.next_task(answered), "the next task is shown", pause=0.05)
            self.press(str(scores[task]))
            self.press(Keys.CONTROL, Keys.ENTER)
            answered.append(task)
        until(lambda: self.has_answered(answered[-1]), "the last answer is stored")
        self.browser.shot(f"study-{self.number}-end")
        return answered

    def has_answered(self, task):
        return any(one["completed_by"] == self.id for one in self.api.call("GET", f"/api/tasks/{task}/annotations/"))

    def next_task(self, answered):
        number = self.browser.driver.execute_script(TASK_NUMBER) or ""
        found = re.match(r"#?(\d+)", number)
        if not found or int(found[1]) in answered or not self.browser.driver.execute_script(READY):
            return None
        return int(found[1])

    def press(self, *keys):
        chain = ActionChains(self.browser.driver, duration=0)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()


def annotation(score, seconds=4.0):
    value = {"choices": [str(score)]}
    result = [{"type": "choices", "from_name": "score", "to_name": "image", "value": value}]
    return {"result": result, "lead_time": seconds}


def test_a_study_from_its_making_to_its_figures(study, studio, browser, tmp_path, capsys):
    assert len(study.questions) == 60
    found = command(capsys, "publish", study.root)
    assert found["new_tasks"] == 60
    project = int(found["project"].rpartition("/")[2])
    assert command(capsys, "publish", study.root) == {**found, "new_tasks": 0}
    tasks = {task["id"]: task["data"] for task in studio.tasks(project)}
    assert len(tasks) == 60
    assert {frozenset(data) for data in tasks.values()} == {frozenset({"image", "label", "question"})}
    settings = studio.call("GET", f"/api/projects/{project}")
    assert {name: settings[name] for name in ("maximum_annotations", "show_instruction", "show_skip_button")} == {
        "maximum_annotations": 3,
        "show_instruction": True,
        "show_skip_button": False,
    }

    plan = planned(study)
    scores = {task: plan[data["question"]] for task, data in tasks.items()}
    gold = {task for task, data in tasks.items() if study.by_id[data["question"]].kind == "gold"}
    raters = [Rater(studio, number, tmp_path / f"profile{number}", browser.screenshots) for number in (1, 2, 3)]
    try:
        answered = by_keys(raters, project, [scores, scores, {**scores, **dict.fromkeys(gold, 3)}])
    finally:
        for rater in raters:
            rater.browser.driver.quit()
    assert [len(done) for done in answered] == [BY_KEYS] * 3
    for rater, done in zip(raters, answered, strict=True):
        for task in tasks.keys() - set(done):
            score = 3 if rater.number == 3 and task in gold else scores[task]
            rater.api.call("POST", f"/api/tasks/{task}/annotations/", annotation(score))
    first, second = sorted(tasks)[:2]
    studio.call("POST", f"/api/tasks/{first}/annotations/", annotation(2))  # a fourth person
    raters[0].api.call("POST", f"/api/tasks/{first}/annotations/", annotation(1))  # once more
    studio.call("POST", f"/api/tasks/{second}/annotations/", annotation(7))

    collected = command(capsys, "collect", study.root)
    assert (collected["answers"], collected["complete"], collected["raters"]) == (180, 60, 3)
    assert collected["dropped"] == {
        "beyond the number of raters a question": 1,
        "by a rater who had answered the question before": 1,
        "without a score from 0 to 3": 1,
    }
    before = study.answers.read_bytes()
    assert command(capsys, "collect", study.root) == collected
    assert study.answers.read_bytes() == before
    third = number_of(raters[2], study)
    with study.answers.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            wrong = row["rater"] == third and study.by_id[row["question"]].kind == "gold"
            assert int(row["score"]) == (3 if wrong else plan[row["question"]])
            assert float(row["seconds"]) > 0

    figures = command(capsys, "analyse", study.root, "--rounds", "100")
    expected = {"0": 14 / 54, "1": 14 / 54, "2": 13 / 54, "3": 13 / 54}  # 0, 1, 2, 3, 0, ... over 54 questions
    assert {score: figures["distribution"][score] for score in expected} == pytest.approx(expected, abs=1e-6)
    assert figures["alpha_ordinal"] == pytest.approx(1.0)
    assert Path(study.root, "analysis", "index.html").exists()


def test_pictures_that_are_served_elsewhere(study, studio, capsys):
    found = command(capsys, "publish", study.root, "--picture-url", "https://example.org/pictures")
    tasks = studio.tasks(int(found["project"].rpartition("/")[2]))
    assert [(task["data"]["question"], task["data"]["label"], task["data"]["image"]) for task in tasks] == [
        (one.id, one.label, f"https://example.org/pictures/{one.picture}") for one in study.questions
    ]


def test_a_project_of_something_else_is_left_alone(study, studio, capsys):
    project = studio.project("other", "free_text.xml")
    (task,) = studio.upload(project, {"photo.png": (study.pictures / study.questions[0].picture).read_bytes()}).values()
    before = studio.call("GET", f"/api/projects/{project}")["label_config"]
    assert cli.main(["study", "publish", str(study.root), "--to", f"label-studio:{project}"]) == 2
    assert f"has task {task}, which is none of this study" in capsys.readouterr().err
    assert studio.call("GET", f"/api/projects/{project}")["label_config"] == before


def by_keys(raters, project, plans):
    """All raters at work at the same time; the tasks each has answered."""
    answered = [None] * len(raters)

    def work(place):
        answered[place] = raters[place].rate(project, plans[place], BY_KEYS)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(raters))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in answered
    return answered


def number_of(rater, study):
    """The rater's number in the answers: raters.csv, for the study's maker alone, tells."""
    path = study.root / "raters.csv"
    assert path.stat().st_mode & 0o077 == 0
    with path.open(encoding="utf-8") as file:
        return {row["name"]: row["rater"] for row in csv.DictReader(file)}[str(rater.id)]
