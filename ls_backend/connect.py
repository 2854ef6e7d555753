"""What `zeroguide connect` does to a Label Studio project: labelling config, ML backend, webhook, pre-annotation.

Doing it again changes nothing that is right already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import quoteattr

from ls_backend.doctor import Finding, config_finding
from ls_backend.label_studio_api import LabelStudioRefuses
from ls_backend.label_studio_parts import at_address, webhook_headers, without_markup
from ls_backend.labelling_config import parse_config
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.label_studio_api import LabelStudioApi
    from ls_backend.settings import BasicAuth

TEMPLATES: Final = ("free_text", "free_text_prompts", "closed_list")
FIELD: Final = "image"  # of a task's data, in the templates
_UPLOADED: Final = "$undefined$"  # the field of uploaded files: whatever the config asks for


@dataclass(frozen=True)
class Connection:
    """What is wanted of a project. backend: its address as Label Studio's machine reaches it. auth: what it asks for.

    template: labelling config for a project that has none. set_config: replace one that it has. preannotate: begin
    annotations with the backend's predictions. interactive: whether the backend answers prompts; None leaves it.
    """

    project: int
    backend: str
    auth: BasicAuth | None = None
    template: str = TEMPLATES[0]
    set_config: bool = False
    preannotate: bool = False
    interactive: bool | None = None


def template_config(name: str, field: str = FIELD) -> str:
    """The labelling config of a template, with images from a field of the tasks' data."""
    from zgcore.gallery import templates_folder  # which takes half a second to import

    xml = (templates_folder() / f"{name}.xml").read_text(encoding="utf-8")
    return xml.replace(f'value="${FIELD}"', f"value={quoteattr(f'${field}')}")


def connect_project(api: LabelStudioApi, wanted: Connection) -> Iterator[Finding]:
    """Connect a project; what was done is told step by step.

    Raises ConfigError where the labelling config may not be replaced, LabelStudioRefuses where Label Studio does not
    reach the backend, the token may not change the project, or it is not there.
    """
    project = api.project(wanted.project)
    config, chosen = _config(api, wanted, project)
    backend = _register(api, wanted)  # which Label Studio refuses where it does not reach it: then nothing is changed
    if config is not None:
        api.update_project(wanted.project, label_config=config)
    yield chosen
    yield _backend(api, wanted, backend)
    yield _webhook(api, wanted)
    if wanted.preannotate:
        yield _preannotation(api, wanted, backend)


def _config(api: LabelStudioApi, wanted: Connection, project: dict[str, Any]) -> tuple[str | None, Finding]:
    """The labelling config to set, None for none, and what is told of it."""
    check, present = "labelling config", str(project.get("label_config") or "")
    if project.get("config_has_control_tags") and not wanted.set_config:
        return None, _kept(api, wanted, present)
    new = template_config(wanted.template, _field(api, wanted.project, present))
    if new.strip() == present.strip():  # Label Studio strips it
        return None, Finding(check, "ok", f"is {wanted.template} already")
    try:
        api.check_config(wanted.project, new)
    except LabelStudioRefuses as error:
        if error.status != 400:
            raise
        raise ConfigError(
            f"project {wanted.project} keeps its labelling config, since its annotations do not fit "
            f"{wanted.template}: {error.detail}; connect another project, or add what masks need by hand: "
            "zeroguide connect --print-config shows it"
        ) from None
    return new, Finding(check, "ok", f"set to {wanted.template}")


def _kept(api: LabelStudioApi, wanted: Connection, present: str) -> Finding:
    cure = f"zeroguide connect --url {api.url} --project {wanted.project} --set-config"
    found = config_finding(parse_config(present), cure)
    if found.state == "failed":
        return replace(found, state="warning", message=f"left as it is, and gets no masks: {found.message}")
    return replace(found, message=f"left as it is: {found.message}")


def _field(api: LabelStudioApi, project: int, present: str) -> str:
    """The field of the tasks' data that holds the image. ConfigError where it cannot be told."""
    named = [image.value[1:] for image in parse_config(present).images if image.value.startswith("$")]
    fields = [field for field in api.data_fields(project) if field != _UPLOADED]
    if named or not fields or FIELD in fields:
        return named[0] if named else FIELD
    if len(fields) > 1:
        raise ConfigError(
            f"the tasks of project {project} have the fields {', '.join(fields)}, and which is the image is not told; "
            "write it into the config by hand: zeroguide connect --print-config shows one with $image"
        )
    return fields[0]


def _register(api: LabelStudioApi, wanted: Connection) -> dict[str, Any]:
    """The backend's entry, made or brought up to date."""
    fields: dict[str, Any] = {} if wanted.interactive is None else {"is_interactive": wanted.interactive}
    try:
        if (mine := _registered(api, wanted)) is not None:
            return api.update_ml_backend(mine["id"], wanted.project, wanted.backend, auth=wanted.auth, **fields)
        return api.add_ml_backend(wanted.project, wanted.backend, auth=wanted.auth, **fields)
    except LabelStudioRefuses as error:
        # Where it blocks addresses for webhooks alone it says so, and has stored the backend all the same.
        if error.status == 403 and (mine := _registered(api, wanted)) is not None:
            return mine
        if error.status != 400:
            raise
        said = without_markup(error.detail)
        cure = f"zeroguide doctor --url {api.url} --project {wanted.project} --backend {wanted.backend} tells why"
        raise LabelStudioRefuses(f"Label Studio says: {said}; {cure}", error.status, error.detail) from None


def _registered(api: LabelStudioApi, wanted: Connection) -> dict[str, Any] | None:
    return next(iter(at_address(api.ml_backends(wanted.project), wanted.backend)), None)


def _backend(api: LabelStudioApi, wanted: Connection, backend: dict[str, Any]) -> Finding:
    check = "ML backend"
    first = min(api.ml_backends(wanted.project), key=lambda one: one["id"])
    if first["id"] != backend["id"]:
        other = f"{wanted.backend} is connected, but {first.get('url')} was before, and only the first is asked"
        cure = f"disconnect the other at {api.url}/projects/{wanted.project}/settings/ml"
        return Finding(check, "warning", other, cure)
    return Finding(check, "ok", f"{wanted.backend} is connected, {first.get('model_version')}")


def _webhook(api: LabelStudioApi, wanted: Connection) -> Finding:
    """Label Studio stores one with a new backend, unless it blocks the address, which it does not say.

    It stores it without the backend's password, and sends a webhook nothing but the headers that are stored with it.
    """
    check, url = "webhook", f"{wanted.backend}/webhook"
    hooks = at_address(api.webhooks(wanted.project), url)
    try:
        if not hooks:
            api.add_webhook(wanted.project, url, webhook_headers({}, wanted.auth))
        for hook in hooks:
            if (headers := webhook_headers(hook, wanted.auth)) != hook.get("headers"):
                api.update_webhook(hook["id"], headers=headers)
    except LabelStudioRefuses as error:
        if error.status != 403:
            raise
        blocked = "Label Studio blocks its address, so the backend is not told how its predictions are edited"
        return Finding(check, "warning", blocked, "SSRF_PROTECTION_ENABLED=false label-studio start")
    return Finding(check, "ok", "the backend is told of annotations")


def _preannotation(api: LabelStudioApi, wanted: Connection, backend: dict[str, Any]) -> Finding:
    """Annotations begin with the backend's predictions; a task without one gets it when it is opened.

    `evaluate_predictions_automatically` stays off: with it every page of the data manager waits until all of its tasks
    are predicted, and Label Studio itself calls it deprecated.
    """
    api.update_project(wanted.project, show_collab_predictions=True, model_version=backend["title"])
    return Finding("pre-annotation", "ok", "annotations begin with predictions, made when a task is opened")
