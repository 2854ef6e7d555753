"""The documents of a study's page: the raters', the same for everybody, and the progress for the organiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Response
from markupsafe import Markup

from ls_backend.studies.instruction import SCALE, instruction_html
from zgcore.gallery import page_environment

if TYPE_CHECKING:
    from ls_backend.studies.manifest import Study
    from ls_backend.studies.page_progress import Progress

PICTURE_TYPES: Final = (".jpg", ".jpeg", ".png")
_POLICY: Final = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PROGRESS_POLICY: Final = (
    "default-src 'none'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Page:
    """The raters' document. It holds nothing of any rater, batch or question: its script fetches those.

    examples: the instruction's pictures by the names that the document calls them.
    """

    def __init__(self, study: Study) -> None:
        self.examples = {
            path.name: path for path in sorted(study.instruction.glob("*")) if path.suffix in PICTURE_TYPES
        }
        instruction = Markup(instruction_html(lambda name: f"instruction/{name}"))  # escaped where it was made
        self._text, self._policy = _rendered(
            "study.html", _POLICY, ("study_instruction.css", "study.css"), instruction=instruction, scale=SCALE
        )

    def response(self) -> Response:
        return _response(self._text, self._policy)


def progress_page(progress: Progress) -> Response:
    return _response(
        *_rendered("study_progress.html", _PROGRESS_POLICY, ("status.css", "study_progress.css"), progress=progress)
    )


def _rendered(template: str, policy: str, sheets: tuple[str, ...], **values: Any) -> tuple[str, str]:
    """A document, and the policy that admits its own script and style and no others."""
    environment = page_environment()
    parts = {
        "style": Markup("\n".join(environment.get_template(name).render() for name in ("gallery.css", *sheets))),
        "script": Markup(environment.get_template("study.js").render()),
    }
    admitted = policy.format(**{name: environment.filters["csp_hash"](text) for name, text in parts.items()})
    return environment.get_template(template).render(**parts, **values), admitted


def _response(text: str, policy: str) -> Response:
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = policy
    return response
