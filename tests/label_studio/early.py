"""A Label Studio that is started before the first test, for tests that come last.

It takes most of a minute of one core to make its database, and the tests before it hardly use more than another.
"""

import random
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ls_backend.local_label_studio import LocalLabelStudio
from zgcore.errors import ZeroguideError

PORTS = range(20_000, 30_000)  # not those that the kernel gives to whoever asks for any, while this one is not yet used


class EarlyLabelStudio:
    """program: its executable. folder: for its data and log. settings: of its environment.

    To be ended with `end`, whether it was used or not.
    """

    def __init__(self, program, folder, settings):
        self._studio = LocalLabelStudio(program, folder, port=_unused(PORTS), settings=settings)
        self._thread = ThreadPoolExecutor(1)
        self._started = self._thread.submit(self._studio.start)

    def ready(self):
        """The running Label Studio. LabelStudioError where it did not start."""
        self._started.result()
        return self._studio

    def end(self):
        self._studio.stop()  # which ends a start too
        with suppress(ZeroguideError):
            self.ready()
        self._studio.stop()
        self._thread.shutdown()


def _unused(ports):
    while True:
        port = random.choice(ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
