"""A report as one page that asks nothing of any network, with the gallery's look and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zgcore
from zgcore.evaluation.files import run_file
from zgcore.gallery import page_environment

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.evaluation.report_model import Report


def write_html(path: Path, report: Report) -> None:
    """Write the page; it is replaced in one step. EvaluationError where it cannot be written."""
    page = page_environment().get_template("evaluation.html").generate(report=report, version=zgcore.__version__)
    with run_file(path) as file:
        file.writelines(piece.encode("utf-8") for piece in page)
