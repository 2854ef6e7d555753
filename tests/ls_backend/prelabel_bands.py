"""`zeroguide` as a program whose `prelabel` has the model of bands.py, for tests that must end processes.

BANDS_SLOW: seconds for each image. BANDS_DEADLY: the red level of a top-left pixel at which the process ends at once.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass

from tests.ls_backend.bands import BandSegmenter


@dataclass(frozen=True)
class BandsOptions:
    """As `ModelOptions`, for actors."""

    device: str = "cpu"

    def build(self):
        return Bands()


class Bands(BandSegmenter):
    def segment_many(self, images):
        time.sleep(float(os.environ.get("BANDS_SLOW", "0")))
        if int(images[0][0, 0, 0]) == int(os.environ.get("BANDS_DEADLY", "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().segment_many(images)


if __name__ == "__main__":
    from ls_backend import cli, cli_prelabel

    cli_prelabel.build_model = lambda options: Bands()
    sys.exit(cli.main(sys.argv[1:]))
