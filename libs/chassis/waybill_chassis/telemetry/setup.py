"""Turns telemetry on: traces, metrics and logs of one process."""

from pathlib import Path


class Telemetry:
    """What was set up, as a part of the process: flushes when it stops. Start it first."""

    name = "telemetry"

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Write out what is still held back."""
        raise NotImplementedError


def setup(service: str, *, data_dir: Path, log_level: str) -> Telemetry:
    """Set the process's tracer and meter provider and its logs (JSON lines on stdout).

    With `OTEL_EXPORTER_OTLP_ENDPOINT` spans and metrics go there, else spans go as OTLP JSON
    lines to `<data_dir>/telemetry/<service>.traces.jsonl`. Metrics are always on `/metrics`.
    """
    raise NotImplementedError
