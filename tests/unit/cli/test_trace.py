"""A journey is put into one order, with durations where there are spans, and fits the terminal."""

import json
from pathlib import Path

import httpx
import pytest
from waybill_cli.api import NotThere
from waybill_cli.errors import StackError
from waybill_cli.trace import journey, show, sources, spans

ID = "01900000-0000-7000-8000-000000000001"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TICKET = {
    "id": ID,
    "number": "WB-1042",
    "product": "demo",
    "type": "technical",
    "priority": "high",
    "status": "in_progress",
    "close_reason": None,
    "title": "It \x1b[31mblinks\x1b[0m " + "very " * 40 + "often",
    "submitter": {"email": "eve@example.com"},
    "created_at": "2026-11-24T10:00:00.000000Z",
}
DELIVERY = {
    "id": "01900000-0000-7000-8000-00000000000d",
    "template": "receipt",
    "channel": "email",
    "recipient": "eve@example.com",
    "state": "delivered",
    "attempts": 2,
    "created_at": "2026-11-24T10:00:00.100000Z",
    "delivered_at": "2026-11-24T10:00:01.100000Z",
    "last_error": "421 try again later",
}


def line(event: str, source: str, at: str, summary: str = "") -> dict[str, object]:
    return {
        "event_id": f"id-{event}",
        "source": f"/waybill/{source}",
        "type": f"waybill.{source}.v1.{event}",
        "occurred_at": at,
        "actor": {"kind": "submitter", "id": "eve@example.com", "name": "Eve"},
        "summary": summary,
        "trace_id": TRACE,
    }


CLOCK = {
    "state": "running",
    "started_at": "2026-11-24T10:00:00.000000Z",
    "policy_version": 1,
    "paused": "PT5M",
    "response": {
        "state": "running",
        "due_at": "2026-11-24T12:00:00.000000Z",
        "remaining": "PT1H59M",
        "stopped_at": None,
    },
    "resolution": {
        "state": "met",
        "due_at": "2026-11-25T10:00:00.000000Z",
        "remaining": "PT1H",
        "stopped_at": "2026-11-24T11:00:00.000000Z",
    },
    "escalation_level": "tech_team",
    "ledger": [
        {
            "kind": "running",
            "status": "pending",
            "started_at": "2026-11-24T10:00:00.000000Z",
            "ended_at": None,
        }
    ],
}

LOG = [
    line("TicketAssigned", "routing", "2026-11-24T10:00:00.050000Z"),
    line("TicketOpened", "intake", "2026-11-24T10:00:00.000000Z", "WB-1042 opened"),
]


def answering(answers: dict[str, object]) -> httpx.Client:
    """A gateway that knows these paths; an exception of a status stands for one that is away."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path)
        if isinstance(found, int):
            return httpx.Response(found, json={"detail": "no healthy upstream"})
        if found is None:
            return httpx.Response(404, json={"detail": "There is no such thing."})
        return httpx.Response(200, json=found)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gateway")


def everything() -> dict[str, object]:
    return {
        "/v1/tickets/WB-1042": TICKET,
        f"/v1/tickets/{ID}": TICKET,
        f"/v1/tickets/{ID}/log": {"items": LOG, "next_cursor": None},
        f"/v1/tickets/{ID}/assignment": {"state": "assigned", "agent": {"name": "Ana"}, "why": "y"},
        f"/v1/tickets/{ID}/sla": CLOCK,
        "/v1/deliveries": {"items": [DELIVERY], "next_cursor": None},
        f"/v1/deliveries/{DELIVERY['id']}": {**DELIVERY, "attempt_log": []},
    }


def write_spans(folder: Path) -> None:
    def span(id: str, name: str, parent: str, began: int, ended: int, **attributes: str):
        return {
            "traceId": TRACE,
            "spanId": id,
            "parentSpanId": parent,
            "name": name,
            "startTimeUnixNano": str(began),
            "endTimeUnixNano": str(ended),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
        }

    base = 1_795_600_800_000_000_000  # 2026-11-25T..., only differences count
    handled = {"messaging.operation.type": "process", "messaging.message.id": "id-TicketOpened"}
    found = [
        span("b", "process waybill.intake.events.v1", "a", base + 12_000_000, base + 15_000_000),
        span("a", "POST /v1/tickets", "", base, base + 9_000_000),
    ]
    found[0]["attributes"] = [{"key": k, "value": {"stringValue": v}} for k, v in handled.items()]
    resource = {
        "attributes": [{"key": "service.name", "value": {"stringValue": "waybill-routing"}}]
    }
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": found}]}]}
    (folder / "telemetry").mkdir()
    path = folder / "telemetry" / "routing.traces.jsonl"
    path.write_text(json.dumps(request) + "\n" + '{"resourceSpans": [{"cut ' + TRACE)


def test_every_part_is_told_in_order_with_attempts_and_trace_ids(tmp_path: Path) -> None:
    write_spans(tmp_path)
    told = sources.gather(answering(everything()), "WB-1042")
    found = journey.build(told, spans.read(tmp_path, journey.trace_ids(told)))
    assert [step.event for step in found.steps] == ["TicketOpened", "TicketAssigned"]
    assert found.steps[1].after_seconds == pytest.approx(0.05)
    (handled,) = found.steps[0].handled
    assert handled.service == "routing"
    assert handled.seconds == pytest.approx(0.003)
    (trace,) = found.traces
    assert [span.name for _, span in trace.spans] == ["POST /v1/tickets"]
    printed = "\n".join(show.lines(found))
    for part in (
        "WB-1042",
        "Ana",
        "receipt",
        "2 attempts",
        "421 try again later",
        TRACE,
        "routing",
    ):
        assert part in printed
    json.dumps(found.as_dict())


def test_no_line_is_too_long_and_none_steers_the_terminal() -> None:
    told = sources.gather(answering(everything()), ID)
    for text in show.lines(journey.build(told, [])):
        assert len(text) <= 100
        assert text.isprintable()


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (f"/v1/tickets/{ID}/assignment", "routing"),
        (f"/v1/tickets/{ID}/sla", "sla"),
        ("/v1/deliveries", "notify"),
        (f"/v1/tickets/{ID}", "intake"),
    ],
)
def test_a_service_that_is_away_is_named_and_the_rest_is_shown(path: str, service: str) -> None:
    told = sources.gather(answering({**everything(), path: 503}), ID)
    assert list(told.away) == [service]
    printed = "\n".join(show.lines(journey.build(told, [])))
    assert f"{service} is away" in printed
    shown = {"routing": "Ana", "sla": "tech_team", "notify": "receipt"}
    assert all(word in printed for name, word in shown.items() if name != service)


def test_an_unknown_ticket_is_said_and_a_number_needs_intake() -> None:
    with pytest.raises(NotThere):
        sources.gather(answering({}), "WB-9")
    with pytest.raises(StackError, match="only it knows numbers"):
        sources.gather(answering({"/v1/tickets/WB-9": 503}), "WB-9")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0004, "0 ms"),
        (0.9994, "999 ms"),
        (1.2, "1.20 s"),
        (182, "3 min 2 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (-0.002, "-2 ms"),
    ],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert show.duration(seconds) == words
