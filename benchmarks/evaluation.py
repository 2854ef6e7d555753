"""Tables and figures of benchmarks/evaluation, from the folders of finished runs and sweeps; no model is run.

python benchmarks/evaluation.py RUNS      # RUNS: a folder of folders that `zeroguide eval` and `eval sweep` wrote
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from zgcore.evaluation.report import write_overview
from zgcore.evaluation.report_run import Run, open_run
from zgcore.evaluation.run_settings import set_apart, written

OUT = Path(__file__).parent / "evaluation"
FIRST = ("full", "no-merge", "no-subtraction", "crop", "oracle", "saliency-output", "saliency-weights")
DATA = "folder:photos"  # the reader's own copy; where ours lay says nothing


def finished(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders of runs, the method and its ablations first, those with settings of their own behind them, and folders
    of sweeps. What still runs is left out.
    """
    runs = [path.parent for path in folder.glob("*/summary.json") if (path.parent / "run.json").exists()]
    runs.sort(key=_place)
    sweeps = sorted(path.parent for path in folder.glob("*/sweep.json"))
    return runs, [sweep for sweep in sweeps if all((run / "summary.json").exists() for run in runs_of(sweep))]


def _place(run: Path) -> tuple[bool, int, str]:
    info = open_run(run).info
    return bool(set_apart(info)), FIRST.index(info.predictor) if info.predictor in FIRST else len(FIRST), run.name


def runs_of(sweep: Path) -> list[Path]:
    return [sweep / name for name in json.loads((sweep / "sweep.json").read_text())["runs"]]


def command(run: Run) -> str:
    info = run.info
    settings = "".join(f" --set {'='.join(written(*setting))}" for setting in set_apart(info).items())
    return (
        f"zeroguide eval --data {DATA} --preset {info.preset} --predictor {info.predictor}{settings}{_tgq(run)} "
        f"--sentence-model {info.sentence_model} --out runs/{run.path.name}"
    )


def sweep_command(sweep: Path) -> str:
    document = json.loads((sweep / "sweep.json").read_text())
    values = ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in document["values"])
    run = open_run(runs_of(sweep)[0])
    return (
        f"zeroguide eval sweep --data {DATA} --preset {run.info.preset} --param {document['param']}={values}"
        f"{_tgq(run)} --sentence-model {run.info.sentence_model} --out runs/{sweep.name}"
    )


def _tgq(run: Run) -> str:
    return "" if run.info.tgq or run.info.predictor == "no-merge" else " --no-tgq"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder with a folder for each run and sweep")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    options = parser.parse_args()
    runs, sweeps = finished(options.runs)
    if not runs:
        parser.error(f"{options.runs} holds no finished run; make some with `zeroguide eval`")
    opened = [open_run(run) for run in runs]
    commands = [*(command(run) for run in opened), *(sweep_command(sweep) for sweep in sweeps)]
    commands.append("python benchmarks/evaluation.py runs")
    title = f"The paper's evaluation, preset {opened[0].info.preset}"
    print(write_overview(runs, options.out, sweeps, commands=commands, title=title))


if __name__ == "__main__":
    main()
