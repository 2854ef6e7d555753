"""`zeroguide serve` as a process that tests may stop, kill and start again."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from ls_backend.local_server import free_port
from tests.label_studio.studio import until
from tests.ls_backend.serving import Client

ROOT = Path(__file__).parents[2]
_DROPPED = ("ZEROGUIDE_", "LABEL_STUDIO_", "BASIC_AUTH_")


class BackendProcess:
    """One backend on a port of its own, which it keeps when it is started again.

    folder: for its data and log. settings: environment variables.
    """

    def __init__(self, folder, **settings):
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = Client(self.url)
        self.log = folder / "backend.log"
        self.settings = {
            "ZEROGUIDE_PORT": str(self.port),
            "ZEROGUIDE_DATA_DIR": str(folder / "data"),
            "ZEROGUIDE_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            **settings,
        }
        self.process = None

    def start(self, **settings):
        """Start it, with some settings changed for this time, and wait until it listens."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ls_backend", "serve"],
                cwd=ROOT,
                env={**kept, **self.settings, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(lambda: self._listens(begin), "the backend listens")
        return self

    def _listens(self, begin):
        assert self.process.poll() is None, self.log.read_text()
        return b"listens on" in self.log.read_bytes()[begin:]

    def end(self, number=signal.SIGTERM):
        """Stop it, or with SIGKILL kill it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    @property
    def version(self):
        return self.client.post("/setup", {"project": "1", "schema": None})[1]["model_version"]

    def metric(self, name):
        """The value of a metric, by its name and labels as Prometheus writes them; 0 where it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.client.get("/metrics")[2].decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def status_page(self):
        return self.client.get("/")[2].decode()
