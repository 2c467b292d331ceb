"""Calendars: written over REST, counted by, and what an edit does to clocks that run."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from waybill_chassis.database import UnitOfWork
from waybill_sla import redating, store
from waybill_sla.domain import facts, timing
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Agreement, Rules
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.words import Status

PATH = "/v1/sla/calendars"
DAY = [{"from": "09:00", "to": "17:00"}]
WORKDAYS = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), DAY)
OFFICE: dict[str, Any] = {"time_zone": "Europe/Berlin", "hours": WORKDAYS}


def of(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return document | changes


@pytest.fixture
def admin(sla: Any) -> dict[str, str]:
    headers: dict[str, str] = sla.mint.headers("admin", products=("*",))
    return headers


@pytest.fixture
def agent(sla: Any) -> dict[str, str]:
    headers: dict[str, str] = sla.mint.headers("agent", products=("demo",))
    return headers


@pytest.fixture
def count_by(sla: Any) -> Callable[[str], Any]:
    async def bind(name: str) -> None:
        """Let the default policy count by this calendar."""
        async with sla.database.unit_of_work() as uow:
            await uow.execute(text("UPDATE policy_versions SET calendar = :name"), {"name": name})

    return bind


async def agreed(uow: UnitOfWork) -> Agreement:
    return await store.agreement(uow.connection, Rules())


async def clock_of(sla: Any, story: Any) -> Clock:
    async with sla.database.reading() as connection:
        return (await store.clocks(connection, [UUID(story.id)]))[UUID(story.id)]


async def test_a_calendar_is_written_read_changed_and_taken_away(
    sla: Any, admin: dict[str, str], agent: dict[str, str]
) -> None:
    """With an ETag at each step; agents read, only admins write."""
    body = of(
        OFFICE,
        holidays={"country": "DE", "subdivision": "BY", "also": ["2026-12-24"]},
        exceptions=[{"date": "2026-12-31", "hours": [{"from": "09:00", "to": "12:00"}]}],
    )
    refused = await sla.client.post(PATH, json=body | {"name": "office"}, headers=agent)
    assert refused.status_code == 403
    made = await sla.client.post(PATH, json=body | {"name": "office"}, headers=admin)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{PATH}/office"
    again = await sla.client.post(PATH, json=body | {"name": "office"}, headers=admin)
    assert again.status_code == 409
    read = await sla.client.get(f"{PATH}/office", headers=agent)
    assert read.json() == made.json()
    assert {key: read.json()[key] for key in body} == body
    named = await sla.client.get(PATH, headers=agent)
    assert [one["name"] for one in named.json()["items"]] == ["always", "office"]
    etag = {"If-Match": read.headers["etag"]}
    changed = await sla.client.put(f"{PATH}/office", json=OFFICE, headers=admin | etag)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    stale = await sla.client.put(f"{PATH}/office", json=body, headers=admin | etag)
    assert stale.status_code == 412
    same = await sla.client.put(
        f"{PATH}/office", json=OFFICE, headers=admin | {"If-Match": changed.headers["etag"]}
    )
    assert same.json()["version"] == 2
    gone = await sla.client.delete(f"{PATH}/office", headers=admin | {"If-Match": '"2"'})
    assert gone.status_code == 204
    assert (await sla.client.get(f"{PATH}/office", headers=agent)).status_code == 404
    back = await sla.client.post(PATH, json=body | {"name": "office"}, headers=admin)
    assert (back.json()["id"], back.json()["version"]) == (made.json()["id"], 3)


async def test_looking_at_what_would_be_changes_nothing(sla: Any, admin: dict[str, str]) -> None:
    """With `dry_run` the answer is the same, and nothing is there afterwards."""
    asked = await sla.client.post(
        f"{PATH}?dry_run=true", json=OFFICE | {"name": "office"}, headers=admin
    )
    assert asked.status_code == 201
    assert (await sla.client.get(f"{PATH}/office", headers=admin)).status_code == 404


async def test_the_preview_shows_the_windows(
    sla: Any, admin: dict[str, str], agent: dict[str, str]
) -> None:
    """Holidays of the country left out, a day's own hours instead of the usual ones."""
    body = of(
        OFFICE,
        name="office",
        holidays={"country": "DE", "except": ["2026-12-26"]},
        exceptions=[{"date": "2026-12-24", "hours": [{"from": "09:00", "to": "12:00"}]}],
    )
    assert (await sla.client.post(PATH, json=body, headers=admin)).status_code == 201
    span = {"from": "2026-12-24T00:00:00Z", "to": "2026-12-29T00:00:00+01:00"}
    shown = await sla.client.get(f"{PATH}/office/preview", params=span, headers=agent)
    assert shown.json() == {
        "windows": [
            {"opens_at": "2026-12-24T08:00:00Z", "closes_at": "2026-12-24T11:00:00Z"},
            {"opens_at": "2026-12-28T08:00:00Z", "closes_at": "2026-12-28T16:00:00Z"},
        ],
        "working_time": "PT11H",
    }


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"time_zone": "Europe/Bonn"}, "time_zone", "IANA"),
        ({"hours": {}}, "hours", "must have a window on some day of the week"),
        ({"hours": {"monday": []}}, "hours", "must have a window on some day of the week"),
        (
            {"hours": {"monday": [*DAY, {"from": "16:00", "to": "18:00"}]}},
            "hours.monday",
            "09:00-17:00 and 16:00-18:00 overlap",
        ),
        (
            {"hours": {"monday": [{"from": "22:00", "to": "06:00"}]}},
            "hours.monday.0",
            "must end after it begins",
        ),
        ({"hours": {"monday": [{"from": "9:00", "to": "17:00"}]}}, "hours.monday.0.from", "09:00"),
        ({"hours": {"mon": DAY}}, "hours.mon", "monday"),
        ({"holidays": {"country": "XX"}}, "holidays.country", "such as DE"),
        ({"holidays": {"country": "DE", "subdivision": "QQ"}}, "holidays.subdivision", "BY"),
        ({"holidays": {"subdivision": "BY"}}, "holidays.country", "is missing"),
        (
            {"exceptions": [{"date": "2026-12-24", "hours": []}] * 2},
            "exceptions.1.date",
            "comes twice",
        ),
        ({"hour": {}}, "hour", "not a known field"),
    ],
)
async def test_what_cannot_be_a_calendar_is_refused_with_the_place_and_the_reason(
    sla: Any, admin: dict[str, str], changes: dict[str, Any], field: str, says: str
) -> None:
    """A 422 that names the field; nothing is kept."""
    body = of(OFFICE, name="office", **changes)
    refused = await sla.client.post(PATH, json=body, headers=admin)
    assert refused.status_code == 422, refused.text
    fields = [error["field"].removesuffix(".[key]") for error in refused.json()["errors"]]
    assert field in fields, refused.json()
    assert any(says in error["message"] for error in refused.json()["errors"]), refused.json()
    assert (await sla.client.get(f"{PATH}/office", headers=admin)).status_code == 404


async def test_a_calendar_in_use_and_the_built_in_one_stay(
    sla: Any, admin: dict[str, str], count_by: Any
) -> None:
    """A 409 names the policies."""
    await sla.client.post(PATH, json=OFFICE | {"name": "office"}, headers=admin)
    await count_by("office")
    used = await sla.client.delete(f"{PATH}/office", headers=admin | {"If-Match": "*"})
    assert (used.status_code, used.json()["policies"]) == (409, ["default"])
    for answer in (
        await sla.client.delete(f"{PATH}/always", headers=admin | {"If-Match": "*"}),
        await sla.client.put(f"{PATH}/always", json=OFFICE, headers=admin | {"If-Match": "*"}),
    ):
        assert answer.status_code == 409


async def test_the_ledger_shows_the_hours_outside_and_adds_up(
    sla: Any, admin: dict[str, str], count_by: Any, agent: dict[str, str]
) -> None:
    """Lines without gaps; what ran is what has elapsed; due where the calendar says."""
    await sla.client.post(PATH, json=OFFICE | {"name": "office"}, headers=admin)
    await count_by("office")
    sla.clock.set(datetime(2026, 1, 9, 14, tzinfo=UTC))
    story = sla.ticket("high")
    await sla.hear(story.opened())
    sla.clock.set(datetime(2026, 1, 12, 10, tzinfo=UTC))
    shown = (await sla.client.get(f"/v1/tickets/{story.id}/sla", headers=agent)).json()
    assert [
        (line["kind"], line["started_at"], line["working_time"]) for line in shown["ledger"]
    ] == [
        ("running", "2026-01-09T14:00:00Z", "PT2H"),
        ("outside_hours", "2026-01-09T16:00:00Z", "PT0S"),
        ("running", "2026-01-12T08:00:00Z", "PT2H"),
    ]
    assert shown["ledger"][-1]["ended_at"] is None
    assert shown["resolution"]["elapsed"] == "PT4H"
    assert shown["resolution"]["due_at"] == "2026-01-14T14:00:00Z"


async def test_an_edit_dates_what_is_open_anew_and_leaves_verdicts_alone(
    sla: Any, admin: dict[str, str], count_by: Any, agent: dict[str, str]
) -> None:
    """In batches, with progress, as if the calendar had always been so; nothing is told twice."""
    await sla.client.post(PATH, json=OFFICE | {"name": "office"}, headers=admin)
    await count_by("office")
    sla.clock.set(datetime(2026, 1, 8, 9, tzinfo=UTC))
    stories = [sla.ticket(priority) for priority in ("low", "medium", "high", "urgent") * 2]
    start = sla.clock.now()
    for story in stories:
        await sla.hear(story.opened())
    await sla.hear(stories[0].moved("awaiting_user", start + timedelta(hours=1)))
    await sla.hear(stories[4].moved("closed", start + timedelta(hours=1)))
    await sla.hear(stories[1].replied(start + timedelta(hours=1)))
    await sla.pass_time(hours=3)
    before = [await clock_of(sla, story) for story in stories]
    told = [len(await sla.told(story)) for story in stories]
    wide = of(OFFICE, hours=WORKDAYS | {"saturday": DAY}, holidays={"also": ["2026-01-12"]})
    changed = await sla.client.put(f"{PATH}/office", json=wide, headers=admin | {"If-Match": '"1"'})
    assert changed.json()["redating"] == 7
    async with sla.database.unit_of_work() as uow:
        assert await redating.step(uow, agreed, most=3)
    progress = (await sla.client.get("/v1/sla/redating", headers=agent)).json()["items"][0]
    assert (progress["calendar"], progress["done"], progress["total"]) == ("office", 3, 7)
    assert progress["ended_at"] is None
    await asyncio.gather(
        redating.work(sla.database, agreed, batch=3), redating.work(sla.database, agreed, batch=1)
    )
    progress = (await sla.client.get("/v1/sla/redating", headers=agent)).json()["items"][0]
    assert (progress["done"], progress["ended_at"] is None) == (7, False)
    async with sla.database.unit_of_work() as uow:
        agreement = await agreed(uow)
    moved = 0
    for story, old, count in zip(stories, before, told, strict=True):
        clock = await clock_of(sla, story)
        assert [t for t in clock.targets if not t.open] == [t for t in old.targets if not t.open]
        names = await sla.names(story, since=count)
        assert clock.ticket is not None
        same = [t.due_at for t in clock.targets] == [t.due_at for t in old.targets]
        assert names == ([] if same else ["ClockStarted"])
        if clock.ticket.status is Status.CLOSED:
            assert clock == old
            continue
        moved += not same
        fresh = Clock(clock.ticket_id, wait=clock.wait)
        opened = facts.hear_ticket(
            fresh,
            old_ticket(clock),
            Hearing(clock.started_at, "x", clock.started_at, lambda: UUID(int=1)),
            agreement,
        ).clock
        again = facts.hear_ticket(
            opened,
            clock.ticket,
            Hearing(clock.ticket.status_since, "x", sla.clock.now(), lambda: UUID(int=1)),
            agreement,
            again=True,
        ).clock
        for target in clock.targets:
            if target.open:
                other = again.target(target.kind)
                assert (target.due_at, target.allowed, target.calendar) == (
                    other.due_at,
                    other.allowed,
                    other.calendar,
                )
        rows = {(row.kind, row.name, row.due_at) for row in await sla.timer_rows(story)}
        assert rows == {(a.kind, a.name, a.due_at) for a in timing.wanted(clock, agreement)}
    assert moved == 3
    assert not [t for t in clock.targets if t.open and t.calendar.version != 2]


async def test_a_clock_that_starts_during_the_edit_is_not_forgotten(
    sla: Any, admin: dict[str, str], count_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes by the old calendar finishes before the edit, and is dated anew by it."""
    await sla.client.post(PATH, json=OFFICE | {"name": "office"}, headers=admin)
    await count_by("office")
    sla.clock.set(datetime(2026, 1, 10, 9, tzinfo=UTC))
    story = sla.ticket("high")
    wide = of(OFFICE, hours=WORKDAYS | {"saturday": DAY})
    async with sla.database.unit_of_work() as uow:
        with monkeypatch.context() as here:
            here.setattr(sla.database, "unit_of_work", lambda: nullcontext(uow))
            await sla.hear(story.opened())
        edit = asyncio.create_task(
            sla.client.put(f"{PATH}/office", json=wide, headers=admin | {"If-Match": "*"})
        )
        async with asyncio.timeout(5):
            while not await waiting(sla):
                await asyncio.sleep(0.01)
    changed = await edit
    assert (changed.status_code, changed.json()["redating"]) == (200, 1)
    await redating.work(sla.database, agreed)
    clock = await clock_of(sla, story)
    assert [target.calendar.version for target in clock.targets] == [2, 2]
    assert clock.targets[0].due_at == datetime(2026, 1, 10, 11, tzinfo=UTC)


async def waiting(sla: Any) -> bool:
    """Whether somebody waits to change the calendars."""
    async with sla.database.reading() as connection:
        found = await connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
                " AND relation = CAST('calendars' AS regclass))"
            )
        )
        return bool(found.scalar())


def old_ticket(clock: Clock) -> Any:
    """The ticket as it was opened."""
    assert clock.ticket is not None
    created = clock.ticket.created_at
    return replace(
        clock.ticket, status=Status.PENDING, status_since=created, first_response_at=None
    )
