"""Others' events in one line: each says something, and what matters about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import actor_pb2
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1 import events_pb2 as notify
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.times import duration, timestamp
from waybill_intake.consumers.facts import HEARD
from waybill_intake.consumers.summaries import summary

DUE = timestamp(datetime(2026, 3, 2, 9, 15, tzinfo=UTC))
RESPONSE, RESOLUTION = words.TARGET_KIND_RESPONSE, words.TARGET_KIND_RESOLUTION
ANA, BEN = actor_pb2.Agent(id="a", name="Ana"), actor_pb2.Agent(id="b", name="Ben")
CLOCK = clock_pb2.Clock(
    policy_id="standard",
    policy_version=3,
    targets=[
        clock_pb2.Target(
            kind=RESPONSE,
            state=words.TARGET_STATE_RUNNING,
            due_at=DUE,
            allowed=duration(timedelta(minutes=15)),
        ),
        clock_pb2.Target(kind=RESOLUTION, state=words.TARGET_STATE_MET, due_at=DUE),
    ],
)
HELD = assignment_pb2.Assignment(agent=ANA, team="support", why="least loaded of 6")
DELIVERY = delivery_pb2.Delivery(
    template="receipt",
    recipient="kim@example.com",
    channel=delivery_pb2.DELIVERY_CHANNEL_EMAIL,
    attempts=3,
)


@pytest.mark.parametrize("kind", HEARD, ids=lambda kind: kind.DESCRIPTOR.name)
def test_no_event_leaves_an_empty_line(kind: Any) -> None:
    """Not even one with nothing in it, and what came of it is said behind it."""
    line = summary(kind())
    assert line.strip()
    assert summary(kind(), "done") == f"{line}: done"


LINES = [
    (
        routing.TicketAssigned(assignment=HELD, previous_agent=BEN),
        "Ana in support instead of Ben: least loaded of 6",
    ),
    (
        routing.TicketQueued(
            assignment=assignment_pb2.Assignment(queue="tech", team="tech_team"),
            previous_team="support",
        ),
        "waits in queue tech, before with support",
    ),
    (
        routing.TicketReleased(previous_agent=ANA, reason=routing.RELEASE_REASON_AGENT_UNAVAILABLE),
        "no longer with Ana, agent unavailable",
    ),
    (
        routing.TriageSuggested(
            suggestions=[
                routing.TriageSuggestion(
                    priority=words.PRIORITY_URGENT, confidence=0.92, why="says down"
                ),
                routing.TriageSuggestion(tag="disk", confidence=0.5),
            ]
        ),
        "suggests priority urgent (92% sure, says down); tag disk (50% sure)",
    ),
    (
        sla.ClockStarted(clock=CLOCK, reason=sla.START_REASON_OPENED),
        "started by policy standard version 3, response due 2026-03-02 09:15 UTC",
    ),
    (
        sla.ClockStarted(clock=CLOCK, reason=sla.START_REASON_REDATED),
        "deadlines set anew by policy standard version 3, response due 2026-03-02 09:15 UTC",
    ),
    (sla.ClockPaused(reason=sla.PAUSE_REASON_AWAITING_USER), "awaiting user"),
    (
        sla.ClockResumed(clock=CLOCK, paused_for=duration(timedelta(hours=26, minutes=5))),
        "after 1 d 2 h, response due 2026-03-02 09:15 UTC",
    ),
    (
        sla.TargetAtRisk(
            kind=RESPONSE, share=0.75, due_at=DUE, remaining=duration(timedelta(seconds=225))
        ),
        "response at 75%, 3 min 45 s left, due 2026-03-02 09:15 UTC",
    ),
    (sla.TargetBreached(kind=RESOLUTION, due_at=DUE), "resolution, due 2026-03-02 09:15 UTC"),
    (
        sla.BreachRetracted(kind=RESPONSE, due_at=DUE, met_at=DUE),
        "response, due 2026-03-02 09:15 UTC, met 2026-03-02 09:15 UTC",
    ),
    (
        sla.TargetMet(clock=CLOCK, kind=RESPONSE, elapsed=duration(timedelta(minutes=5))),
        "response with 10 min left",
    ),
    (
        sla.TargetMet(
            clock=CLOCK, kind=RESPONSE, elapsed=duration(timedelta(minutes=35)), late=True
        ),
        "response 20 min late",
    ),
    (
        sla.TicketEscalated(
            level=words.ESCALATION_LEVEL_TECH_TEAM,
            previous_level=words.ESCALATION_LEVEL_SENIOR_SUPPORT,
            trigger=sla.ESCALATION_TRIGGER_BREACHED,
            target=RESOLUTION,
            rung="resolution_breached",
            teams=["tech_team"],
        ),
        "to tech_team, before senior_support, resolution breached, rung resolution_breached",
    ),
    (
        sla.FollowUpDue(kind=words.FOLLOW_UP_KIND_REMINDER_1, episode=4),
        "reminder 1 in episode 4",
    ),
    (
        notify.NotificationDelivered(delivery=DELIVERY),
        "receipt to kim@example.com by email at attempt 3",
    ),
    (
        notify.NotificationFailed(delivery=DELIVERY, reason="no such mailbox"),
        "receipt to kim@example.com by email given up at attempt 3: no such mailbox",
    ),
    (
        kb.DuplicateSuspected(
            candidates=[
                SimilarTicket(number="WB-1001", same_text=True, similarity=1),
                SimilarTicket(number="WB-1002", similarity=0.81),
            ]
        ),
        "like WB-1001 (the same text), WB-1002 (81%)",
    ),
    (
        kb.IssueRepeated(
            count=3,
            window=duration(timedelta(days=7)),
            earlier=[SimilarTicket(number="WB-1001"), SimilarTicket(number="WB-1002")],
        ),
        "3 times within 7 d, before as WB-1001, WB-1002",
    ),
]


@pytest.mark.parametrize(("message", "line"), LINES, ids=[type(one).__name__ for one, _ in LINES])
def test_a_line_says_what_matters(message: Any, line: str) -> None:
    """Who, why, until when, and how much was left."""
    assert summary(message) == line


def test_what_no_calendar_has_is_no_reason_to_fail() -> None:
    """A line of the log is worth more than the sense of one of its numbers."""
    far = sla.ClockResumed(paused_for=Duration(seconds=2**62))
    assert summary(far) == "after no time that can be counted"
    past = sla.TargetBreached(due_at=Timestamp(seconds=-(2**62)))
    assert "at no time" in summary(past)
    nan = sla.TargetAtRisk(share=float("nan"), kind=99)
    assert summary(nan).startswith("target 99 at nan%")
