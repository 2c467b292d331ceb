"""What lists, searches and counts promise."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import Agent
from waybill.routing.v1 import events_pb2 as routing
from waybill.routing.v1.assignment_pb2 import ASSIGNMENT_STATE_ASSIGNED, Assignment
from waybill.sla.v1 import events_pb2 as sla
from waybill.sla.v1.clock_pb2 import Clock, Target
from waybill_chassis.times import timestamp
from waybill_intake.store.finding.kept import facet

KIM: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}


async def listed(intake: Any, query: str, **who: Any) -> list[str]:
    """The titles of a list, page by page."""
    titles: list[str] = []
    cursor = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = await intake.ask("GET", f"/v1/tickets?limit=2&{query}{more}", **who)
        titles += [ticket["title"] for ticket in page["items"]]
        cursor = page["next_cursor"]
    return titles


@pytest.fixture
def assign(intake: Any, event: Callable[..., Any]) -> Callable[..., Any]:
    """Has routing say that Ana has a ticket."""

    async def say(ticket: dict[str, Any]) -> None:
        agent = Agent(id="a1", name="Ana", email="Ana@Example.com")
        assignment = Assignment(
            ticket_id=ticket["id"], state=ASSIGNMENT_STATE_ASSIGNED, agent=agent, team="support"
        )
        await intake.hear(event(ticket, routing.TicketAssigned(assignment=assignment)))

    return say


@pytest.fixture
def start_clock(intake: Any, event: Callable[..., Any]) -> Callable[..., Any]:
    """Has sla say when a ticket's targets are due, in minutes from now."""

    async def say(ticket: dict[str, Any], response: int, resolution: int) -> None:
        now = intake.tested.clock.now()
        kinds = {words.TARGET_KIND_RESPONSE: response, words.TARGET_KIND_RESOLUTION: resolution}
        targets = [
            Target(
                kind=kind,
                state=words.TARGET_STATE_RUNNING,
                due_at=timestamp(now + timedelta(minutes=minutes)),
            )
            for kind, minutes in kinds.items()
        ]
        clock = Clock(
            ticket_id=ticket["id"],
            targets=targets,
            escalation_level=words.ESCALATION_LEVEL_TECH_TEAM,
        )
        await intake.hear(event(ticket, sla.ClockStarted(clock=clock)))

    return say


async def test_every_field_narrows_a_list(intake: Any, assign: Any, start_clock: Any) -> None:
    """Of several values one must hold, of several fields all; what is unknown finds nothing."""
    a = await intake.open(
        title="a", type="order", priority="high", language="de-AT", tags=["x", "y"],
        order_refs=["A-7"], custom_fields={"plan": "gold", "seats": 5, "deep": {"n": 1}},
        submitter={"email": "kim@example.com", "tier": "gold"},
    )  # fmt: skip
    b = await intake.open(title="b", tags=["x"], external_ref="alert-1", product="bank")
    await intake.open(title="c", submitter={"email": "lee@example.com"})
    await assign(a)
    await start_clock(a, 15, 240)
    await intake.ask("PUT", f"/v1/tickets/{b['id']}/watchers/me")
    await intake.move(b, "resolved", "closed")
    await intake.ask("POST", f"/v1/tickets/{b['id']}/rating", {"score": 4}, status=201, **KIM)
    for query, expected in {
        "status=closed": "b",
        "status=closed&status=in_progress": "ab",
        "status=pending": "c",
        "product=bank": "b",
        "product=bank&product=shop": "abc",
        "type=order&type=account": "a",
        "priority=high": "a",
        "channel=api": "abc",
        "channel=email": "",
        "language=DE-at": "a",
        "tag=Y&tag=nope": "a",
        "tag=x": "ab",
        "tag_all=x&tag_all=y": "a",
        "assignee=me": "a",
        "assignee=a1": "a",
        "assignee=ANA@example.com&assignee=ben@example.com": "a",
        "unassigned=true": "c",
        "team=support": "a",
        "submitter=Kim@example.com": "ab",
        f"submitter={a['submitter']['id']}&submitter=lee@example.com": "abc",
        "submitter=nobody@example.com": "",
        "submitter_tier=gold": "a",
        "order_ref=A-7": "a",
        "external_ref=alert-1": "b",
        "escalation_level=tech_team": "a",
        "close_reason=resolved": "b",
        "close_reason=duplicate": "",
        "rating_from=3&rating_to=4": "b",
        "rating_from=5": "",
        "watcher=me": "b",
        "custom=plan=gold&custom=seats=5": "a",
        "custom=plan=gold&custom=plan=tin&custom=seats=6": "",
        "response_state=running": "a",
        "resolution_state=paused&resolution_state=running": "a",
        "resolution_state=breached": "",
    }.items():
        found = await listed(intake, f"order=asc&{query}")
        assert "".join(found) == expected, query
        number = await intake.ask("GET", f"/v1/tickets/count?{query}")
        assert number == {"count": len(expected), "exact": True, "text": str(len(expected))}


async def test_ranges_of_times_include_their_beginning_and_not_their_end(
    intake: Any, start_clock: Any
) -> None:
    """Created, updated, resolved, closed, due; and sorted by another time than that."""
    clock = intake.tested.clock
    marks = [clock.now()]
    tickets = []
    for title in "abc":
        tickets.append(await intake.open(title=title))
        clock.advance(timedelta(hours=1))
        marks.append(clock.now())
    await intake.move(tickets[0], "resolved")
    clock.advance(timedelta(hours=1))
    await intake.move(tickets[0], "closed")
    await start_clock(tickets[1], 60, 600)
    await start_clock(tickets[2], 120, 180)
    at = [quote(mark.isoformat()) for mark in (*marks, clock.now())]
    soon = quote((clock.now() + timedelta(minutes=100)).isoformat())
    for query, expected in {
        f"created_from={at[1]}": "bc",
        f"created_to={at[1]}": "a",
        f"created_from={at[1]}&created_to={at[2]}": "b",
        f"updated_from={at[3]}": "a",
        f"resolved_from={at[3]}&resolved_to={at[4]}": "a",
        f"resolved_from={at[4]}": "",
        f"closed_from={at[4]}": "a",
        f"closed_to={at[4]}": "",
        f"due_to={soon}": "b",
        f"due_from={soon}": "c",
        f"due_from={at[0]}": "bc",
    }.items():
        for sort in ("created", "updated", "priority", "due"):
            found = await listed(intake, f"sort={sort}&{query}")
            assert "".join(sorted(found)) == expected, (query, sort)


async def test_lists_are_sorted_both_ways_and_cursors_miss_and_repeat_nothing(
    intake: Any, start_clock: Any
) -> None:
    """The most urgent first and the oldest of them; what is not due comes after what is."""
    for title, priority, due in (
        ("a", "low", 30), ("b", "urgent", 0), ("c", "medium", 20), ("d", "urgent", 10),
        ("e", "low", 0),
    ):  # fmt: skip
        intake.tested.clock.advance(timedelta(seconds=1))
        ticket = await intake.open(title=title, priority=priority)
        if due:
            await start_clock(ticket, due, 600)
    intake.tested.clock.advance(timedelta(seconds=1))
    closed = await intake.open(title="f", priority="urgent")
    await intake.move(closed, "resolved", "closed")
    intake.tested.clock.advance(timedelta(seconds=1))
    await intake.move((await intake.ask("GET", "/v1/tickets?priority=medium"))["items"][0],
                      "in_progress")  # fmt: skip
    for query, expected in {
        "": "fedcba",
        "sort=created&order=asc": "abcdef",
        "sort=updated": "cfedba",
        "sort=updated&order=asc": "abdefc",
        "sort=priority": "bdfcae",
        "sort=priority&order=asc": "eacfdb",
        "sort=due": "dcabef",
        "sort=due&order=desc": "febacd",
        "sort=due&status=closed": "f",
        "sort=priority&priority=low&priority=medium": "cae",
    }.items():
        assert "".join(await listed(intake, query)) == expected, query


async def test_a_cursor_of_another_list_is_refused(intake: Any) -> None:
    """422 that says what would be right, rather than a list with holes."""
    for _ in range(3):
        await intake.open()
    page = await intake.ask("GET", "/v1/tickets?limit=1&sort=updated")
    cursor = page["next_cursor"]
    await intake.ask("GET", f"/v1/tickets?limit=2&sort=updated&cursor={cursor}")
    for query in ("", "sort=updated&order=asc", "sort=updated&status=pending", "sort=priority"):
        problem = await intake.ask("GET", f"/v1/tickets?{query}&cursor={cursor}", status=422)
        assert problem["errors"][0]["field"] == "cursor"
        assert "same filter and sorting" in problem["detail"]


async def test_words_are_found_in_titles_descriptions_and_public_messages(intake: Any) -> None:
    """Stems, phrases, or, not; a new title and a new message count at once, a note never."""
    a = await intake.open(title="a", description="The printers were jammed.")
    b = await intake.open(title="b", description="Paper is jammed", submitter={"email": "lee@b.c"})
    path = f"/v1/tickets/{a['id']}"
    await intake.ask("POST", f"{path}/messages", {"body": "Try the tray."}, status=201)
    await intake.ask(
        "POST", f"{path}/messages", {"kind": "note", "body": "A hamster did it"}, status=201
    )
    await intake.ask("POST", f"{path}/messages", {"body": "Zebra stripes"}, status=201, **KIM)
    edited = intake.token() | {"If-Match": "*"}
    await intake.ask("PATCH", f"/v1/tickets/{b['id']}", {"title": "b scanner"}, headers=edited)
    for q, expected in {
        "printer": ["a"],
        "jam": ["b scanner", "a"],
        "jammed -paper": ["a"],
        '"paper jammed"': [],
        '"paper is jammed"': ["b scanner"],
        "printer or scanner": ["b scanner", "a"],
        "tray zebra printer": ["a"],
        "hamster": [],
        "the": [],
        a["number"].lower(): ["a"],
        "WB-1": [],
    }.items():
        assert await listed(intake, f"q={quote(q)}") == expected, q
        assert (await intake.ask("GET", f"/v1/tickets/count?q={quote(q)}"))["count"] == len(
            expected
        )
    assert await listed(intake, "q=jam", **KIM) == ["a"]
    assert await listed(intake, f"q={b['number']}", **KIM) == []
    await intake.move(a, "resolved", "closed")
    assert await listed(intake, "q=tray&status=closed&sort=due") == ["a"]
    problem = await intake.ask("GET", "/v1/tickets?q=-printer", status=422)
    assert problem["errors"][0]["field"] == "q"


async def test_a_merge_takes_the_words_along(intake: Any) -> None:
    """What was said in the merged ticket is found in the one it went to."""
    one, other = await intake.open(title="one"), await intake.open(title="other")
    await intake.ask("POST", f"/v1/tickets/{one['id']}/messages", {"body": "A walrus"}, status=201)
    await intake.ask("POST", f"/v1/tickets/{one['id']}/merge", {"into": other["id"]})
    assert await listed(intake, "q=walrus") == ["other"]


async def test_everybody_finds_only_what_is_theirs(intake: Any) -> None:
    """Submitters their own, agents those of their products, whatever they ask for."""
    await intake.open(title="a", tags=["x"])
    await intake.open(title="b", tags=["x"], product="bank", submitter={"email": "lee@b.c"})
    bank: dict[str, Any] = {"products": ("bank",)}
    nobody: dict[str, Any] = {"products": ()}
    for query in ("tag=x", "product=bank&product=shop", "q=morning", "sort=due", "status=pending"):
        assert await listed(intake, query, **KIM) == ["a"]
        assert await listed(intake, query, **bank) == ["b"]
        assert await listed(intake, query, **nobody) == []
        for who, number in ((KIM, 1), (bank, 1), (nobody, 0)):
            found = await intake.ask("GET", f"/v1/tickets/count?{query}", **who)
            assert found["count"] == number
    assert await listed(intake, "product=shop", **bank) == []
    assert await listed(intake, "submitter=lee@b.c", **KIM) == []
    for query in ("assignee=ana@example.com", "watcher=ana@example.com"):
        await intake.ask("GET", f"/v1/tickets?{query}", status=403, **KIM)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("status=lost", "status.0"),
        ("created_from=yesterday", "created_from"),
        ("created_from=2026-01-01T00:00:00", "created_from"),
        ("rating_from=6", "rating_from"),
        ("rating_from=4&rating_to=2", "rating_to"),
        ("custom=plan", "custom.0"),
        ("submitter=kim", "submitter.0"),
        ("sort=luck", "sort"),
        ("limit=0", "limit"),
        ("view=1", "view"),
        ("tag=", "tag.0"),
    ],
)
async def test_a_wrong_filter_is_named(intake: Any, query: str, field: str) -> None:
    """422 with the field, instead of a list of something else."""
    problem = await intake.ask("GET", f"/v1/tickets?{query}", status=422)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_counts_are_exact_up_to_ten_thousand(intake: Any) -> None:
    """And `10000+` beyond; the count of one product stays exact."""
    async with intake.tested.rt.database.engine.begin() as connection:
        await connection.execute(
            text(
                """
                INSERT INTO ticket_list SELECT uuidv7(), 'closed',
                    CASE WHEN i <= 10000 THEN 'shop' ELSE 'bank' END, 2, NULL,
                    now(), now(), now(), now(), 'infinity', ARRAY[CAST(:facet AS bigint)]
                FROM generate_series(1, 10001) AS i
                """
            ),
            {"facet": facet("type", "order")},
        )
    assert await intake.ask("GET", "/v1/tickets/count?type=order") == {
        "count": 10000, "exact": False, "text": "10000+",
    }  # fmt: skip
    assert await intake.ask("GET", "/v1/tickets/count?product=shop") == {
        "count": 10000, "exact": True, "text": "10000",
    }  # fmt: skip
