"""What intake does by itself, and that whoever acts first comes first."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from waybill.common.v1 import actor_pb2
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket
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


async def say(intake: Any, ticket: Any, kind: str = "reply", **who: Any) -> None:
    """Somebody writes to a ticket."""
    path = f"/v1/tickets/{ticket['id']}/messages"
    await intake.ask("POST", path, {"body": "Well", "kind": kind}, status=201, **who)


async def edit(intake: Any, ticket: Any, **fields: Any) -> None:
    """An agent sets fields."""
    headers = intake.token("agent") | {"If-Match": "*"}
    await intake.ask("PATCH", f"/v1/tickets/{ticket['id']}", fields, headers=headers)


async def last_line(intake: Any, ticket: Any, kind: Any) -> str:
    """What the log says of the last event of a kind."""
    name = kind.DESCRIPTOR.name
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log?type={name}")
    line: str = log["items"][-1]["summary"]
    return line


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
    await say(intake, ticket, **KIM)
    ticket = await intake.move(ticket, "awaiting_user")
    await intake.hear(due(ticket, REMIND, episode), due(ticket, CLOSE, episode))
    assert await told_since(intake, ticket, ticket["version"]) == []
    assert await last_line(intake, ticket, sla.FollowUpDue) == (
        f"auto close awaiting in episode {episode}: overtaken"
    )


@pytest.mark.parametrize("batches", [1, 4])
async def test_a_note_changes_nothing_and_each_follow_up_acts_once(
    batches: int, intake: Any, due: Make
) -> None:
    """In one batch or in several, twice each, and again after the closing."""
    ticket, episode = await waiting_ticket(intake)
    await say(intake, ticket, "note")
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
        async with asyncio.timeout(10):
            while not await _somebody_waits(intake):
                await asyncio.sleep(0.01)
    await closing
    assert (await intake.read(ticket))["status"] == "in_progress"


async def _somebody_waits(intake: Any) -> bool:
    async with intake.tested.rt.database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        return bool(rows.scalar())


# Duplicates


@pytest.fixture
def suspected(event: Make) -> Make:
    """Makes the suspicion that a ticket is like older ones."""

    def make(
        ticket: Any, *older: Any, same: bool = True, score: float = 0.9, sequence: int = 1
    ) -> Any:
        candidates = [
            SimilarTicket(
                ticket_id=other["id"],
                number=other["number"],
                same_text=same,
                same_submitter=True,
                similarity=1.0 if same else score,
            )
            for other in older
        ]
        message = kb.DuplicateSuspected(ticket_id=ticket["id"], candidates=candidates)
        return event(ticket, message, sequence)

    return make


async def marks(intake: Any, ticket: Any, **who: Any) -> Any:
    """The numbers of the tickets that it is shown to be like."""
    shown = await intake.ask("GET", f"/v1/tickets/{ticket['id']}", **who)
    found = shown["suspected_duplicates"]
    return None if found is None else [one["number"] for one in found]


@pytest.mark.parametrize(
    ("between", "merged"),
    [("nothing", True), ("note", True), ("assignment", True), ("edit", True),
     ("reply", False), ("message", False), ("question", False), ("solution", False)],
)  # fmt: skip
async def test_only_what_nobody_has_worked_on_in_public_is_merged(
    between: str, merged: bool, intake: Any, event: Make, suspected: Make
) -> None:
    """Whoever has an answer keeps their ticket; it is marked instead."""
    older, ticket = await intake.open(), await intake.open()
    match between:
        case "note":
            await say(intake, ticket, "note")
        case "assignment":
            await intake.hear(event(ticket, held_by(ticket, ANA)))
        case "edit":
            await edit(intake, ticket, tags=["twice"])
        case "reply":
            await say(intake, ticket)
        case "message":
            await say(intake, ticket, **KIM)
        case "question":
            await intake.move(ticket, "in_progress", "awaiting_user")
        case "solution":
            await intake.move(ticket, "resolved")
    await intake.hear(suspected(ticket, older))
    now = await intake.read(ticket)
    assert now["merged_into"] == (older["id"] if merged else None)
    assert await marks(intake, ticket) == ([] if merged else [older["number"]])
    outcome = f"merged into {older['number']}" if merged else "marked"
    assert (await last_line(intake, ticket, kb.DuplicateSuspected)).endswith(f": {outcome}")


async def test_nobody_is_merged_into_what_counts_as_solved(intake: Any, suspected: Make) -> None:
    """Who asks again is not helped by that; among the others the oldest is taken."""
    solved, older, ticket = [await intake.open() for _ in range(3)]
    await intake.move(solved, "resolved")
    await intake.hear(suspected(ticket, solved))
    assert (await intake.read(ticket))["merged_into"] is None
    await intake.hear(suspected(ticket, solved, older, sequence=2))
    assert (await intake.read(ticket))["merged_into"] == older["id"]


async def test_suspicions_of_one_batch_end_in_the_oldest(intake: Any, suspected: Make) -> None:
    """Heard together, twice and out of order."""
    one, two, three = [await intake.open() for _ in range(3)]
    events = [suspected(three, one, two), suspected(two, one)]
    await intake.hear(*events, *events)
    for ticket in (two, three):
        assert (await intake.read(ticket))["merged_into"] == one["id"]
    assert (await intake.names(one)).count("TicketMerged") == 2


async def test_what_is_merely_similar_is_marked_until_it_is_decided(
    intake: Any, suspected: Make
) -> None:
    """No version, no event, nothing for submitters; dismissed once, it stays dismissed."""
    older, other, ticket = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(ticket, older, other, same=False, sequence=2))
    assert await intake.names(ticket) == ["TicketOpened"]
    shown = await intake.read(ticket)
    assert shown["version"] == 1
    assert shown["suspected_duplicates"][0] == {
        "ticket_id": older["id"], "number": older["number"], "score": 0.9,
    }  # fmt: skip
    assert await marks(intake, ticket, **KIM) is None
    await intake.hear(suspected(ticket, other, same=False))
    assert await marks(intake, ticket) == [older["number"], other["number"]]
    path = f"/v1/tickets/{ticket['id']}/suspected-duplicates/{older['number']}"
    for _ in range(2):
        shown = await intake.ask("DELETE", path)
        assert [one["number"] for one in shown["suspected_duplicates"]] == [other["number"]]
    assert await intake.names(ticket) == ["TicketOpened", "TicketEdited"]
    await intake.hear(suspected(ticket, older, sequence=3))
    assert await marks(intake, ticket) == []
    assert (await intake.read(ticket))["status"] == "pending"
    await intake.ask("DELETE", path, **KIM, status=403)


async def test_a_mark_goes_with_the_merge_in_either_direction(intake: Any, suspected: Make) -> None:
    """Into the older or into the newer: then there is nothing to suspect."""
    one, two, three = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(three, one, two, same=False))
    await intake.ask("POST", f"/v1/tickets/{one['id']}/merge", {"into": three["number"]})
    assert await marks(intake, three) == [two["number"]]
    await intake.ask("POST", f"/v1/tickets/{three['id']}/merge", {"into": two["number"]})
    assert await marks(intake, three) == []


async def test_similar_tickets_are_merged_where_the_setting_says_so(
    intake: Any, suspected: Make
) -> None:
    """From the similarity on that it names."""
    headers = intake.token("admin") | {"If-Match": "*"}
    body = {"merge_similar": 0.85}
    await intake.ask("PUT", "/v1/intake/settings", body, headers=headers)
    intake.tested.clock.advance(timedelta(seconds=5))
    older, less, more = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(less, older, same=False, score=0.84))
    await intake.hear(suspected(more, older, same=False, score=0.85))
    assert (await intake.read(less))["merged_into"] is None
    assert (await intake.read(more))["merged_into"] == older["id"]


async def test_what_was_undone_by_hand_is_not_done_again(intake: Any, suspected: Make) -> None:
    """Whoever made two of one knows better, whatever is suspected later."""
    older, ticket = await intake.open(), await intake.open()
    await intake.hear(suspected(ticket, older))
    await intake.ask("DELETE", f"/v1/tickets/{ticket['id']}/merge")
    await intake.hear(suspected(ticket, older, sequence=2))
    assert (await intake.read(ticket))["merged_into"] is None
    assert await marks(intake, ticket) == []


async def test_tickets_that_cannot_be_one_are_not_marked(intake: Any, suspected: Make) -> None:
    """Another product's, a product's own requests, closed ones, itself and unknown ones."""
    elsewhere = await intake.open(product="bank", submitter={"email": "eve@example.com"})
    referenced = await intake.open(external_ref="x")
    closed = await intake.move(await intake.open(), "closed")
    ticket = await intake.open()
    unknown = {"id": "0198" + "0" * 28, "number": "WB-1"}
    await intake.hear(suspected(ticket, elsewhere, referenced, closed, ticket, unknown, same=False))
    assert await marks(intake, ticket) == []
    await intake.hear(suspected(referenced, ticket))
    assert await marks(intake, referenced) == []


# Escalations


def held_by(ticket: Any, agent: Any, before: Any = None) -> Any:
    """Routing's word that an agent has a ticket."""
    return routing.TicketAssigned(
        assignment=assignment_pb2.Assignment(
            ticket_id=ticket["id"],
            state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
            agent=agent,
            team="support",
        ),
        previous_agent=before,
    )


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
    first: str, batches: int, intake: Any, event: Make
) -> None:
    """Whether sla or routing is read first, in one batch or in several, and twice each."""
    ticket = await intake.open()
    await intake.hear(event(ticket, held_by(ticket, ANA), 1))
    intake.tested.clock.advance(timedelta(minutes=5))
    cause = event(ticket, escalated())
    intake.tested.clock.advance(timedelta(seconds=1))
    gone, taken = event(ticket, released(ticket, ANA), 2), event(ticket, held_by(ticket, BEN), 3)
    orders = {
        "escalation": [cause, gone, taken],
        "release": [gone, cause, taken],
        "new agent": [gone, taken, cause],
    }
    for batch in _batched(orders[first] * 2, batches):
        await intake.hear(*batch)
    assert await watchers(intake, ticket) == ["ana@example.com"]
    assert (await intake.names(ticket)).count("TicketEdited") == 1
    line = await last_line(intake, ticket, type(escalated()))
    assert ("Ana watches it from now on" in line) == (first == "escalation")


@pytest.mark.parametrize(
    ("between", "watched"),
    [("note", True), ("reply", True), ("resolved", False), ("closed", False), ("reopened", False)],
)
async def test_an_escalation_of_what_is_solved_meanwhile_changes_nothing(
    between: str, watched: bool, intake: Any, event: Make
) -> None:
    """Nor one from before a reopening; a note or an answer does not solve anything."""
    ticket = await intake.open()
    await intake.hear(event(ticket, held_by(ticket, ANA)))
    cause = event(ticket, escalated())
    intake.tested.clock.advance(timedelta(seconds=1))
    match between:
        case "resolved" | "closed":
            await intake.move(ticket, between)
        case "reopened":
            await intake.move(ticket, "resolved", "in_progress")
        case _:
            await say(intake, ticket, between)
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
    await say(intake, ticket, "note")
    await intake.hear(suggested(ticket, words.PRIORITY_URGENT))
    await intake.hear(suggested(ticket, words.PRIORITY_URGENT))
    assert await priority(intake, ticket) == "urgent"
    assert (await intake.names(ticket)).count("TicketEdited") == 1
    await edit(intake, ticket, priority="low")
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
    assert "the ticket is closed" in await last_line(intake, ticket, routing.TriageSuggested)
