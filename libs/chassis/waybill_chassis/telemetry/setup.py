"""Turns telemetry on: traces, metrics and logs of one process.

The standard `OTEL_*` variables hold: the SDK reads the sampler's, the resource's, the batches' and
the exporters' by itself.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from waybill_chassis.telemetry import logs, queries, spans
from waybill_chassis.telemetry.files import FileSpanExporter, RotatingLines

_FLUSH_SECONDS = 5.0
_BATCHES = {
    # A consumer ends 500 spans at once: the SDK's own 2,048 would not hold its bursts.
    "OTEL_BSP_MAX_QUEUE_SIZE": "32768",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
    # Whoever has just sent a ticket through wants to see its trace.
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}


class Telemetry:
    """What was set up, as a part of the process: flushes when it stops. Start it first."""

    name = "telemetry"

    def __init__(self, *shutdowns: Callable[[], object]) -> None:
        """`shutdowns` may take a while; they run in a thread."""
        self._shutdowns = shutdowns

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Write out what is still held back; a collector that is away is not waited for."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            for shutdown in self._shutdowns:
                shutdown()
            with contextlib.suppress(RuntimeError):  # the loop may be gone by then
                loop.call_soon_threadsafe(done.set)

        # A thread of its own: the loop's executor would be waited for at the exit.
        threading.Thread(target=shut_down, daemon=True, name="telemetry").start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _FLUSH_SECONDS)


def setup(service: str, *, data_dir: Path, log_level: str) -> Telemetry:
    """Set the process's tracer and meter provider and its logs (JSON lines on stdout).

    With `OTEL_EXPORTER_OTLP_ENDPOINT` spans and metrics go there, else spans go as OTLP JSON
    lines to `<data_dir>/telemetry/<service>.traces.jsonl`. Metrics are always on `/metrics`.
    """
    logs.configure(service, log_level)
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Telemetry()
    for name, value in _BATCHES.items():
        os.environ.setdefault(name, value)
    resource = _resource(service)
    meters = MeterProvider(resource=resource, metric_readers=_readers(), shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _span_exporter(data_dir / "telemetry" / f"{service}.traces.jsonl")
    use(tracers, None if exporter is None else BatchSpanProcessor(exporter))
    queries.observe_statements()
    return Telemetry(tracers.shutdown, meters.shutdown)


def use(tracers: TracerProvider, processor: SpanProcessor | None) -> None:
    """Make these the process's own: full spans and light ones go to the same processor."""
    if processor is not None:
        tracers.add_span_processor(processor)
    spans.recorder.processor = processor
    spans.recorder.sampler = tracers.sampler
    spans.recorder.resource = tracers.resource
    spans.recorder.ids = tracers.id_generator
    trace.set_tracer_provider(tracers)


def _resource(service: str) -> Resource:
    """What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, else who we are."""
    attributes = {"service.instance.id": f"{os.uname().nodename}:{os.getpid()}"}
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in said:
        attributes["service.name"] = f"waybill-{service}"
    if "service.version=" not in said:
        try:
            attributes["service.version"] = version(f"waybill-{service}")
        except PackageNotFoundError:
            attributes["service.version"] = version("waybill-chassis")
    return Resource.create(attributes)


def _exporters(signal: str) -> set[str]:
    """Which exporters `OTEL_<SIGNAL>_EXPORTER` asks for; by itself `otlp` where one is named."""
    if asked := os.environ.get(f"OTEL_{signal}_EXPORTER"):
        return {name.strip() for name in asked.split(",")}
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return {"otlp"} if any(os.environ.get(name) for name in named) else {"file"}


def _span_exporter(file: Path) -> SpanExporter | None:
    asked = _exporters("TRACES")
    if "otlp" in asked:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if "console" in asked:
        return ConsoleSpanExporter()
    return None if "none" in asked else FileSpanExporter(RotatingLines(file))


def _readers() -> list[MetricReader]:
    readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False)]
    if "otlp" in _exporters("METRICS"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    return readers
