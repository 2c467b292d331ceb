"""Every metric of the chassis, named and described in one place.

A metric has one name wherever it is looked up, the one Prometheus shows: counters end in
`_total`, times in `_seconds`. A service names its own in the same way, at import, by `counter`,
`gauge` and `histogram`; values recorded before `telemetry.setup` go nowhere.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.metrics import _Gauge as Gauge

_NAME = re.compile(r"^waybill_[a-z][a-z0-9_]*$")
_METER = metrics.get_meter("waybill")

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds for what should take milliseconds."""
SLOW = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0)
"""Bounds in seconds for what may take a while."""
SIZES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Bounds for counts of things."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a metric is called and what it says."""

    name: str
    kind: str
    unit: str
    description: str


DEFINED: dict[str, Definition] = {}
"""All metrics of this process by name, the chassis' and the service's."""


def _define(name: str, kind: str, unit: str, description: str) -> None:
    if not _NAME.match(name):
        raise ValueError(f"metric {name!r}: use waybill_<words> in lower case")
    if (kind == "counter") != name.endswith("_total"):
        raise ValueError(f"metric {name!r}: counters, and only they, end in _total")
    if (unit == "s") != name.removesuffix("_total").endswith("_seconds"):
        raise ValueError(f"metric {name!r}: times have the unit 's' and end in _seconds")
    if name in DEFINED:
        raise ValueError(f"metric {name!r} is defined twice")
    DEFINED[name] = Definition(name, kind, unit, description)


def counter(name: str, description: str, *, unit: str = "") -> Counter:
    """A number that only grows. `.add(n, {label: value})`."""
    _define(name, "counter", unit, description)
    return _METER.create_counter(name, unit, description)


def gauge(name: str, description: str, *, unit: str = "") -> Gauge:
    """The present value of something. `.set(value, {label: value})`."""
    _define(name, "gauge", unit, description)
    return _METER.create_gauge(name, unit, description)


def histogram(
    name: str, description: str, *, unit: str = "s", bounds: Sequence[float] = QUICK
) -> Histogram:
    """A distribution over `bounds` (upper, in `unit`). `.record(value, {label: value})`."""
    _define(name, "histogram", unit, description)
    return _METER.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=list(bounds)
    )


# The relay.
relay_published = counter("waybill_relay_published_total", "Outbox events that Kafka acknowledged.")
relay_failures = counter(
    "waybill_relay_failures_total", "Attempts to publish that failed and will be repeated."
)
relay_latency = histogram(
    "waybill_relay_latency_seconds", "From the commit of an event to Kafka's acknowledgement."
)
relay_batch = histogram(
    "waybill_relay_batch_events", "Events published at once.", unit="", bounds=SIZES
)
relay_backlog = gauge("waybill_relay_backlog_rows", "Outbox rows that are not published yet.")
relay_oldest = gauge(
    "waybill_relay_oldest_seconds", "Age of the oldest event that is not published yet.", unit="s"
)
relay_parked = gauge(
    "waybill_relay_parked_rows", "Outbox rows that the broker refused for good. Worth an alarm."
)
relay_shards = gauge("waybill_relay_shards", "Shards that this process owns.")

# The consumer. Labels: topic; handled and skipped also type; what is about batches: group.
consumer_handled = counter("waybill_consumer_handled_total", "Messages handled and committed.")
consumer_skipped = counter(
    "waybill_consumer_skipped_total", "Messages of a type that nobody here knows."
)
consumer_duplicates = counter(
    "waybill_consumer_duplicates_total", "Messages that the inbox had seen before."
)
consumer_dead_letters = counter(
    "waybill_consumer_dead_letters_total", "Messages put aside because they cannot be handled."
)
consumer_retries = counter(
    "waybill_consumer_retries_total", "Batches or messages that are tried once more."
)
consumer_batch = histogram(
    "waybill_consumer_batch_messages", "Messages in one transaction.", unit="", bounds=SIZES
)
consumer_seconds = histogram(
    "waybill_consumer_batch_seconds", "From the arrival of a batch to its commit.", bounds=SLOW
)
consumer_lag = gauge("waybill_consumer_lag_messages", "Messages that wait behind the position.")
consumer_delay = histogram(
    "waybill_consumer_delay_seconds", "From the time an event happened to its commit.", bounds=SLOW
)
consumer_paused = gauge(
    "waybill_consumer_paused", "1 while the consumer holds back, by its own choice."
)

# HTTP, under the names of the OpenTelemetry conventions.
http_seconds = _METER.create_histogram(
    "http.server.request.duration",
    "s",
    "Duration of HTTP server requests.",
    explicit_bucket_boundaries_advisory=[
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    ],
)


def http_active_requests(ask: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
    """Have the number of requests under way asked of `ask`: dearer to tell than to be asked."""
    _METER.create_observable_up_down_counter(
        "http.server.active_requests",
        [ask],
        "{request}",
        "Number of active HTTP server requests.",
    )


# gRPC.
rpc_server_seconds = histogram(
    "waybill_rpc_server_seconds", "Time to answer a gRPC call. Labels: method, code."
)
rpc_client_seconds = histogram(
    "waybill_rpc_client_seconds",
    "Time until a gRPC call is answered, retries included. Labels: peer, method, code.",
)
rpc_unanswered = counter(
    "waybill_rpc_unanswered_total",
    "Calls that the caller went on without. Labels: peer, code.",
)
rpc_circuit_open = gauge(
    "waybill_rpc_circuit_open", "1 while calls to a peer fail at once, without being sent."
)
