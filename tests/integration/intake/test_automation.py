"""What intake does by itself, and that whoever acts first comes first."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill.common.v1 import actor_pb2
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.causes import request_cause
from waybill_intake import usecases
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.ticket import Actor
from waybill_intake.domain.words import ActorKind, Status

ANA = actor_pb2.Agent(id="a1", name="Ana", email="Ana@example.com")
BEN = actor_pb2.Agent(id="b1", name="Ben", email="ben@example.com")
KIM = {"role": "submitter", "sub": "kim@example.com"}
REMIND, CLOSE = words.FOLLOW_UP_KIND_REMINDER_1, words.FOLLOW_UP_KIND_AUTO_CLOSE_AWAITING

Make = Callable[..., Any]


async def told_since(intake: Any, ticket: Any, version: int) -> list[str]:
    """What happened to the ticket after a version of it."""
    return [one.name for one in await intake.told(ticket) if one.message.ticket.version > version]


# Follow-ups


@pytest.fixture
def due(event: Make) -> Make:
    """Makes the follow-up of an episode."""

    def make(ticket: Any, kind: int, episode: int) -> Any:
        return event(ticket, sla.FollowUpDue(kind=kind, episode=episode))

    return make


async def waiting_ticket(intake: Any) -> tuple[Any, int]:
    """A ticket that waits for its submitter, and since which episode."""
    ticket = await intake.move(await intake.open(), "in_progress", "awaiting_user")
    return ticket, (await intake.told(ticket))[-1].message.ticket.episode


async def test_an_answer_that_comes_first_wins(intake: Any, due: Make) -> None:
    """Also when the ticket waits again since: that is another episode."""
    ticket, episode = await waiting_ticket(intake)
    await intake.say(ticket, **KIM)
    ticket = await intake.move(ticket, "awaiting_user")
    await intake.hear(due(ticket, REMIND, episode), due(ticket, CLOSE, episode))
    assert await told_since(intake, ticket, ticket["version"]) == []
    assert await intake.last_line(ticket, sla.FollowUpDue) == (
        f"auto close awaiting in episode {episode}: overtaken"
    )


@pytest.mark.parametrize("batches", [1, 4])
async def test_a_note_changes_nothing_and_each_follow_up_acts_once(
    batches: int, intake: Any, due: Make
) -> None:
    """In one batch or in several, twice each, and again after the closing."""
    ticket, episode = await waiting_ticket(intake)
    await intake.say(ticket, "note")
    version = (await intake.read(ticket))["version"]
    remind, close = due(ticket, REMIND, episode), due(ticket, CLOSE, episode)
    events = [remind, remind, close, close, remind]
    for batch in _batched(events, batches):
        await intake.hear(*batch)
    assert await told_since(intake, ticket, version) == ["ReminderPosted", "TicketStatusChanged"]
    assert (await intake.read(ticket))["close_reason"] == "auto_closed"


def _batched(events: list[Any], count: int) -> list[list[Any]]:
    size = -(-len(events) // count)
    return [events[start : start + size] for start in range(0, len(events), size)]


async def test_an_answer_that_is_being_written_wins(intake: Any, due: Make) -> None:
    """The closing waits for the ticket, and then sees what was said."""
    ticket, episode = await waiting_ticket(intake)
    person = Actor(ActorKind.AGENT, "ana@example.com")
    async with intake.tested.rt.database.unit_of_work() as uow:
        docket = Docket(uow)
        await docket.take([UUID(ticket["id"])])
        held = docket.get(UUID(ticket["id"]))
        usecases.change_status(
            docket, held, Origin(person, request_cause("POST")), Status.IN_PROGRESS
        )
        await docket.write()
        closing = asyncio.create_task(intake.hear(due(ticket, CLOSE, episode)))
        await intake.somebody_waits()
    await closing
    assert (await intake.read(ticket))["status"] == "in_progress"


# Escalations


def released(ticket: Any, agent: Any) -> Any:
    """Routing's word that an escalation took a ticket from an agent."""
    return routing.TicketReleased(
        assignment=assignment_pb2.Assignment(
            ticket_id=ticket["id"], state=assignment_pb2.ASSIGNMENT_STATE_QUEUED, team="tech_team"
        ),
        previous_agent=agent,
        reason=routing.RELEASE_REASON_ESCALATED,
    )


def escalated() -> Any:
    """The word of sla that a ticket is to go to other people."""
    return sla.TicketEscalated(level=words.ESCALATION_LEVEL_TECH_TEAM, teams=["tech_team"])


async def watchers(intake: Any, ticket: Any) -> list[str]:
    """Who watches a ticket."""
    return [one["email"] for one in (await intake.read(ticket))["watchers"]]


@pytest.mark.parametrize("batches", [1, 4])
@pytest.mark.parametrize("first", ["escalation", "release", "new agent"])
async def test_whoever_had_the_ticket_watches_it_once(
    first: str, batches: int, intake: Any, event: Make, has: Make
) -> None:
    """Whether sla or routing is read first, in one batch or in several, and twice each."""
    ticket = await intake.open()
    await intake.hear(event(ticket, has(ticket, ANA), 1))
    intake.tested.clock.advance(timedelta(minutes=5))
    cause = event(ticket, escalated())
    intake.tested.clock.advance(timedelta(seconds=1))
    gone, taken = event(ticket, released(ticket, ANA), 2), event(ticket, has(ticket, BEN), 3)
    orders = {
        "escalation": [cause, gone, taken],
        "release": [gone, cause, taken],
        "new agent": [gone, taken, cause],
    }
    for batch in _batched(orders[first] * 2, batches):
        await intake.hear(*batch)
    assert await watchers(intake, ticket) == ["ana@example.com"]
    assert (await intake.names(ticket)).count("TicketEdited") == 1
    line = await intake.last_line(ticket, type(escalated()))
    assert ("Ana watches it from now on" in line) == (first == "escalation")


@pytest.mark.parametrize(
    ("between", "watched"),
    [("note", True), ("reply", True), ("resolved", False), ("closed", False), ("reopened", False)],
)
async def test_an_escalation_of_what_is_solved_meanwhile_changes_nothing(
    between: str, watched: bool, intake: Any, event: Make, has: Make
) -> None:
    """Nor one from before a reopening; a note or an answer does not solve anything."""
    ticket = await intake.open()
    await intake.hear(event(ticket, has(ticket, ANA)))
    cause = event(ticket, escalated())
    intake.tested.clock.advance(timedelta(seconds=1))
    match between:
        case "resolved" | "closed":
            await intake.move(ticket, between)
        case "reopened":
            await intake.move(ticket, "resolved", "in_progress")
        case _:
            await intake.say(ticket, between)
    await intake.hear(cause, event(ticket, released(ticket, ANA), 2, time=cause.time))
    assert await watchers(intake, ticket) == (["ana@example.com"] if watched else [])


async def test_an_escalation_of_what_nobody_has_is_nobody_s(intake: Any, event: Make) -> None:
    """There is nobody to keep informed."""
    ticket = await intake.open()
    await intake.hear(event(ticket, escalated()))
    assert await watchers(intake, ticket) == []
    assert await intake.names(ticket) == ["TicketOpened"]


# Triage


@pytest.fixture
def suggested(event: Make) -> Make:
    """Makes a suggestion of a priority, for a version of the ticket."""

    def make(ticket: Any, priority: int, version: int = 1, sequence: int = 1) -> Any:
        suggestions = [routing.TriageSuggestion(priority=priority, confidence=1)]
        message = routing.TriageSuggested(
            ticket_id=ticket["id"], ticket_version=version, suggestions=suggestions
        )
        return event(ticket, message, sequence)

    return make


async def priority(intake: Any, ticket: Any) -> str:
    """The ticket's priority."""
    found: str = (await intake.read(ticket))["priority"]
    return found


async def test_triage_never_overrules_a_person(intake: Any, suggested: Make) -> None:
    """Who has set the priority, before or after, keeps it; a note changes nothing."""
    ticket = await intake.open()
    await intake.say(ticket, "note")
    await intake.hear(suggested(ticket, words.PRIORITY_URGENT))
    await intake.hear(suggested(ticket, words.PRIORITY_URGENT))
    assert await priority(intake, ticket) == "urgent"
    assert (await intake.names(ticket)).count("TicketEdited") == 1
    await intake.edit(ticket, priority="low")
    await intake.hear(suggested(ticket, words.PRIORITY_HIGH, 4, 2))
    assert await priority(intake, ticket) == "low"


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_suggestion_for_an_older_version_comes_too_late(
    batches: int, intake: Any, suggested: Make
) -> None:
    """What was suggested of the newer text stands, also within a batch; a closed ticket as well."""
    ticket = await intake.open()
    newer = suggested(ticket, words.PRIORITY_HIGH, 2, 2)
    older = suggested(ticket, words.PRIORITY_URGENT, 1, 1)
    for batch in _batched([newer, older], batches):
        await intake.hear(*batch)
    assert await priority(intake, ticket) == "high"
    await intake.move(ticket, "closed")
    await intake.hear(suggested(ticket, words.PRIORITY_URGENT, 9, 9))
    assert await priority(intake, ticket) == "high"
    assert "the ticket is closed" in await intake.last_line(ticket, routing.TriageSuggested)
