"""What Prometheus reads: counts and times by route, submissions by answer, and the state of the door.

Labels come from fixed sets; a tenant appears under its pseudonym, and only in the two gauges of the door.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
METHODS = frozenset(("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"))
disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each counter, which nobody reads
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one gateway process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: Any = {"registry": self.registry, "namespace": "countersign"}
        self._requests = Counter("http_requests", "Answers given.", ("method", "route", "status"), **own)
        self._seconds = Histogram(
            "http_request_seconds", "From the request's head to its answer's end.", ("route",), buckets=_SECONDS, **own
        )
        self._submissions = Counter("submissions", "Submissions by how they were answered.", ("answer",), **own)
        self.streams = Gauge("event_streams", "Event streams open now.", **own)
        self.body_bytes = Gauge("body_memory_bytes", "Memory reserved for bodies on their way in.", **own)
        self.waiting = Gauge("waiting_reviews", "Reviews in the waiting room.", ("tenant",), **own)
        self.in_flight = Gauge("in_flight_reviews", "Reviews the machine works on.", ("tenant",), **own)
        self.rate = Gauge("dispatch_rate", "Reviews a second that the cluster sustains, as the door sees it.", **own)
        self.degraded = Gauge("door_degraded", "1 while this process admits by itself, without Redis.", **own)
        self.up = Gauge("server_up", "1 while the server answers.", ("server",), **own)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is the pattern of the endpoint, never a path."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def submitted(self, answer: str) -> None:
        """Count one submission: `accepted`, `existing`, or the type of the error it ended in."""
        self._submissions.labels(answer).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
