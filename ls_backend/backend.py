"""The server's parts, wired: what the handlers in `app` call. Knows no HTTP."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ls_backend.acceptance import OUTCOMES, Acceptance
from ls_backend.background import BackgroundWorker, TaskQueue
from ls_backend.inference import Inference
from ls_backend.label_studio_api import connect
from ls_backend.label_studio_ids import project_id, task_id
from ls_backend.labelling_config import parse_config
from ls_backend.messages import one_line, reason
from ls_backend.metrics import Metrics, set_all
from ls_backend.predicting import Outcome, Predictor, predict_in_order
from zgcore.errors import ConfigError, WeightsError, ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ls_backend.labelling_config import LabellingConfig
    from ls_backend.predicting import Predicted
    from ls_backend.settings import Settings
    from zgcore import ZeroGuidance

log = logging.getLogger(__name__)

PROJECTS_KEPT: Final = 200
SHOWN: Final = 12  # last predictions and last failures on the status page
LABELS_SHOWN: Final = 8
TASKS_NAMED: Final = 20  # in a log line


@dataclass
class Project:
    """A project as it was last seen. seen: seconds since the epoch.

    tasks: predicted for it since the start. prompts: of interactive requests, which were not read.
    """

    name: str
    xml: str
    config: LabellingConfig
    seen: float
    tasks: int = 0
    prompts: int = 0


@dataclass(frozen=True)
class Recent:
    """A prediction for the status page. thumbnails: JPEG in base64."""

    project: str
    task: str
    when: float
    labels: tuple[str, ...]
    regions: int
    cached: bool
    thumbnails: tuple[str, ...]


@dataclass
class Log:
    """What the status page shows of the past; safe to use from several threads.

    tasks: by what became of them: "predicted", "failed" or "late" in a request, "background" if finished after it.
    """

    projects: OrderedDict[str, Project] = field(default_factory=OrderedDict)
    recent: deque[Recent] = field(default_factory=lambda: deque(maxlen=SHOWN))
    failures: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    tasks: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Kept:
    """What is on disk. queue: tasks by "waiting" and "failed". error: the queue's last. annotated: as
    `Acceptance.totals`. problems: files that cannot be read; their numbers are missing.
    """

    queue: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    annotated: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Backend:
    """One server. model: one that is loaded already, else the settings' preset is, when it is first needed."""

    def __init__(self, settings: Settings, model: ZeroGuidance | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.inference = Inference(settings, model)
        self.predictor = Predictor(settings, self.inference, self.metrics)
        self.acceptance = Acceptance(settings.data_dir)
        self.queue = TaskQueue(settings.data_dir)
        self.log = Log()
        api = connect(settings)
        self.worker = BackgroundWorker(self.queue, self.predictor, api, self.metrics, self._was_finished)
        self.places = threading.BoundedSemaphore(settings.queue_limit)
        self.worker.start()
        if settings.preload:
            self.inference.preload()

    @property
    def version(self) -> str:
        return self.inference.version

    def see_project(self, project: Any, xml: str | None) -> Project:
        """Note a project and read its config, unless it is the one it had. xml: None where it was not sent."""
        name = one_line(str(project_id(project) or project or "unknown"))
        with self.log.lock:
            known = self.log.projects.get(name)
            if known is None or (xml is not None and xml != known.xml):
                tasks, prompts = (0, 0) if known is None else (known.tasks, known.prompts)
                known = Project(name, xml or "", parse_config(xml or ""), time.time(), tasks, prompts)
                for problem in known.config.problems:
                    log.warning("project %s gets no masks: %s", name, problem)
            known.seen = time.time()
            self.log.projects[name] = known
            self.log.projects.move_to_end(name)
            while len(self.log.projects) > PROJECTS_KEPT:
                self.log.projects.popitem(last=False)
        return known

    def predict(
        self, tasks: Sequence[Any], project: Any, xml: str | None, request_id: str, context: Any = None
    ) -> list[dict[str, Any] | None]:
        """One result for each task, in order: an empty one where it failed and would again, None where it may be
        otherwise next time. Left to the queue is what did not fit into the time, and what has an image that did not
        come and may come later; where the model cannot be loaded, tasks wait until they are asked for again.

        context: what an annotator asked for in the editor. It is not read: the answer has every segment, of which the
        editor makes suggestions to accept or reject, and log and status page say so.
        """
        seen = self.see_project(project, xml)
        if context:
            self._note_prompt(seen, context, request_id)
        number = project_id(project)
        outcomes = predict_in_order(
            self.predictor,
            tasks,
            seen.config,
            self.settings.deadline_s,
            lambda outcome: self._tell(outcome, number, request_id),
        )
        late = [outcome.task for outcome in outcomes if outcome.kind == "late"]
        self._leave(late, f"did not fit into {self.settings.deadline_s:g} s", number, seen.xml, request_id)
        delayed = [outcome.task for outcome in outcomes if outcome.delayed]
        self._leave(delayed, "have images that did not come", number, seen.xml, request_id)
        return [_answer(outcome) for outcome in outcomes]

    def _leave(self, tasks: list[Any], why: str, project: int | None, xml: str, request_id: str) -> None:
        """Queue tasks that are not in the answer. Where the disk refuses them, they wait until they are asked for."""
        tasks = [task for task in tasks if isinstance(task, dict)]
        if not tasks:
            return
        how = "sent when done" if self.worker.api else "kept for the next request: no Label Studio address and token"
        try:
            then = f"{self.queue.add(project, tasks, xml)} are queued and will be {how}"
        except (sqlite3.Error, OSError, RecursionError) as error:
            self.metrics.failed(error)
            then = f"they cannot be queued ({type(error).__name__}: {error}) and wait until they are asked for again"
        self.worker.wake()
        names = ", ".join(_name(task) for task in tasks[:TASKS_NAMED]) + (", ..." if len(tasks) > TASKS_NAMED else "")
        log.warning("%s: %d tasks %s (%s); %s", request_id, len(tasks), why, names, then)

    def _note_prompt(self, project: Project, context: Any, request_id: str) -> None:
        result = context.get("result") if isinstance(context, dict) else None
        kinds = (
            {str(entry.get("type")) for entry in result if isinstance(entry, dict)} if isinstance(result, list) else ()
        )
        log.warning(
            "%s: project %s: a prompt (%s) is not read; the answer has every segment",
            request_id,
            project.name,
            one_line(", ".join(sorted(kinds)))[:80] or "of no known form",
        )
        with self.log.lock:
            project.prompts += 1

    def _tell(self, outcome: Outcome, project: int | None, request_id: str) -> None:
        """Count and note what became of a task."""
        self._count(outcome.kind)
        if outcome.predicted is not None:
            for error in outcome.predicted.errors:
                self._note_failure(outcome.task, error, request_id)
            self._was_predicted(project, outcome.predicted, outcome.task)
        elif outcome.error is not None:
            self._note_failure(outcome.task, outcome.error, request_id)

    def _count(self, kind: str) -> None:
        self.metrics.tasks.labels(kind).inc()
        with self.log.lock:
            self.log.tasks[kind] += 1

    def _note_failure(self, task: Any, error: Exception, request_id: str) -> None:
        self.metrics.failed(error)
        message = one_line(reason(error))
        name = _name(task)
        line = message if message.startswith(f"task {name}:") else f"task {name}: {message}"
        log.error("%s: %s", request_id, line, exc_info=None if isinstance(error, ZeroguideError) else error)
        with self.log.lock:
            self.log.failures.appendleft((time.time(), request_id, line))

    def _was_finished(self, project: int | None, predicted: Predicted, task: Mapping[str, Any]) -> None:
        self._count("background")
        self._was_predicted(project, predicted, task)

    def _was_predicted(self, project: int | None, predicted: Predicted, task: Mapping[str, Any]) -> None:
        number = task_id(task)
        if number is not None:
            self.acceptance.predicted(number, predicted.document["result"])
        images = [image for image in predicted.images if image is not None]
        texts = [label for image in images for label in image.regions.labels]
        name = one_line(str(project or "unknown"))
        recent = Recent(
            name,
            _name(task),
            time.time(),
            tuple(dict.fromkeys(texts))[:LABELS_SHOWN],
            len(texts),
            all(image.cached for image in images),
            tuple(image.thumbnail for image in images[:1]),
        )
        with self.log.lock:
            for known in [one for one in self.log.recent if (one.project, one.task) == (recent.project, recent.task)]:
                self.log.recent.remove(known)
            self.log.recent.appendleft(recent)
            if name in self.log.projects:
                self.log.projects[name].tasks += 1

    def refresh_metrics(self) -> None:
        """Bring the gauges up to date; what cannot be read stays as it was."""
        kept = self.kept()
        set_all(self.metrics.queue, kept.queue)
        set_all(self.metrics.regions, {name: kept.annotated[name] for name in OUTCOMES if name in kept.annotated})
        set_all(self.metrics.people, self.predictor.people.counts)

    def kept(self) -> Kept:
        """What the files of the data folder hold. One that is damaged gives nothing, and a problem with its cure."""
        kept = Kept()
        try:
            kept.queue, kept.error = self.queue.counts(), self.queue.last_error()
        except (sqlite3.Error, OSError) as error:
            kept.problems.append(_damaged(self.queue.path, error, "what waited in it is asked for again by Retrieve"))
        try:
            kept.annotated = self.acceptance.totals()
        except (sqlite3.Error, OSError) as error:
            kept.problems.append(_damaged(self.acceptance.path, error, "the statistics of annotations begin anew"))
        return kept

    def misconfigured(self, kept: Kept) -> list[str]:
        """What keeps the server from doing its work well, each with its cure."""
        found = [] if self.inference.error is None else [f"the model cannot be loaded: {self.inference.error}"]
        if self.inference.random_weights:
            found.append("the preset has random weights: masks and labels mean nothing")
        for name in ("label_studio_url", "label_studio_api_key"):
            if getattr(self.settings, name) is None:
                found.append(
                    f"{name} ({name.upper()}) is not set: uploaded images cannot be read, and predictions that miss "
                    "the deadline are not sent but kept for the next request"
                )
                break
        if kept.error:
            found.append(f"the background queue met: {kept.error}")
        found += kept.problems
        with self.log.lock:
            projects = list(self.log.projects.values())
        found += [f"project {seen.name}: {problem}" for seen in projects for problem in seen.config.problems]
        return [one_line(line) for line in found]

    def close(self) -> None:
        """Stop: the image in hand is finished, the queue stays on disk."""
        self.worker.stop()
        self.predictor.stop()
        self.inference.close()
        self.worker.close()
        self.predictor.close()
        self.acceptance.close()


def _damaged(path: Path, error: Exception, then: str) -> str:
    return f"{path} cannot be read: {error}; stop the server, delete the file and start it again: {then}"


def _name(task: Any) -> str:
    """What a task is called in the log."""
    return one_line(str(task.get("id")))[:80] if isinstance(task, dict) else "no object"


def _answer(outcome: Outcome) -> dict[str, Any] | None:
    """None where it may be otherwise next time: of an empty result Label Studio would never ask again."""
    if outcome.predicted is not None:
        return outcome.predicted.document
    no_model = isinstance(outcome.error, (WeightsError, ConfigError))
    return None if outcome.kind == "late" or outcome.delayed or no_model else {"result": []}
