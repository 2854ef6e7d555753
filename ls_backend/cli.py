"""The command `zeroguide`. Here is where errors become exit codes; the commands themselves are in cli_*.py."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import click

from ls_backend.cli_connect import connect
from ls_backend.cli_doctor import doctor
from ls_backend.cli_eval import evaluate
from ls_backend.cli_export import export
from ls_backend.cli_jobs import jobs
from ls_backend.cli_label import label
from ls_backend.cli_mini import mini
from ls_backend.cli_params import SuggestingGroup
from ls_backend.cli_prelabel import prelabel
from ls_backend.cli_quickstart import quickstart
from ls_backend.cli_report import printable
from ls_backend.cli_serve import serve
from ls_backend.cli_study import study
from ls_backend.cli_vocab import vocab
from ls_backend.cli_weights import weights
from zgcore import __version__
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

EXIT_INTERRUPTED = 130


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="zeroguide", message="%(prog)s %(version)s")
def zeroguide() -> None:
    """Segment photos and name every segment in free text, without prompts, class lists or training.

    \b
    Start with:
      zeroguide label photos/ --out results
      zeroguide serve

    Exit codes: 0 all well, 1 an image failed (the others are written), 2 wrong use or unusable --out,
    3 model weights missing or damaged, 130 stopped by Ctrl-C (what was done is kept).
    """


zeroguide.add_command(connect)
zeroguide.add_command(doctor)
zeroguide.add_command(evaluate)
zeroguide.add_command(export)
zeroguide.add_command(jobs)
zeroguide.add_command(label)
zeroguide.add_command(mini)
zeroguide.add_command(prelabel)
zeroguide.add_command(quickstart)
zeroguide.add_command(serve)
zeroguide.add_command(study)
zeroguide.add_command(vocab)
zeroguide.add_command(weights)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command with `args` (the process's own by default) and return its exit code."""
    try:
        code = zeroguide.main(args=None if args is None else list(args), prog_name="zeroguide", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ZeroguideError as error:
        click.echo("\n".join(map(printable, f"Error: {error}".splitlines())), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stdout = None  # nothing left to flush into
        return 0
    return code if isinstance(code, int) else 0


def run() -> NoReturn:
    """The command as a process, which ends with the exit code."""
    code = main()
    gc.freeze()  # Python would search all that torch and the like defined for garbage, a second long, and then end
    sys.exit(code)
