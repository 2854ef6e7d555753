"""What the server counts and times, as Prometheus text."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 90, 300)


class Metrics:
    """The numbers of one server, in a registry of its own so that several servers may live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "zeroguide_requests", "Requests answered.", ["endpoint", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "zeroguide_request_seconds",
            "Seconds a request took.",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "zeroguide_stage_seconds",
            "Seconds an image spent in a stage.",
            ["stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.tasks = Counter("zeroguide_tasks", "Tasks by what became of them.", ["outcome"], registry=self.registry)
        self.failures = Counter("zeroguide_failures", "Failures by kind of error.", ["kind"], registry=self.registry)
        self.cache = Counter("zeroguide_cache_lookups", "Lookups of predictions.", ["outcome"], registry=self.registry)
        self.predicting = Gauge(
            "zeroguide_predict_requests", "Requests to /predict being answered or waiting.", registry=self.registry
        )
        self.queue = Gauge("zeroguide_queue_tasks", "Tasks in the background queue.", ["state"], registry=self.registry)
        self.regions = Gauge(
            "zeroguide_annotated_regions",
            "Regions of submitted annotations by what people did with the prediction.",
            ["outcome"],
            registry=self.registry,
        )
        self.people = Gauge(
            "zeroguide_people_labels", "Labels seen by the policy on people.", ["outcome"], registry=self.registry
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to a stage, also where it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds.labels(name).observe(time.perf_counter() - start)

    def failed(self, error: BaseException) -> None:
        """Count a failure by the class of its error."""
        self.failures.labels(type(error).__name__).inc()

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)


def set_all(gauge: Gauge, values: Mapping[str, int]) -> None:
    """Set a gauge with one label to a number for each of its values."""
    for name, value in values.items():
        gauge.labels(name).set(value)
