"""Which queue, which ticket first, and what news means for a ticket."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from waybill_routing.domain.entities import (
    Case,
    Escalated,
    News,
    Queue,
    RiskSeen,
    Rule,
    Ticket,
    TicketSeen,
    Touched,
)
from waybill_routing.domain.rules import rule_for
from waybill_routing.domain.words import Priority, State

_RANK: Mapping[str, int] = {priority: rank for rank, priority in enumerate(Priority)}
_LAST = datetime.max.replace(tzinfo=UTC)


def queue_for(ticket: Ticket, rules: Sequence[Rule], queues: Mapping[str, Queue]) -> Queue:
    """The queue of the first rule, by position, that matches; the default rule always does."""
    return queues[rule_for(ticket, rules).queue]


def urgency(case: Case) -> tuple[int, float, datetime, UUID]:
    """The order in which waiting tickets are served: priority, share of time used up, age."""
    return (
        _RANK.get(case.ticket.priority, len(_RANK)),
        -case.risk_share,
        case.ticket.opened_at or _LAST,
        case.id,
    )


def heard(case: Case, news: News) -> Case:
    """What is known of a ticket after `news`; what is older than what is known changes nothing."""
    match news:
        case TicketSeen(ticket) if ticket.sequence > case.ticket.sequence:
            return replace(case, ticket=ticket)
        case RiskSeen(sequence=sequence) if sequence > case.sla_sequence:
            return replace(
                case, risk_share=news.share, due_at=news.due_at, sla_sequence=news.sequence
            )
        case Escalated(sequence=sequence) if sequence > case.escalation_sequence:
            return replace(case, escalation_sequence=sequence)
        case Touched(agent_id=agent_id, at=at) if (
            agent_id == case.assignment.agent_id and case.assignment.accepted_at is None
        ):
            return replace(case, assignment=replace(case.assignment, accepted_at=at))
    return case


def needs_place(before: Case, after: Case) -> bool:
    """Whether somebody is to be found for a ticket, now that this is known of it."""
    if not after.ticket.open:
        return False
    state = after.assignment.state
    reopened = state is State.QUEUED and not before.ticket.open
    return reopened or state in (State.UNPLACED, State.RELEASED)
