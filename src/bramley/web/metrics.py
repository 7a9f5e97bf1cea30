"""What is counted while requests run; one registry for each application, never the process-wide one."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """Counters of the edge. Labels take few values: a path or an id never becomes one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "bramley_requests", "Requests answered, by route and HTTP status.", ("route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "bramley_request_seconds",
            "Time from a request's header to the end of its answer, by route.",
            ("route",),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._refusals = Counter("bramley_refusals", "Device requests refused, by reason.", ("reason",), registry=self.registry)
        self._limited = Counter(
            "bramley_limited_requests", "Requests answered 429, by limit.", ("limit",), registry=self.registry
        )
        self._ignored = Counter(
            "bramley_ignored_headers",
            "Requests with a header that only a proxy may send, from another address.",
            ("header",),
            registry=self.registry,
        )
        self._turned_away = Counter(
            "bramley_refused_connections", "Connections closed before TLS, by reason.", ("reason",), registry=self.registry
        )
        self.connections = Gauge("bramley_connections", "Connections open, on all listeners.", registry=self.registry)

        # Finding a child by its labels costs more than counting: each is found once.
        self._answers: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        found = self._answers.get((route, status))
        if found is None:
            found = self._requests.labels(route, int(status)), self._seconds.labels(route)
            self._answers[route, status] = found
        requests, times = found
        requests.inc()
        times.observe(seconds)

    def refused(self, reason: str) -> None:
        self._refusals.labels(reason).inc()

    def limited(self, limit: str) -> None:
        self._limited.labels(limit).inc()

    def ignored(self, header: str) -> None:
        self._ignored.labels(header).inc()

    def turned_away(self, reason: str) -> None:
        self._turned_away.labels(reason).inc()
