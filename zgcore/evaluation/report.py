"""Reports of evaluation runs, from their folders alone: one run, several side by side, or a sweep of one setting.

Each is a page of its own (`report_html`) and Markdown for terminals and READMEs (`report_markdown`); plots are SVG.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from zgcore.evaluation import formats, published
from zgcore.evaluation import report_details as details
from zgcore.evaluation import report_tables as tables
from zgcore.evaluation.effects import effects_table
from zgcore.evaluation.files import run_file
from zgcore.evaluation.paired import check_truth, image_figures, iou_difference, matched
from zgcore.evaluation.report_html import write_html
from zgcore.evaluation.report_images import gallery_sections
from zgcore.evaluation.report_markdown import to_markdown
from zgcore.evaluation.report_model import Cell, Column, Report, Section, Table, share, short
from zgcore.evaluation.report_plots import (
    recall_plot,
    runs_plot,
    similarity_plots,
    sweep_plot,
    threshold_plots,
    usual_value,
)
from zgcore.evaluation.report_run import KIND_TITLES, facts, notes, open_run, open_runs
from zgcore.evaluation.scored import ST, TT
from zgcore.evaluation.sweep import open_sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from zgcore.evaluation.report_model import Plot
    from zgcore.evaluation.report_run import Run
    from zgcore.evaluation.sweep import Sweep


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write report.html and report.md into the run's folder, or `out`, and return the page.

    Photos and the data set are read again for the gallery, if they are where they were; the page says what is missing.
    EvaluationError where the folder is no finished run or cannot be written.
    """
    folder = run if out is None else out
    opened = open_run(run)
    report = run_report(opened)
    _write_text(folder / "report.md", to_markdown(report))
    write_html(folder / "report.html", report)
    return folder / "report.html"


def run_markdown(run: Path) -> str:
    """A run's tables for the terminal."""
    return to_markdown(run_report(open_run(run), pictures=False))


def write_overview(
    runs: Sequence[Path], out: Path, sweeps: Sequence[Path] = (), *, commands: Sequence[str] = (), title: str = ""
) -> Path:
    """Write OUT/index.html, README.md and figures/*.svg of several runs, the first the one to compare with.

    sweeps: folders of sweeps, shown beside. commands: how it was all made, for the README. Returns the page.
    """
    opened = open_runs(runs)
    report = overview_report(opened, [open_sweep(path) for path in sweeps], title)
    _write_plots(out / "figures", report.plots)
    text = to_markdown(report, figures="figures", cut=False)
    if commands:
        text += "\n## Made by\n\n```\n" + "\n".join(commands) + "\n```\n"
    _write_text(out / "README.md", text)
    write_html(out / "index.html", report)
    return out / "index.html"


def write_sweep_report(sweep: Path) -> Path:
    """Write report.html, report.md and figures/*.svg into a sweep's folder, and return the page."""
    report = sweep_report(open_sweep(sweep))
    _write_plots(sweep / "figures", report.plots)
    _write_text(sweep / "report.md", to_markdown(report, figures="figures"))
    write_html(sweep / "report.html", report)
    return sweep / "report.html"


def run_report(run: Run, *, pictures: bool = True) -> Report:
    """One run's report. pictures: with the gallery."""
    kind = run.main_kind
    gallery = gallery_sections(run, kind, image_figures(run, kind)) if pictures and kind else []
    confusions = (details.confusion_table(run, name) for name in run.kinds)
    sections = [
        Section("tables", "Results", tables=_results([run])),
        Section("curves", "Curves", plots=(*threshold_plots([run]), *similarity_plots(run), *recall_plot([run]))),
        *gallery,
        Section("measures", "Averages", tables=_there(tables.measures_table([run]), details.boundary_table(run))),
        _thresholds(run),
        Section("classes", "Classes", tables=_there(details.class_table(run), *confusions)),
        _labels(run),
        Section("people", "Verified by people", tables=(tables.human_table(run),)),
        Section("made", "How it was made", tables=_there(details.settings_table(run), details.seconds_table([run]))),
    ]
    title = f"{run.name} on {run.data_title}"
    return Report(short(title), facts(run), notes(run), tables.tiles(run), _full(sections), tuple(run.failures))


def overview_report(runs: Sequence[Run], sweeps: Sequence[Sweep] = (), title: str = "") -> Report:
    """Several runs side by side; the first gives what is shown of one run only."""
    first = runs[0]
    effects, said = effects_table(runs)
    sections = [
        Section("effects", "Which of the paper's effects show", tuple(said), _there(effects)),
        Section("tables", "Results", tables=_results(runs),
                plots=(*runs_plot(runs, ST), *runs_plot(runs, TT))),
        Section("curves", "Curves", plots=(*threshold_plots(runs[:1]), *recall_plot(runs), *similarity_plots(first))),
        *_sweep_sections(sweeps),
        Section("measures", "Averages", tables=(tables.measures_table(runs),)),
        _thresholds(first),
        Section("labels", "Labels", tables=(_labels_of(runs),)),
        Section("made", "How it was made", tables=_there(details.settings_table(first), details.seconds_table(runs))),
    ]  # fmt: skip
    remarks = tuple(dict.fromkeys(note for run in runs for note in notes(run)))
    failures = tuple((f"{run.name}: {name}", reason) for run in runs for name, reason in run.failures)
    title = title or f"{formats.plural(len(runs), 'run')} on {first.data_title}"
    told = tuple(("first run" if name == "predictor" else name, value) for name, value in facts(first))
    return Report(short(title), told, remarks, tables.tiles(first), _full(sections), failures)


def sweep_report(sweep: Sweep) -> Report:
    """IoU, recall and what else moves with a setting."""
    first = sweep.runs[0]
    remarks = tuple(dict.fromkeys(note for run in sweep.runs for note in notes(run)))
    failures = tuple(
        (f"{v}: {name}", reason)
        for v, run in zip(sweep.values, sweep.runs, strict=True)
        for name, reason in run.failures
    )
    told = (*facts(first), ("setting", sweep.setting))
    return Report(
        short(f"{sweep.param} on {first.data_title}"), told, remarks, (), tuple(_sweep_sections([sweep])), failures
    )


def _sweep_sections(sweeps: Iterable[Sweep]) -> list[Section]:
    sections: dict[str, Section] = {}
    for sweep in sweeps:
        param = "".join(c for c in sweep.param if c.isalnum() or c in "-_")
        names = (f"sweep_{param}{'' if number == 1 else f'_{number}'}" for number in count(1))
        key = next(name for name in names if name not in sections)
        plots = () if sweep.says_nothing else tuple(_sweep_plots(sweep, key))
        told = _said_of_sweep(sweep)
        sections[key] = Section(key, f"Sweep of {short(sweep.param)}", told, (_sweep_table(sweep),), plots)
    return list(sections.values())


def _said_of_sweep(sweep: Sweep) -> tuple[str, ...]:
    """That there is nothing to see, where there is not: a flat line would look like a finding."""
    if not sweep.says_nothing:
        return ()
    preset = sweep.runs[0].info.preset
    where = f"with preset {preset}" if preset else "here"
    return (
        f"All {len(sweep.values)} values give exactly the same figures: {short(sweep.setting)} has no effect {where} "
        "on these images. This sweep says nothing about it, and is not drawn.",
    )


def _sweep_plots(sweep: Sweep, name: str) -> list[Plot]:
    values = sweep.numbers
    return sweep_plot(sweep.param, sweep.setting, values, sweep.runs, name) if values else []


def _sweep_table(sweep: Sweep) -> Table:
    kinds = [kind for kind in KIND_TITLES if any(kind in run.kinds for run in sweep.runs)]
    columns = [Column(short(sweep.setting)), Column("segments an image")]
    columns += [Column(f"{KIND_TITLES[kind]} {tables.MEASURES[name][0]}", tables.MEASURES[name][1])
                for kind in kinds for name in ("iou", "recall")]  # fmt: skip
    labelled = any(run.summary.get("tgq") is not None for run in sweep.runs)
    columns += [Column("TGQ")] if labelled else []
    against = _against_usual(sweep)
    if against:
        columns += [Column("ST IoU against the preset's", "difference in points"), Column("p")]
    rows = []
    for place, (value, run) in enumerate(zip(sweep.values, sweep.runs, strict=True)):
        a_photo = run.summary["segments"] / run.images if run.images else None
        number = value if isinstance(value, int | float) else None
        rows.append((
            Cell(short(f"{value:g}" if number is not None else str(value)), number),
            Cell(formats.decimal(a_photo, 1), a_photo),
            *(share(run.figure(kind, name), run.bounds(kind, name)) for kind in kinds for name in ("iou", "recall")),
            *((share(run.summary.get("tgq"), run.summary.get("tgq_interval")),) if labelled else ()),
            *(against[place] if against else ()),
        ))  # fmt: skip
    note = "Percent; brackets are 95% bootstrap intervals over images, the same images in every row."
    return Table(f"{sweep.param} ({sweep.setting})", tuple(columns), tuple(rows), note, sortable=True)


def _against_usual(sweep: Sweep) -> list[tuple[Cell, Cell]]:
    """Difference and p of each run's ST IoU to that with the preset's value; none where that was not run."""
    usual = usual_value(sweep.setting, sweep.runs[0])
    base = next((run for value, run in zip(sweep.values, sweep.runs, strict=True) if value == usual), None)
    if base is None or usual is None or any(ST not in run.kinds for run in sweep.runs):
        return []
    figures = image_figures(base, ST)
    cells = []
    for run in sweep.runs:
        both = matched(figures, image_figures(run, ST))
        check_truth(base, run, *both)
        one = iou_difference(ST, *both)
        cells.append((share(one.value, (one.low, one.high), signed=True), Cell(formats.p_value(one.p), one.p)))
    return cells


def _results(runs: Sequence[Run]) -> tuple[Table, ...]:
    """Tables 1 and 3; the latter where it has a published row or several of ours."""
    ablations = len(runs) > 1 or any(runs[0].info.predictor == figure.predictor for figure in published.ABLATIONS)
    whole = [run for run in runs if run.info.predictor == "full"] or list(runs)
    return _there(tables.data_set_table(whole), tables.peer_table(), tables.ablation_table(runs) if ablations else None)


def _thresholds(run: Run) -> Section:
    return Section("thresholds", "Thresholds", tables=_there(*(tables.threshold_table(run, kind) for kind in (TT, ST))))


def _labels(run: Run) -> Section:
    shown = (details.label_table(run), details.frequent_table(run), details.relation_table(run))
    return Section("labels", "Labels", tables=_there(*shown))


def _labels_of(runs: Sequence[Run]) -> Table:
    """Label statistics of several runs, a column each."""
    each = [details.label_table(run) for run in runs]
    rows = tuple((rows[0][0], *(row[1] for row in rows)) for rows in zip(*(table.rows for table in each), strict=True))
    return Table("Labels", (Column("", number=False), *(Column(short(run.name)) for run in runs)), rows)


def _there(*found: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in found if table is not None)


def _full(sections: Iterable[Section]) -> tuple[Section, ...]:
    return tuple(section for section in sections if section)


def _write_plots(folder: Path, plots: Sequence[Plot]) -> None:
    for plot in plots:
        with run_file(folder / f"{plot.name}.svg") as file:
            file.write(plot.svg)


def _write_text(path: Path, text: str) -> None:
    with run_file(path) as file:
        file.write(text.encode())
