"""Statistics over a real database: exact before folding, after it, and after a rebuild."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from waybill.common.v1 import actor_pb2
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1 import events_pb2 as notify
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.times import timestamp
from waybill_intake import counting

ENDPOINTS = ("volume", "efficiency", "agents", "issues", "diagnosis")
ANA = actor_pb2.Agent(id="a1", name="Ana", email="ana@example.com")
BEN = actor_pb2.Agent(id="b1", name="Ben", email="ben@example.com")
KIM = {"role": "submitter", "sub": "kim@example.com"}


def assigned(ticket: Any, agent: Any = ANA, team: str = "support") -> events_pb2.TicketAssigned:
    return events_pb2.TicketAssigned(
        assignment=assignment_pb2.Assignment(
            ticket_id=ticket["id"],
            state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
            agent=agent,
            team=team,
        )
    )


def clock(ticket: Any, state: Any, due: Any, kind: Any = words.TARGET_KIND_RESPONSE) -> Any:
    target = clock_pb2.Target(kind=kind, state=state, due_at=timestamp(due))
    return clock_pb2.Clock(ticket_id=ticket["id"], targets=[target])


async def ask(intake: Any, name: str, query: str = "", **options: Any) -> Any:
    found: Any = await intake.ask("GET", f"/v1/stats/{name}?{query}", **options)
    return found


async def everything(intake: Any) -> list[Any]:
    """All that can be asked, filtered and in an odd zone too."""
    queries = ("", "type=order", "team=support", "product=shop&timezone=Asia/Kathmandu")
    odd = "from=2026-01-05T09:15:00Z&to=2026-01-06T10:45:00Z&timezone=Asia/Kolkata"
    return [await ask(intake, name, query) for name in ENDPOINTS for query in (*queries, odd)]


async def rolled_up(intake: Any) -> set[Any]:
    """The roll-ups without those that have become nothing."""
    async with intake.tested.rt.database.reading() as connection:
        rows = await connection.execute(text("SELECT * FROM statistics WHERE 0 <> ANY(v)"))
        return {tuple(tuple(cell) if isinstance(cell, list) else cell for cell in r) for r in rows}


async def some_life(intake: Any, event: Any) -> dict[str, Any]:
    """Three tickets: one resolved, rated after a reopening; one like it; one that waits."""
    pass_by = intake.tested.clock.advance
    one = await intake.open(type="order", tags=["late"], priority="urgent")
    path = f"/v1/tickets/{one['id']}"
    start = intake.tested.clock.now()
    await intake.hear(event(one, assigned(one), 1))
    pass_by(timedelta(minutes=10))
    await intake.ask("POST", f"{path}/messages", {"body": "Here."}, status=201)
    await intake.hear(event(one, assigned(one, BEN), 2))
    await intake.move(one, "resolved")
    pass_by(timedelta(hours=1))
    await intake.ask("POST", f"{path}/messages", {"body": "No."}, status=201, **KIM)
    pass_by(timedelta(hours=1))
    await intake.move(one, "resolved")
    await intake.ask("POST", f"{path}/transitions", {"to": "closed"}, **KIM)
    await intake.ask("POST", f"{path}/rating", {"score": 2}, status=201, **KIM)
    due, breached = start + timedelta(hours=1), words.TARGET_STATE_BREACHED
    await intake.hear(
        event(one, sla.TargetBreached(clock=clock(one, breached, due)), 1),
        event(one, sla.TicketEscalated(clock=clock(one, breached, due)), 2),
    )
    two = await intake.open(type="technical", tags=["late", "app"])
    await intake.hear(event(two, assigned(two, team="tech_team"), 1))
    like = SimilarTicket(ticket_id=one["id"], same_submitter=True)
    none = delivery_pb2.Delivery(
        ticket_id=two["id"], knowledge_answer=delivery_pb2.KNOWLEDGE_ANSWER_NONE
    )
    await intake.hear(
        event(two, kb.DuplicateSuspected(ticket_id=two["id"], candidates=[like])),
        event(two, notify.NotificationDelivered(delivery=none)),
    )
    three = await intake.open(type="order")
    pass_by(timedelta(minutes=1))
    return {"one": one, "two": two, "three": three}


async def test_the_numbers_tell_what_happened(intake: Any, event: Any) -> None:
    """Each endpoint, of a small history that can be counted by hand."""
    tickets = await some_life(intake, event)
    volume = (await ask(intake, "volume", "interval=hour"))["volume"]
    assert {name: volume[name] for name in ("total", "resolved", "closed", "reopened")} == {
        "total": 3,
        "resolved": 2,
        "closed": 1,
        "reopened": 1,
    }
    assert (volume["backlog"], volume["now"]["pending"], volume["now"]["closed"]) == (2, 1, 1)
    backlogs = [part["backlog"] for part in volume["intervals"]]
    assert backlogs[-3:] == [0, 1, 2]
    efficiency = (await ask(intake, "efficiency"))["efficiency"]
    assert efficiency["first_response"] == {
        "count": 1,
        "average_seconds": 600,
        "median_seconds": pytest.approx(600, rel=0.05),
        "p90_seconds": pytest.approx(600, rel=0.05),
    }
    assert (efficiency["resolution_rate"], efficiency["reopen_rate"]) == (0.3333, 1.0)
    assert efficiency["response_timeouts"] == {"due": 1, "breached": 1, "rate": 1.0}
    agents = (await ask(intake, "agents"))["agents"]
    ana, ben = agents
    assert (ana["name"], ana["handled"], ana["average_response_seconds"]) == ("Ana", 2, 600)
    assert ana["ratings"] + ben["ratings"] == 1
    issues = (await ask(intake, "issues"))["issues"]
    assert [(one["name"], one["tickets"]) for one in issues["types"]] == [
        ("order", 2),
        ("technical", 1),
    ]
    assert issues["types"][0]["escalated"] == 1
    assert [(one["name"], one["tickets"]) for one in issues["tags"]] == [("late", 2), ("app", 1)]
    assert issues["tags"][1]["knowledge_unanswered"] == 1
    (cluster,) = issues["clusters"]
    assert (cluster["number"], cluster["repeats"]) == (tickets["one"]["number"], 1)
    causes = (await ask(intake, "diagnosis"))["diagnosis"]["causes"]
    bounced = next(one for one in causes if one["cause"] == "assignments_bounced")
    assert bounced["evidence"] == {"assignments": 3, "bounced": 1}
    assert [one["score"] for one in causes] == sorted((o["score"] for o in causes), reverse=True)


async def test_folding_and_a_rebuild_change_no_number(intake: Any, event: Any) -> None:
    """What is read is the same to the digit: unfolded, folded, half of it, and rebuilt."""
    database = intake.tested.rt.database
    await some_life(intake, event)
    unfolded = await everything(intake)
    assert await counting.fold(database) > 0
    assert await everything(intake) == unfolded
    rolled = await rolled_up(intake)
    assert await counting.rebuild(database) == 3
    assert await rolled_up(intake) == rolled
    assert await everything(intake) == unfolded
    await intake.open(type="order", tags=["late"])
    before = await everything(intake)
    assert before != unfolded
    await counting.rebuild(database)
    assert await everything(intake) == before
    assert await intake.count("statistics_deltas") == 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_number_hangs_on_when_it_was_folded(intake: Any, event: Any, seed: int) -> None:
    """Anything at random, folded now and then: a rebuild and a recount find the same."""
    chance, database = random.Random(seed), intake.tested.rt.database
    tickets: list[Any] = []
    told: list[Any] = []
    for _ in range(90):
        intake.tested.clock.advance(timedelta(minutes=chance.choice((0, 5, 50, 500))))
        await something(intake, event, chance, tickets, told)
        if chance.random() < 0.1:
            await counting.fold(database)
    before = await everything(intake)
    await counting.fold(database)
    assert await everything(intake) == before
    rolled = await rolled_up(intake)
    async with database.unit_of_work() as uow:
        await uow.execute(
            text("UPDATE ticket_statistics SET counted = '{}', product = '', team = ''")
        )
    await counting.rebuild(database)
    assert await rolled_up(intake) == rolled
    assert await everything(intake) == before


async def something(
    intake: Any, event: Any, chance: random.Random, tickets: list[Any], told: list[Any]
) -> None:
    """One thing that people, products or other services may do; a refusal is fine."""
    what = chance.choice(("open", "say", "say", "move", "edit", "merge", "rate", "tell", "again"))
    if what == "open" or len(tickets) < 2:
        kind = chance.choice(("order", "technical", "complaint"))
        tags = chance.sample(["late", "app", "card"], chance.randint(0, 2))
        tickets.append(await intake.open(type=kind, tags=tags))
        return
    ticket, other = chance.sample(tickets, 2)
    path = f"/v1/tickets/{ticket['id']}"
    who = chance.choice((intake.token(), intake.token(**KIM)))
    ask: Any = intake.tested.client.request
    match what:
        case "say":
            await ask("POST", f"{path}/messages", json={"body": "Hello."}, headers=who)
        case "move":
            to = chance.choice(("in_progress", "awaiting_user", "resolved", "resolved", "closed"))
            await ask("POST", f"{path}/transitions", json={"to": to}, headers=who)
        case "edit":
            fields = {"type": chance.choice(("order", "complaint")), "tags": ["late"]}
            fields |= {"priority": chance.choice(("low", "urgent"))}
            await ask("PATCH", path, json=fields, headers=who | {"If-Match": "*"})
        case "merge":
            await ask("POST", f"{path}/merge", json={"into": other["id"]}, headers=who)
        case "rate":
            score = {"score": chance.randint(1, 5)}
            await ask("POST", f"{path}/rating", json=score, headers=intake.token(**KIM))
        case "tell":
            told.append(news(intake, event, chance, ticket))
            await intake.hear(told[-1])
        case "again" if told:
            await intake.hear(*chance.sample(told, min(3, len(told))))


def news(intake: Any, event: Any, chance: random.Random, ticket: Any) -> Any:
    """What another service may say, with a number that may be late."""
    sequence = chance.randint(1, 9)
    due = intake.tested.clock.now() + timedelta(hours=chance.choice((-1, 1)))
    state = chance.choice((words.TARGET_STATE_MET, words.TARGET_STATE_BREACHED))
    kind = chance.choice((words.TARGET_KIND_RESPONSE, words.TARGET_KIND_RESOLUTION))
    found = clock(ticket, state, due, kind)
    message = chance.choice(
        (
            assigned(ticket, chance.choice((ANA, BEN)), chance.choice(("support", "tech_team"))),
            events_pb2.TicketReleased(
                assignment=assignment_pb2.Assignment(ticket_id=ticket["id"], team="support"),
                previous_agent=ANA,
            ),
            sla.TargetMet(clock=found),
            sla.TicketEscalated(clock=found),
        )
    )
    return event(ticket, message, sequence)


async def test_an_admin_can_have_all_counted_anew(intake: Any, event: Any) -> None:
    """Numbers that were spoilt are right again once the chore has run."""
    await some_life(intake, event)
    right = await everything(intake)
    async with intake.tested.rt.database.unit_of_work() as uow:
        await uow.execute(text("DELETE FROM ticket_statistics WHERE type = 'technical'"))
        await uow.execute(text("UPDATE statistics_deltas SET v = ARRAY[7]"))
    await intake.ask("POST", "/v1/stats/rebuild", role="lead", status=403)
    asked = await intake.ask("POST", "/v1/stats/rebuild", role="admin", status=202)
    assert asked["asked_at"]
    assert asked["rebuilt_at"] is None
    await counting.tend(intake.tested.rt.database)
    again = await ask(intake, "volume")
    assert again == right[0]
    asked = await intake.ask("POST", "/v1/stats/rebuild", role="admin", status=202)
    assert asked["rebuilt_at"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-06T00:00:00Z&to=2026-01-05T00:00:00Z", "from"),
        ("from=1969-01-06T00:00:00Z", "from"),
        ("to=2200-01-06T00:00:00Z", "to"),
        ("from=yesterday", "from"),
        ("timezone=Mars/Olympus", "timezone"),
        ("timezone=../../etc/passwd", "timezone"),
        ("from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&interval=hour", "interval"),
        ("interval=minute", "interval"),
        ("type=none", "type"),
        ("team=Support!", "team"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    intake: Any, query: str, field: str
) -> None:
    """422, naming the field."""
    problem = await ask(intake, "volume", query, status=422)
    assert field in problem["errors"][0]["field"]


async def test_nobody_sees_numbers_of_what_is_not_theirs(intake: Any, event: Any) -> None:
    """Another product is not there; without a filter one's own are counted."""
    await some_life(intake, event)
    for name in ENDPOINTS:
        elsewhere = {"products": ("news",)}
        await ask(intake, name, "product=shop", status=404, **elsewhere)
        await ask(intake, name, "product=nowhere", status=404, role="admin", products=("*",))
        await ask(intake, name, status=403, **KIM)
    volume = (await ask(intake, "volume", products=("news",)))["volume"]
    assert volume["total"] == volume["now"]["tickets"] == volume["backlog"] == 0
    assert (await ask(intake, "volume", products=("*",)))["volume"]["total"] == 3
