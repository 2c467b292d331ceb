"""Which queue, which ticket first, which agent: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill_routing.domain import (
    Agent,
    AlreadyAssigned,
    Assignment,
    Case,
    Desk,
    Escalated,
    Method,
    NoRoom,
    Presence,
    Queue,
    ReleaseReason,
    RiskSeen,
    Rule,
    State,
    Ticket,
    TicketSeen,
    Vacancy,
    heard,
    queue_for,
    urgency,
)

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
QUEUES = {name: Queue(name, name) for name in ("support", "tech_team")}
DEFAULT = Rule(UUID(int=1), 1_000_000, "support")


def agent(number: int, *teams: str, **facts: Any) -> Agent:
    return Agent(
        **{
            "id": UUID(int=number),
            "email": f"{number}@example.com",
            "name": f"Agent {number}",
            "teams": teams or ("support",),
            "skills": (),
            "capacity": 10,
            "presence": Presence.AVAILABLE,
            "presence_since": NOW,
        }
        | facts
    )


def case(number: int, **facts: Any) -> Case:
    known = {"product": "demo", "priority": "medium", "status": "pending", "opened_at": NOW}
    return Case(Ticket(**{"id": UUID(int=number), "sequence": 1} | known | facts))


def desk(cases: list[Case], agents: list[Agent]) -> Desk:
    return Desk(cases, agents, queues=QUEUES, rules=[DEFAULT], now=NOW)


def test_the_first_rule_that_matches_wins() -> None:
    """What a rule leaves out matches anything."""
    rules = [
        Rule(UUID(int=2), 1, "tech_team", product=("demo",), priority=("urgent",)),
        DEFAULT,
    ]
    assert queue_for(case(1, priority="urgent").ticket, rules, QUEUES).slug == "tech_team"
    assert queue_for(case(1).ticket, rules, QUEUES).slug == "support"
    assert queue_for(Ticket(UUID(int=1)), rules, QUEUES).slug == "support"


def test_waiting_tickets_are_served_by_priority_then_risk_then_age() -> None:
    """What sla warns of comes before what is older, not before what is more urgent."""
    urgent = case(1, priority="urgent")
    old = case(2, opened_at=NOW - timedelta(days=1))
    young = case(3)
    at_risk = heard(case(4), RiskSeen(UUID(int=4), 0.9, None, 1))
    unknown = Case(Ticket(UUID(int=5)))
    waiting = [unknown, young, old, at_risk, urgent]
    assert sorted(waiting, key=urgency) == [urgent, at_risk, old, young, unknown]


def test_what_is_older_than_what_is_known_changes_nothing() -> None:
    """Each owner counts for itself, and an escalation is judged by escalations only."""
    known = heard(case(1, sequence=5), RiskSeen(UUID(int=1), 0.9, NOW, 7))
    assert heard(known, TicketSeen(case(1, sequence=5, status="closed").ticket)) is known
    assert heard(known, RiskSeen(UUID(int=1), 0.5, None, 7)) is known
    replayed = heard(known, Escalated(UUID(int=1), ("tech_team",), 3))
    assert replayed.escalation_sequence == 3


def test_open_tickets_are_counted_step_by_step() -> None:
    """Placed, resolved, reopened, closed: the load follows, and each step has its version."""
    table = desk([case(1), case(2)], [agent(1)])
    for id in (1, 2):
        table.settle(table.cases[UUID(int=id)])
    table.place_waiting()
    assert table.agents[UUID(int=1)].open_tickets == 2

    def settle(status: str) -> int:
        held = table.cases[UUID(int=1)]
        table.settle(
            Case(case(1, status=status).ticket, held.assignment),
        )
        return table.agents[UUID(int=1)].open_tickets

    assert [settle(status) for status in ("resolved", "in_progress", "closed")] == [1, 2, 1]
    steps = [change for change in table.changes if change.ticket_id == UUID(int=1)]
    assert [step.assignment.version for step in steps] == [1, 2]
    assert steps[-1].reason is ReleaseReason.CLOSED


def test_a_ticket_is_taken_once_and_only_with_room() -> None:
    """The loser learns who has it; the full one what they hold."""
    table = desk([case(1), case(2)], [agent(1, capacity=1), agent(2)])
    one, two = UUID(int=1), UUID(int=2)
    table.take(one, one, Method.CLAIM, "claimed by Agent 1")
    table.take(one, one, Method.CLAIM, "claimed by Agent 1")
    assert len(table.changes) == 1
    with pytest.raises(AlreadyAssigned, match="Agent 1 has"):
        table.take(one, two, Method.CLAIM, "claimed by Agent 2")
    with pytest.raises(NoRoom, match="room for 1"):
        table.take(two, one, Method.CLAIM, "claimed by Agent 1")


def test_room_names_the_one_who_alone_has_it() -> None:
    """So that what they gave back is not looked at in vain."""
    table = desk([], [agent(1), agent(2, "support", "tech_team", capacity=3)])
    assert table.vacancies() == [
        Vacancy("support", 13),
        Vacancy("tech_team", 3, only=UUID(int=2)),
    ]


def test_a_ticket_that_is_released_keeps_the_time_it_first_waited() -> None:
    """No release starts the wait anew."""
    held = Case(
        case(1, opened_at=NOW - timedelta(hours=1)).ticket,
        Assignment(
            state=State.ASSIGNED,
            agent_id=UUID(int=1),
            team="support",
            queue="support",
            version=1,
            waiting_since=NOW - timedelta(hours=1),
        ),
    )
    table = desk([held], [agent(1, open_tickets=1, load=1)])
    table.give_back(held.id, "released by hand by Agent 1")
    table.place_waiting()
    after = table.cases[held.id].assignment
    assert (after.state, after.version) == (State.QUEUED, 3)
    assert after.waiting_since == NOW - timedelta(hours=1)
    assert after.why == "given back, and nobody else in support has room"
