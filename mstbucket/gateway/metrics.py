"""Figures for Prometheus: requests and latencies by operation, bytes, and the state of the store ([GW-28])."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from mstbucket import Store
from mstbucket.gateway.log import Entry

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

REQUESTS = Counter("mstbucket_requests", "Requests that were answered", ["operation", "status"])
SECONDS = Histogram("mstbucket_request_seconds", "From head to end of the answer", ["operation"], buckets=_BUCKETS)
RECEIVED = Counter("mstbucket_received_bytes", "Bytes of bodies of requests", ["operation"])
SENT = Counter("mstbucket_sent_bytes", "Bytes of bodies of answers", ["operation"])


def observe(entry: Entry) -> None:
    """Count a request that was answered."""
    requests, seconds, received, sent = _of(entry.operation, entry.status)
    requests.inc()
    seconds.observe(entry.seconds)
    if entry.received:
        received.inc(entry.received)
    if entry.sent:
        sent.inc(entry.sent)


@lru_cache(maxsize=4096)
def _of(operation: str, status: int) -> tuple[Counter, Histogram, Counter, Counter]:
    """The figures of one operation; looking them up costs more than counting."""
    requests = REQUESTS.labels(operation, str(status))
    return requests, SECONDS.labels(operation), RECEIVED.labels(operation), SENT.labels(operation)


class _StoreFigures:
    """What is asked of the store when somebody looks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Any]:
        """The figures of every bucket."""
        dirty = GaugeMetricFamily("mstbucket_dirty_keys", "Keys changed since the newest commit", labels=["bucket"])
        commits = GaugeMetricFamily("mstbucket_commit_seq", "Sequence number of the newest commit", labels=["bucket"])
        for one in self._store.list_buckets():
            dirty.add_metric([one.name], one.dirty)
            commits.add_metric([one.name], one.seq)
        yield dirty
        yield commits


def page(store: Store, directory: str) -> bytes:
    """The page of figures of all processes that write to *directory*."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    registry.register(_StoreFigures(store))
    return generate_latest(registry)
