"""The backend for `label-studio-ml start`: a model class for label-studio-ml 1.0.9 and 2.x.

`zeroguide serve` needs none of it and does more: basic auth, limits, a status page, acceptance statistics. This is for
machines whose backends are all run by label-studio-ml. A `model.py` of one line is enough:

    from ls_backend.adapter import ZeroGuide

Then `label-studio-ml init backend --script model.py:ZeroGuide` and `label-studio-ml start backend`. Settings come from
environment variables: `ZEROGUIDE_` and a flag of `zeroguide serve` in capitals, such as ZEROGUIDE_PRESET; Label
Studio's address and token never from what a request says. Version 1.0.9 pins a Flask that this package cannot use;
install it beside it without its requirements:

    pip install appdirs attrs colorama lxml requests redis rq
    pip install --no-deps label-studio-ml==1.0.9 label-studio-tools==0.0.4

Where the two differ: 2.x asks the class for its version, 1.0.9 answers "INITIAL" to everybody. Label Studio predicts a
task again when its prediction has another version than the backend, so predictions have none under 1.0.9 and get the
one that the backend told; after a change of settings old predictions there must be deleted by hand. 1.0.9 also keeps
one labelling config for all projects, the last that Label Studio set up; it does so before each prediction.
"""

from __future__ import annotations

import atexit
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ls_backend.backend import Backend
from ls_backend.guards import new_request_id
from ls_backend.inference import model_version
from ls_backend.settings import read_settings
from zgcore.errors import ConfigError

try:
    from label_studio_ml.model import LabelStudioMLBase  # type: ignore[import-not-found]
except ImportError as error:
    raise ImportError(
        f"ls_backend.adapter runs inside label-studio-ml, and that cannot be imported ({error}); install it as "
        "ls_backend/adapter.py says, or run `zeroguide serve`, which does not need it"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ls_backend.settings import Settings

_ASKS_FOR_VERSION: Final = hasattr(LabelStudioMLBase, "set")  # 2.x
_LOCK: Final = threading.Lock()


class ZeroGuide(LabelStudioMLBase):  # type: ignore[misc]
    """One project's face of the process's one model. label-studio-ml makes these often, so they hold nothing.

    Raises ConfigError, from any call, where the settings are wrong.
    """

    def setup(self) -> None:
        """Called by 2.x for each new object: tell the version, without loading the model."""
        version = model_version(_settings())
        if self.get("model_version") != version:
            self.set("model_version", version)

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """One prediction for each task, in order; one that failed has an empty result, and the log says why.

        context: the prompt of an interactive request; see `Backend.predict`. kwargs: what else Label Studio sends, a
        task login; not used.
        """
        project = getattr(self, "project_id", None) or _project_of(tasks)
        results = _backend().predict(tasks, project, self.label_config, new_request_id(), context)
        documents = [{"result": []} if result is None else result for result in results]
        return documents if _ASKS_FOR_VERSION else [_without_version(document) for document in documents]

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is trained. 1.0.9 takes any dict, even an empty one, for a new version of the model."""


def _project_of(tasks: Sequence[Any]) -> int | str | None:
    """The project that tasks say they are of; 1.0.9 does not tell the class."""
    return next((task["project"] for task in tasks if isinstance(task, dict) and task.get("project")), None)


def _without_version(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "model_version"}


@cache
def _settings() -> Settings:
    settings = read_settings()
    if settings.auth is not None and not (_ASKS_FOR_VERSION and "BASIC_AUTH_USER" in settings.sources["auth"]):
        raise ConfigError(
            "a user and password are set and this server would not ask for them: label-studio-ml 1.0.9 has no basic "
            "auth, 2.x reads BASIC_AUTH_USER and BASIC_AUTH_PASS only; run `zeroguide serve`, or unset them"
        )
    return settings


def _backend() -> Backend:
    """The process's one backend; made by the first prediction, since label-studio-ml also makes models to train."""
    with _LOCK:
        return _made()


@cache
def _made() -> Backend:
    backend = Backend(_settings())
    atexit.register(backend.close)
    return backend
