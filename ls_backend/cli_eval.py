"""`zeroguide eval`: the paper's evaluation, on data sets with true masks, of our method or of anybody's predictions."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.cli_eval_report import compare, finish, human, report, show
from ls_backend.cli_model import DEVICE, LOG_LEVEL, PRESET, SEED, WEIGHTS, with_options
from ls_backend.cli_params import SuggestingGroup
from ls_backend.cli_report import Watcher, line, printable, streams

if TYPE_CHECKING:
    from rich.console import Console

    from ls_backend.eval_runs import EvalOptions
    from zgcore.evaluation.rows import ImageRows
    from zgcore.evaluation.runner import Run

EXIT_FAILURES: Final = 1

OutFolder: Final = click.Path(path_type=Path, file_okay=False)

DATA: Final = click.option(
    "--data",
    metavar="KIND:DIR",
    help="Data set: folder, voc, pc59, pc459, coco, coco171 or ade, and where it lies. folder:DIR holds images/, "
    "masks/ (indexed PNG) and classes.txt.",
)
PREDICTOR: Final = click.option(
    "--predictor",
    default="full",
    show_default=True,
    metavar="NAME",
    help="full, no-merge, no-subtraction, crop, saliency-weights, saliency-output, layers-N (attention masked in the "
    "last N blocks), oracle (true masks), or file:COCO.json, the predictions of any system.",
)
OUT: Final = click.option(
    "--out", "-o", type=OutFolder, metavar="DIR", help="Folder of the results; made if it is not there."
)
SETTINGS: Final = with_options(
    PRESET,
    DEVICE,
    WEIGHTS,
    click.option(
        "--subset",
        default="all",
        show_default=True,
        metavar="WHICH",
        help="all, first:N, random:N (by --seed), list:FILE, paper-first-1000 or paper-random-1000.",
    ),
    SEED,
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="STAGE.NAME=VALUE",
        help="Replace a setting of the preset, as in clip.masked_blocks=2, or sigma2=1; may be repeated.",
    ),
    click.option(
        "--threshold-tt", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Sentence cosine (TT)."
    ),
    click.option(
        "--threshold-st",
        type=click.FloatRange(0, 1),
        default=0.1,
        show_default=True,
        help="CLIP cosine (ST), the paper's for CLIP; for another text space look at the curve in the report.",
    ),
    click.option(
        "--sentence-model",
        metavar="NAME",
        help="For TT and TGQ: a model of the hub, a folder, or all-MiniLM-L6-v2, which needs no network. By default "
        "all-mpnet-base-v2 where it can be had. Figures by two models cannot be compared.",
    ),
    click.option("--tgq/--no-tgq", default=True, show_default=True, help="Also label the true masks, for TGQ."),
    click.option(
        "--cache",
        type=OutFolder,
        metavar="DIR",
        help="What stages found out is kept here for other runs.  [default: beside the model hub's cache]",
    ),
    click.option("--no-cache", is_flag=True, help="Keep and use nothing of other runs."),
    click.option(
        "--workers",
        type=click.IntRange(0, 64),
        default=0,
        show_default=True,
        metavar="N",
        help="Processes that evaluate, each with its own model. 0 evaluates in this one, with all of torch's threads.",
    ),
    LOG_LEVEL,
)


@click.group(
    "eval", cls=SuggestingGroup, invoke_without_command=True, no_args_is_help=True, subcommand_metavar="[COMMAND ...]"
)
@with_options(DATA, PREDICTOR, OUT, SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print summary.json; everything else goes to stderr.")
@click.pass_context
def evaluate(ctx: click.Context, /, as_json: bool, **values: Any) -> int:
    """Score predictions against true masks by the paper's protocol.

    \b
    Examples:
      zeroguide eval --data folder:photos --out runs/full
      zeroguide eval --data voc:VOCdevkit/VOC2012 --preset paper --device cuda --out runs/voc
      zeroguide eval --data pc59:pc --preset paper --subset paper-first-1000 --predictor crop --out runs/crop
      zeroguide eval --data coco:coco --predictor file:other_system.json --out runs/other
      zeroguide eval sweep --data folder:photos --param sigma2=0.5,1,2.5,5 --out runs/sigma2
      zeroguide eval compare runs/full runs/crop

    \b
    The results in DIR:
      summary.json       every figure, as fractions
      report.html        tables in the paper's form, curves, pictures
      images.parquet, segments.parquet, tgq.parquet
                         what was predicted for every image and how it scored; tables and
                         plots are made from these again, without a model
      run.json           settings, versions, seed

    TT gives a segment the class nearest to its text (sentence embeddings), ST the class nearest to its embedding
    (CLIP); beside them stands a lexical match by WordNet. TGQ is the share of true masks whose label is near their
    class name.

    Stop with Ctrl-C and run the same command again to go on: what is done is kept. An image that fails is named in
    the summary and tried again then. What stages find out is kept in a cache, so that an ablation computes only what
    it changes.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_misplaced(ctx)
        return 0
    _start_logging(values)
    workers = values.pop("workers")
    progress, shown = streams(as_json)
    run = _options(ctx, values).run()
    summary = make(run, workers, progress)
    if as_json:
        click.echo((run.root / "summary.json").read_text(), nl=False)
    show([(run.root.name, summary)], shown)
    finish(run.root, shown)
    return EXIT_FAILURES if summary["failed"] else 0


@evaluate.command()
@with_options(DATA, PREDICTOR)
@click.option(
    "--param",
    required=True,
    metavar="NAME=V,V,...",
    help="What is swept: sigma2, tau_merge, T_dino, leaves, masked_blocks, temperature, ..., any STAGE.NAME, or "
    "predictor.",
)
@with_options(OUT, SETTINGS)
@click.pass_context
def sweep(ctx: click.Context, /, param: str, **values: Any) -> int:
    """One run for every value of a setting, in DIR/NAME=VALUE, and their curve.

    \b
    Examples:
      zeroguide eval sweep --data folder:photos --param sigma2=0.5,1,2.5,5,10 --out sweeps/sigma2
      zeroguide eval sweep --data folder:photos --param tau_merge=0.3,0.4,0.5,0.6 --out sweeps/tau
      zeroguide eval sweep --data folder:photos --param predictor=full,no-merge,crop --out sweeps/ablations

    Stop with Ctrl-C and run the same command again to go on.
    """
    from ls_backend.eval_runs import runs_of
    from ls_backend.eval_sweep import Sweep

    _start_logging(values)
    workers = values.pop("workers")
    progress, shown = streams(False)
    found = Sweep.parse(param)
    options = _options(ctx, values)
    runs = runs_of([
        replace(options, out=options.out / name, **found.options(value, options.settings))
        for name, value in zip(found.runs, found.values, strict=True)
    ])  # fmt: skip
    found.write(options.out)
    summaries = []
    for run in runs:
        line(progress, run.root.name, "bold")
        summaries.append((run.root.name, make(run, workers, progress)))
    show(summaries, shown)
    from zgcore.evaluation.report import write_sweep_report

    line(shown, f"Look at {printable(str(write_sweep_report(options.out)))}", "bold")
    return EXIT_FAILURES if any(summary["failed"] for _, summary in summaries) else 0


for _command in (compare, report, human):
    evaluate.add_command(_command)


def make(run: Run, workers: int, progress: Console) -> dict[str, Any]:
    """Make a run, or go on with it, telling of each image."""
    with Watcher(progress, len(run.samples), "evaluating") as watcher:

        def see(rows: ImageRows, left: int) -> None:
            watcher.resume(len(run.samples) - left - 1)
            image = rows.image
            status = "failed" if rows.failed else "done"
            watcher.tell(image["name"], status, image["segments"], image["error"])

        return run.evaluate(workers=workers, watch=see)


def _options(ctx: click.Context, values: dict[str, Any]) -> EvalOptions:
    from ls_backend.eval_runs import EvalOptions
    from zgcore.evaluation.cache import default_folder

    for name in ("data", "out"):
        if values[name] is None:
            raise click.UsageError(f"--{name} is missing", ctx)
    no_cache, cache = values.pop("no_cache"), values.pop("cache")
    if no_cache and cache is not None:
        raise click.UsageError("--cache and --no-cache exclude each other", ctx)
    return EvalOptions(cache=None if no_cache else cache or default_folder(), **values)


def _start_logging(values: dict[str, Any]) -> None:
    logging.basicConfig(level=values.pop("log_level").upper(), format="%(levelname)s %(name)s: %(message)s")
    for library in ("matplotlib", "PIL"):  # they tell of every font and chunk
        logging.getLogger(library).setLevel(logging.WARNING)


def _refuse_misplaced(ctx: click.Context) -> None:
    """Options in front of a subcommand would be lost without a word."""
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in ctx.command.params:
        if parameter.name and ctx.get_parameter_source(parameter.name) is given:
            option = parameter.opts[0]
            raise click.UsageError(f"write {option} behind {ctx.invoked_subcommand}, not in front of it", ctx)
