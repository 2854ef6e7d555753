"""How a Label Studio project is named on the command line, and the way to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ls_backend.label_studio_api import connect
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from ls_backend.label_studio_api import LabelStudioApi
    from ls_backend.settings import Settings

NEW: Final = 0
_SHORT: Final = re.compile(r"label-studio:(\d{1,9}|new)")
_PAGE: Final = re.compile(r"(https?://[^?#]+?)/projects/(\d{1,9})(?:/(?:data|settings)[^?#]*)?/?(?:[?#].*)?")


@dataclass(frozen=True)
class ProjectAddress:
    """A project: its Label Studio, None for that of the settings, and its number, NEW for one to be made."""

    url: str | None
    number: int

    @classmethod
    def parse(cls, text: str) -> ProjectAddress | None:
        """From "label-studio:12", "label-studio:new" or the address of a project's page; None for anything else."""
        if short := _SHORT.fullmatch(text):
            return cls(None, NEW if short[1] == "new" else int(short[1]))
        if page := _PAGE.fullmatch(text):
            return cls(page[1], int(page[2]))
        return None


def connected(settings: Settings) -> LabelStudioApi:
    """The Label Studio of some settings. ConfigError where they name none or have no token."""
    api = connect(settings)
    if api is None:
        raise ConfigError(
            "Label Studio's address and token are needed: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or "
            "--label-studio-url and --label-studio-api-key"
        )
    return api
