"""What intake makes of the other services' events."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import actor_pb2
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket
from waybill.notify.v1 import events_pb2 as notify
from waybill.notify.v1.delivery_pb2 import Delivery
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1 import events_pb2 as sla

ANA = actor_pb2.Agent(id="a1", name="Ana", email="ana@example.com")


def assigned(ticket: Any) -> events_pb2.TicketAssigned:
    return events_pb2.TicketAssigned(
        assignment=assignment_pb2.Assignment(
            ticket_id=ticket["id"],
            state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
            agent=ANA,
            team="support",
        )
    )


def nobody(ticket: Any, kind: Any = events_pb2.TicketQueued, **fields: Any) -> Any:
    return kind(
        assignment=assignment_pb2.Assignment(
            ticket_id=ticket["id"],
            state=assignment_pb2.ASSIGNMENT_STATE_QUEUED,
            team="senior_support",
        ),
        **fields,
    )


def clock_of(ticket: Any, state: Any, level: Any = 0) -> clock_pb2.Clock:
    return clock_pb2.Clock(
        ticket_id=ticket["id"],
        escalation_level=level,
        targets=[
            clock_pb2.Target(
                kind=words.TARGET_KIND_RESPONSE,
                state=state,
                due_at=Timestamp(seconds=1_800_000_000),
            )
        ],
    )


async def test_an_assignment_begins_the_work_and_its_end_lets_it_wait(
    intake: Any, event: Any
) -> None:
    """Pending, in progress, pending again; the projection follows and stale news are ignored."""
    ticket = await intake.open()
    await intake.hear(event(ticket, assigned(ticket), 2))
    now = await intake.read(ticket)
    assert (now["status"], now["team"]) == ("in_progress", "support")
    assert now["assignee"] == {"id": "a1", "name": "Ana"}
    await intake.hear(event(ticket, nobody(ticket), 1))
    assert (await intake.read(ticket))["status"] == "in_progress"
    mine = await intake.ask("GET", "/v1/tickets?assignee=me")
    assert [found["id"] for found in mine["items"]] == [ticket["id"]]
    await intake.hear(
        event(ticket, nobody(ticket, events_pb2.TicketReleased, previous_agent=ANA), 3)
    )
    now = await intake.read(ticket)
    assert (now["status"], now["assignee"], now["team"]) == ("pending", None, "senior_support")
    assert now["version"] == 3
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    routing = [line for line in log["items"] if line["source"] == "/waybill/routing"]
    assert len(routing) == 3
    assert routing[0]["trace_id"] == "ab" * 16


async def test_a_queue_does_not_undo_an_answer(intake: Any, event: Any) -> None:
    """Who answered before routing spoke keeps the ticket in progress; a closed one stays closed."""
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}"
    await intake.ask("POST", f"{path}/messages", {"body": "Hello"}, status=201)
    await intake.hear(event(ticket, nobody(ticket), 1))
    assert (await intake.read(ticket))["status"] == "in_progress"
    await intake.hear(event(ticket, assigned(ticket), 2))
    await intake.hear(
        event(
            ticket,
            nobody(ticket, events_pb2.TicketReleased, reason=events_pb2.RELEASE_REASON_CLOSED),
            3,
        )
    )
    now = await intake.read(ticket)
    assert (now["status"], now["assignee"]) == ("in_progress", None)


async def test_a_ticket_that_changes_hands_does_not_wait_in_between(
    intake: Any, event: Any
) -> None:
    """Released and assigned at once, even with an old event replayed between: no move at all."""
    ticket = await intake.open()
    await intake.hear(event(ticket, assigned(ticket), 1))
    released = nobody(ticket, events_pb2.TicketReleased, previous_agent=ANA)
    await intake.hear(
        event(ticket, released, 2), event(ticket, assigned(ticket), 3), event(ticket, released, 2)
    )
    assert await intake.names(ticket) == ["TicketOpened", "TicketStatusChanged"]
    await intake.hear(
        event(ticket, released, 4), event(ticket, nobody(ticket), 5), event(ticket, released, 1)
    )
    assert (await intake.read(ticket))["status"] == "pending"


async def test_what_is_not_known_yet_is_kept(intake: Any, event: Any) -> None:
    """An event about a ticket nobody has heard of is no error."""
    ticket = {"id": str(uuid4())}
    await intake.hear(
        event(ticket, assigned(ticket)),
        event(ticket, sla.ClockStarted(clock=clock_of(ticket, words.TARGET_STATE_RUNNING))),
    )
    assert await intake.count("ticket_facts") == 1
    assert await intake.count("ticket_log") == 2
    assert await intake.names() == []


async def test_the_clock_is_shown_and_raises_no_version(intake: Any, event: Any) -> None:
    """Targets and level follow sla; the newest wins, whatever the order."""
    ticket = await intake.open()
    risk, running = words.TARGET_STATE_AT_RISK, words.TARGET_STATE_RUNNING
    level = words.ESCALATION_LEVEL_TECH_TEAM
    await intake.hear(
        event(ticket, sla.TicketEscalated(clock=clock_of(ticket, risk, level)), 2),
        event(ticket, sla.ClockStarted(clock=clock_of(ticket, running)), 1),
    )
    now = await intake.read(ticket)
    assert now["sla"]["response"] == {"state": "at_risk", "due_at": "2027-01-15T08:00:00Z"}
    assert (now["escalation_level"], now["version"]) == ("tech_team", 1)
    assert len((await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log"))["items"]) == 3


async def test_a_follow_up_acts_once_and_only_in_its_episode(intake: Any, event: Any) -> None:
    """A reminder, then the closing; whatever an answer overtook does nothing."""
    ticket = await intake.open()
    await intake.move(ticket, "in_progress", "awaiting_user")
    episode = (await intake.told(ticket))[-1].message.ticket.episode

    def due(kind: Any, episode: int = episode) -> Any:
        return event(ticket, sla.FollowUpDue(kind=kind, episode=episode))

    await intake.hear(due(words.FOLLOW_UP_KIND_REMINDER_1), due(words.FOLLOW_UP_KIND_REMINDER_1))
    await intake.hear(due(words.FOLLOW_UP_KIND_REMINDER_2, episode - 1))
    await intake.hear(due(words.FOLLOW_UP_KIND_AUTO_CLOSE_RESOLVED))
    assert (await intake.names(ticket))[3:] == ["ReminderPosted"]
    kim = {"role": "submitter", "sub": "kim@example.com"}
    await intake.ask(
        "POST", f"/v1/tickets/{ticket['id']}/messages", {"body": "Here"}, status=201, **kim
    )
    await intake.hear(due(words.FOLLOW_UP_KIND_AUTO_CLOSE_AWAITING))
    assert (await intake.read(ticket))["status"] == "in_progress"
    await intake.move(ticket, "resolved")
    episode = (await intake.told(ticket))[-1].message.ticket.episode
    await intake.hear(due(words.FOLLOW_UP_KIND_AUTO_CLOSE_RESOLVED, episode))
    assert (await intake.read(ticket))["close_reason"] == "auto_closed"
    assert (await intake.told(ticket))[-1].message.cause.type == "waybill.sla.v1.FollowUpDue"


async def test_the_same_text_from_the_same_person_is_one_ticket(intake: Any, event: Any) -> None:
    """Merged into the older one; never beyond a day, nor with a reference, nor another's."""
    one = await intake.open()
    other_person = await intake.open(submitter={"email": "eve@example.com"})
    referenced = await intake.open(external_ref="x")
    intake.tested.clock.advance(timedelta(hours=24))
    new = await intake.open()

    def suspected(ticket: Any, *older: Any) -> Any:
        candidates = [
            SimilarTicket(ticket_id=other["id"], same_text=True, same_submitter=True)
            for other in older
        ]
        message = kb.DuplicateSuspected(ticket_id=ticket["id"], candidates=candidates)
        return event(ticket, message)

    await intake.hear(suspected(new, other_person, referenced))
    await intake.hear(suspected(one, new))
    assert (await intake.read(new))["status"] == "pending"
    await intake.hear(suspected(new, other_person, one))
    assert (await intake.read(new))["merged_into"] == one["id"]
    intake.tested.clock.advance(timedelta(seconds=1))
    late = await intake.open()
    await intake.hear(suspected(late, one))
    assert (await intake.read(late))["status"] == "pending"


async def test_triage_sets_what_nobody_has(intake: Any, event: Any) -> None:
    """A sure suggestion is applied and told as an edit; a person's choice stands."""
    ticket = await intake.open(tags=["mine"])
    suggestions = [
        events_pb2.TriageSuggestion(priority=words.PRIORITY_URGENT, confidence=0.9),
        events_pb2.TriageSuggestion(language="en", confidence=0.79),
        events_pb2.TriageSuggestion(tag="disk", confidence=1),
        events_pb2.TriageSuggestion(type=words.TICKET_TYPE_ORDER, confidence=1),
    ]
    message = events_pb2.TriageSuggested(ticket_id=ticket["id"], suggestions=suggestions)
    await intake.hear(event(ticket, message))
    now = await intake.read(ticket)
    assert (now["priority"], now["language"], now["tags"]) == ("urgent", "", ["mine"])
    assert now["type"] == "technical"
    assert (await intake.told(ticket))[-1].message.actor.id == "intake"


async def test_deliveries_and_repeated_issues_are_only_logged(intake: Any, event: Any) -> None:
    """They are hands that the ticket went through, nothing more."""
    ticket = await intake.open()
    await intake.hear(
        event(
            ticket,
            notify.NotificationDelivered(
                delivery=Delivery(ticket_id=ticket["id"], template="receipt", recipient="k@x.org")
            ),
        ),
        event(ticket, kb.IssueRepeated(ticket_id=ticket["id"], count=3)),
        event({"id": "d1"}, notify.NotificationDelivered(delivery=Delivery(id="d1"))),
    )
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    assert [line["summary"] for line in log["items"]][1:] == ["receipt to k@x.org", "3 times"]
    assert await intake.names() == ["TicketOpened"]
