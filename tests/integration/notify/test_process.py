"""The service as a process of its own: it starts, sends, leaves a trace, and stops."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def spans(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "telemetry" / "notify.traces.jsonl").read_text().splitlines()
    return [
        span
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


async def test_each_attempt_is_a_span_below_the_event_that_asked_for_the_mail(
    notify: Any, sink: Any, mint: Any, kafka: str, tmp_path: Path
) -> None:
    """One trace leads from the request to the mail; intake and kb being away stops nothing."""
    opened = notify.ticket().opened()
    await notify.hear(opened)
    # The process has the machine's own clock.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "waybill_notify",
        cwd=tmp_path,
        env=os.environ
        | {
            "WAYBILL_NOTIFY_DATABASE_URL": notify.service.rt.settings.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "WAYBILL_ROLES": "http,rpc,timers",
            "WAYBILL_NOTIFY_HTTP_PORT": "0",
            "WAYBILL_NOTIFY_GRPC_PORT": "0",
            "WAYBILL_INTAKE_GRPC": "127.0.0.1:1",
            "WAYBILL_KB_GRPC": "127.0.0.1:1",
            "WAYBILL_JWKS_URL": mint.jwks_url,
            "WAYBILL_SMTP_PORT": str(sink.port),
            "WAYBILL_DATA_DIR": str(tmp_path),
        },
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        [delivery] = await notify.until_state("delivered")
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    assert code == 0
    assert sink.mails[0]["Message-ID"] == delivery.message_id
    [span] = [span for span in spans(tmp_path) if span["name"] == "deliver receipt"]
    _, trace_id, parent, _ = opened.trace.traceparent.split("-")
    assert (span["traceId"], span["parentSpanId"]) == (trace_id, parent)
    [attempt] = await notify.rows("SELECT * FROM attempts")
    assert attempt.traceparent.split("-")[1:3] == [trace_id, span["spanId"]]
