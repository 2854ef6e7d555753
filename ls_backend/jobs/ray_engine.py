"""Images labelled by a pool of Ray actors, on this machine or a cluster, through Ray Data.

The state stays with this process; actors write records into the run's folder, which all machines must see under the
same path. An actor that dies is replaced, and Ray gives its batch to another: what is done is found in the folder and
not made again, and what was in hand is left out, since it may be what ends actors. The state counts it as tried.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ls_backend.files import OutputError
from ls_backend.jobs.ray_actor import ENDED, LOST, ActorSpec, Hand, Labeller, stamp_there
from ls_backend.jobs.work import Labelled
from ls_backend.record import RunStamp
from zgcore.errors import ConfigError, ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from ls_backend.jobs.store import Claimed

log = logging.getLogger(__name__)

CPUS: Final = 0.5  # of an actor: with whole ones a machine of two cores has none left for Ray Data itself
BATCH: Final = 8  # images an actor is given at a time; what is lost with it at most
BATCHES: Final = 64  # for each actor, in hand at a time; the actors of the next so many load their models anew
CONNECT_S: Final = 10.0
OBJECT_STORE: Final = 256 * 2**20  # bytes, on this machine; only rows travel through it
MOST_HERE: Final = 4  # actors on a machine without GPUs unless told otherwise; each holds a model


class RayEngine:
    """Actors in a Ray cluster. address: of one that runs; None starts one on this machine. actors: how many at most,
    by default one for each GPU, or for each two cores without any.

    Raises ConfigError where Ray is not installed or the cluster cannot be reached.
    """

    elsewhere: Final = True

    def __init__(self, spec: ActorSpec, address: str | None = None, actors: int | None = None) -> None:
        self._spec = replace(spec, driver=secrets.token_hex(6))
        self._hand = Hand(spec.root, self._spec.driver)
        self._stdout = redirect_stdout(sys.stderr)  # where Ray prints what its machines say
        self._stdout.__enter__()
        try:
            self._ray = _connected(address)
        except BaseException:
            self._stdout.__exit__(None, None, None)
            raise
        resources = self._ray.cluster_resources()
        gpus = 0 if spec.model.device == "cpu" else int(resources.get("GPU", 0))
        self._gpus = 1 if gpus else 0
        on_cpus = max(1, int(resources.get("CPU", 1)) // 2)
        self._actors = actors or gpus or (min(MOST_HERE, on_cpus) if address is None else on_cpus)
        self.together = self._actors * BATCH * BATCHES
        self.lost_together = self._actors * BATCHES

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()
        self._hand.remove()
        self._stdout.__exit__(None, None, None)

    def stamp(self) -> RunStamp:
        """What the results will be marked with. Raises ZeroguideError where an actor cannot make its model."""
        there = self._ray.remote(num_cpus=CPUS, num_gpus=self._gpus)(stamp_there)
        found = self._ray.get(there.remote(self._spec))
        if isinstance(found, RunStamp):
            return found
        error = ZeroguideError(found[0])
        error.exit_code = found[1]
        raise error

    def results(self, images: Iterator[Claimed]) -> Generator[Labelled, None, None]:
        """See `Engine`; in the order in which actors finish batches. Raises OutputError as the local engine does."""
        while some := list(islice(images, self.together)):
            yield from self._labelled(some)

    def _labelled(self, images: Sequence[Claimed]) -> Iterator[Labelled]:
        data = self._ray.data
        self._hand.clear(image.id for image in images)
        batch = BATCH if images[0].attempts == 1 else 1
        batches = math.ceil(len(images) / batch)
        rows = data.from_items([asdict(image) for image in images], override_num_blocks=batches)
        labelled = rows.map_batches(
            Labeller,
            batch_size=batch,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(min_size=1, max_size=min(self._actors, batches)),
            fn_constructor_args=(self._spec,),
            num_cpus=CPUS,
            num_gpus=self._gpus,
        )
        for row in labelled.iter_rows():
            if row["status"] == ENDED:
                raise OutputError(row["error"])
            if row["status"] != LOST:
                yield Labelled(**row)


def _connected(address: str | None) -> Any:
    """The module ray, in a cluster."""
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise ConfigError("--engine ray needs Ray; install it: pip install zeroguide[ray]") from None
    where = "on this machine" if address is None else f"at {address}"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
        else:
            _try(address)
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster can be had {where}: {str(error).splitlines()[0]}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR if log.isEnabledFor(logging.INFO) else logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A batch that is lost with actor after actor is left out and stops nothing: the state counts it as tried.
    context.max_errored_blocks = -1
    return ray


def _try(address: str) -> None:
    """OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
