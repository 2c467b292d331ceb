"""What a process tells of itself, seen from outside: setup happens once in a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TRACE = "0af7651916cd43dd8448eb211c80319c"

PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
import structlog
from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest
from waybill_chassis import metrics
from waybill_chassis.events import TraceContext
from waybill_chassis.telemetry import current_trace, span, timer_span
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.telemetry.spans import start_light

Path(sys.argv[1]).mkdir(exist_ok=True)
telemetry = setup("sla", data_dir=Path(sys.argv[1]), log_level="info")
came = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
log = structlog.get_logger()
with span("request", parent=came):
    log.info("ours", number=1)
    logging.getLogger("somebody").warning("theirs %s", 2)
    light = start_light("below", parent=current_trace())
    light.end()
timer_span("fired", came).end()
for _ in range(100):
    logging.getLogger("aiokafka.client").error("cannot connect to %s", "node")
logging.getLogger("aiokafka.client").info("noise")
for definition in metrics.DEFINED.values():
    found = next(one for one in vars(metrics).values()
                 if getattr(one, "_name", getattr(one, "name", "")) == definition.name)
    {"counter": lambda: found.add(1), "gauge": lambda: found.set(1),
     "histogram": lambda: found.record(1)}[definition.kind]()
Path(sys.argv[1], "metrics").write_bytes(generate_latest(REGISTRY))
asyncio.run(telemetry.stop())
"""


def run(folder: Path, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def resources(folder: Path) -> list[dict[str, Any]]:
    file = folder / "telemetry" / "sla.traces.jsonl"
    if not file.exists():
        return []
    return [
        one for line in file.read_text().splitlines() for one in json.loads(line)["resourceSpans"]
    ]


def spans(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        span["name"]: span
        for resource in resources(folder)
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }


def test_spans_logs_and_metrics_of_a_process(tmp_path: Path) -> None:
    """Without a collector: spans in a file, logs with their trace, metrics under their names."""
    lines = run(tmp_path)
    found = spans(tmp_path)
    assert found["request"]["traceId"] == TRACE
    assert found["request"]["parentSpanId"] == "b7ad6b7169203331"
    assert found["below"]["parentSpanId"] == found["request"]["spanId"]
    assert found["fired"]["traceId"] != TRACE
    assert found["fired"]["links"][0]["traceId"] == TRACE
    about = {
        one["key"]: one["value"]["stringValue"]
        for one in resources(tmp_path)[0]["resource"]["attributes"]
    }
    assert about["service.name"] == "waybill-sla"
    assert about["service.version"]

    ours, theirs, *rest = lines
    assert (ours["event"], ours["number"], ours["level"]) == ("ours", 1, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == (
        "theirs 2",
        "somebody",
        "warning",
    )
    for line in (ours, theirs):
        assert line["service"] == "sla"
        assert line["trace_id"] == TRACE
        assert line["span_id"] == found["request"]["spanId"]
    # A hundred times the same, and it was said once.
    assert [line["event"] for line in rest] == ["cannot connect to node"]

    from waybill_chassis import metrics

    exposed = (tmp_path / "metrics").read_text()
    # Other tests may have imported a service, which defines its own.
    ours = ("waybill_relay_", "waybill_consumer_", "waybill_rpc_")
    for definition in metrics.DEFINED.values():
        if not definition.name.startswith(ours):
            continue
        suffix = "_count" if definition.kind == "histogram" else ""
        assert f"\n{definition.name}{suffix} 1.0" in exposed, definition


def test_the_standard_variables_hold(tmp_path: Path) -> None:
    """The name, and a sampler that lets nothing through, light spans included."""
    run(tmp_path / "all", OTEL_SERVICE_NAME="another", OTEL_RESOURCE_ATTRIBUTES="a=b")
    about = {
        one["key"]: one["value"]["stringValue"]
        for one in resources(tmp_path / "all")[0]["resource"]["attributes"]
    }
    assert about["service.name"] == "another"
    assert about["a"] == "b"
    run(tmp_path / "none", OTEL_TRACES_SAMPLER="always_off")
    assert spans(tmp_path / "none") == {}
    run(tmp_path / "off", OTEL_SDK_DISABLED="true")
    assert spans(tmp_path / "off") == {}


def test_a_collector_that_is_away_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """What could not be sent is lost, and the process ends all the same."""
    run(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert spans(tmp_path) == {}
