"""What kb keeps of tickets, and what it tells of those that say the same."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from waybill.intake.v1.events_pb2 import MessagePosted, PersonErased, TicketEdited
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import Event
from waybill_chassis.testing.services import TestedService
from waybill_chassis.testing.tokens import Mint
from waybill_kb.consumers import handle
from waybill_kb.settings import Settings

Make = Callable[..., Event[Any]]
Emitted = Callable[[], Awaitable[list[tuple[str, str, Any]]]]


async def hear(kb: TestedService[Settings], *events: Event[Any]) -> None:
    async with kb.rt.database.unit_of_work() as uow:
        await handle(uow, events, kb.rt.settings.windows())


async def tickets(kb: TestedService[Settings]) -> list[Any]:
    async with kb.rt.database.reading() as connection:
        found = await connection.execute(
            text("SELECT *, length(words) AS lexemes FROM tickets ORDER BY created_at, id")
        )
        return list(found)


async def test_a_duplicate_is_told_of_the_younger_ticket(
    kb: TestedService[Settings], event: Make, emitted: Emitted, clock: ManualClock
) -> None:
    """With the older one as its candidate and the opening as its cause."""
    first = event(at=clock.now())
    second = event(at=clock.now() + timedelta(hours=1), title="MY CARD  is lost!")
    others = [
        event(at=clock.now(), submitter="s-2"),
        event(at=clock.now(), product="other"),
        event(at=clock.now(), external_ref="case-1"),
        event(at=clock.now(), submitter=""),
        event(at=clock.now(), title="?", description="!"),
    ]
    await hear(kb, first, second, *others)
    ((subject, told),) = [
        (subject, told) for name, subject, told in await emitted() if name == "DuplicateSuspected"
    ]
    assert subject == second.subject
    assert told.cause.id == second.id
    (candidate,) = told.candidates
    assert candidate.ticket_id == first.subject
    assert candidate.same_text
    assert candidate.same_submitter


async def test_twins_that_are_read_at_once_find_each_other(
    kb: TestedService[Settings], event: Make, emitted: Emitted, clock: ManualClock
) -> None:
    """Two consumers that each read one of them cannot both miss the other."""
    for round in range(5):
        twins = [event(at=clock.now(), title=f"round {round}") for _ in range(2)]
        await asyncio.gather(*(hear(kb, twin) for twin in twins))
    assert len(await emitted()) == 5


async def test_the_third_time_is_told_as_a_repetition(
    kb: TestedService[Settings], event: Make, emitted: Emitted, clock: ManualClock
) -> None:
    """With the earlier tickets, oldest first."""
    three = [event(at=clock.now() + timedelta(days=day)) for day in (0, 2, 4)]
    for one in three:
        await hear(kb, one)
    ((name, subject, told),) = await emitted()
    assert (name, subject) == ("IssueRepeated", three[2].subject)
    assert told.count == 3
    assert told.submitter_id == "s-1"
    assert told.window.ToTimedelta() == timedelta(days=7)
    assert [ticket.ticket_id for ticket in told.earlier] == [three[0].subject, three[1].subject]


async def test_any_event_makes_a_ticket_known_and_a_stale_one_changes_nothing(
    kb: TestedService[Settings], event: Make, emitted: Emitted, clock: ManualClock
) -> None:
    """An opening that comes after the ticket's third event finds it known and newer."""
    id = uuid4()
    await hear(kb, event(MessagePosted, id=id, sequence=3, at=clock.now(), title="As edited"))
    await hear(kb, event(id=id, sequence=1, at=clock.now()))
    (ticket,) = await tickets(kb)
    assert ticket.sequence == 3
    await hear(kb, event(TicketEdited, id=id, sequence=4, at=clock.now(), title="Other words here"))
    (edited,) = await tickets(kb)
    assert edited.text_hash != ticket.text_hash
    assert edited.words != ticket.words
    assert await emitted() == []


async def test_an_erased_person_s_words_are_gone_for_good(
    kb: TestedService[Settings], event: Make, clock: ManualClock
) -> None:
    """Also those of a ticket whose opening comes after the erasure."""
    known, late = event(at=clock.now()), event(at=clock.now())
    erased = event(
        at=clock.now(),
        message=PersonErased(
            submitter_id="s-1", email="x@example.com", ticket_ids=[known.subject, late.subject]
        ),
    )
    await hear(kb, known)
    await hear(kb, erased)
    await hear(kb, late, erased)
    for ticket in await tickets(kb):
        assert ticket.erased
        assert (ticket.submitter_id, ticket.text_hash, ticket.lexemes) == ("", None, 0)


async def test_agents_see_similar_tickets_of_their_product(
    kb: TestedService[Settings], event: Make, clock: ManualClock, mint: Mint
) -> None:
    """The most similar first, never the one asked about; submitters see none."""
    asked = event(at=clock.now())
    same = event(at=clock.now(), submitter="s-2")
    near = event(at=clock.now(), description="I lost my new phone and the card in it")
    far = event(at=clock.now(), title="Exchange rate", description="The rate was wrong abroad")
    other = event(at=clock.now(), product="other")
    await hear(kb, asked, same, near, far, other)
    path = f"/v1/tickets/{asked.subject}/similar"
    agent = mint.headers("agent", products=("demo",))
    answer = await kb.client.get(path, headers=agent)
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["ticket_id"] for item in items] == [same.subject, near.subject]
    assert items[0]["similarity"] == 1
    assert items[0]["same_text"]
    assert not items[0]["same_submitter"]
    assert 0 < items[1]["similarity"] < 1
    elsewhere = mint.headers("agent", products=("other",))
    assert (await kb.client.get(path, headers=elsewhere)).status_code == 404
    submitter = mint.headers("submitter")
    assert (await kb.client.get(path, headers=submitter)).status_code == 403
