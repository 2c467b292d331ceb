"""Logs and spans carry no words, names and addresses of people."""

from collections.abc import Sequence

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from sqlalchemy.exc import DBAPIError
from waybill_chassis.http.observing import Observed
from waybill_chassis.telemetry import spans
from waybill_chassis.telemetry.discretion import (
    discreet,
    discreet_line,
    discreet_path,
    discreet_query,
)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/tickets/WB-1/watchers/kim@example.com", "/v1/tickets/WB-1/watchers/REDACTED"),
        ("/r/AbC-dEf", "/r/REDACTED"),
        ("/v1/tickets/WB-1/log", "/v1/tickets/WB-1/log"),
    ],
)
def test_a_path_is_shown_without_addresses_and_tokens(path: str, shown: str) -> None:
    assert discreet_path(path) == shown


def test_of_a_query_only_the_names_are_shown() -> None:
    assert discreet_query("submitter=kim%40example.com&tag=") == "submitter=REDACTED&tag=REDACTED"


def test_what_a_database_quotes_is_left_out() -> None:
    """The first line says what went wrong; those below say it of whom."""
    said = "duplicate key value\nDETAIL:  Key (email)=(kim@example.com) already exists.\nHINT:  no."
    assert discreet(said) == "duplicate key value\nREDACTED\nHINT:  no."
    error = DBAPIError("INSERT", {"name": "Kim"}, ValueError("no"))
    assert "Kim" not in discreet(str(error))
    line = discreet_line(None, "", {"error": said, "count": 3})
    assert "kim" not in str(line)
    assert line["count"] == 3


async def test_the_spans_of_requests_hold_no_values_of_their_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what stands behind the question mark, nor an address within the path."""
    kept = InMemorySpanExporter()
    monkeypatch.setattr(spans.recorder, "processor", SimpleSpanProcessor(kept))
    monkeypatch.setattr(spans.recorder, "sampler", ALWAYS_ON)
    app = FastAPI()
    app.add_middleware(Observed)

    @app.get("/v1/watchers/{who}")
    async def watch(who: str, name: str) -> Sequence[str]:
        return [who, name]

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.get("/v1/watchers/kim@example.com", params={"name": "Kim Z"})
    assert answer.status_code == 200
    (span,) = kept.get_finished_spans()
    assert span.name == "GET /v1/watchers/{who}"
    assert dict(span.attributes or {}) == {
        "url.scheme": "http",
        "http.request.method": "GET",
        "network.protocol.version": "1.1",
        "server.address": "here",
        "server.port": 80,
        "url.path": "/v1/watchers/REDACTED",
        "url.query": "name=REDACTED",
        "http.route": "/v1/watchers/{who}",
        "http.response.status_code": 200,
    }
