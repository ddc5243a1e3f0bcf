"""What Prometheus reads: counts and times by route, submissions by answer, and the state of door and circuits.

Labels come from fixed sets and the models' and tools' names; a tenant appears under its pseudonym, and only in the two
gauges of the door.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from countersign.breaker.words import Standing, State

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
METHODS = frozenset(("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"))
disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each counter, which nobody reads
CONTENT_TYPE = CONTENT_TYPE_LATEST


class CircuitMetrics(Collector):
    """Where every circuit stands. Counters too are those of Redis: what they count happens in the workers."""

    def __init__(self) -> None:
        self._standing: Sequence[Standing] = ()
        self._degraded = False

    def show(self, standing: Sequence[Standing], *, degraded: bool) -> None:
        """What the next reading says."""
        self._standing, self._degraded = standing, degraded

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks."""
        name = "countersign_circuit"
        states = GaugeMetricFamily(f"{name}_state", "1 for the state it is in.", labels=("circuit", "state"))
        window = GaugeMetricFamily(f"{name}_window_calls", "Calls in the window.", labels=("circuit", "what"))
        limit = GaugeMetricFamily(f"{name}_limit", "Calls that may be in flight at once.", labels=("circuit",))
        flight = GaugeMetricFamily(f"{name}_in_flight", "Calls in flight.", labels=("circuit",))
        turns = CounterMetricFamily(f"{name}_transitions", "Changes into a state.", labels=("circuit", "to"))
        calls = CounterMetricFamily(f"{name}_calls", "Calls by how they ended.", labels=("circuit", "result"))
        for one in self._standing:
            for state in State:
                states.add_metric((one.name, state), state is one.state)
                turns.add_metric((one.name, state), one.transitions[state])
            for what, count in (("all", one.calls), ("failed", one.failures), ("slow", one.slow)):
                window.add_metric((one.name, what), count)
            for result, count in one.results.items():
                calls.add_metric((one.name, result), count)
            limit.add_metric((one.name,), one.limit)
            flight.add_metric((one.name,), one.in_flight)
        yield from (states, window, limit, flight, turns, calls)
        yield GaugeMetricFamily(
            "countersign_circuits_degraded", "1 while this process keeps circuits by itself.", float(self._degraded)
        )


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
        self.circuits = CircuitMetrics()
        self.registry.register(self.circuits)
        self.up = Gauge("server_up", "1 while the server answers, or a dispatcher leads.", ("server",), **own)

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
