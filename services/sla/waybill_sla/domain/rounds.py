"""Targets that begin again and again: the answer to each question, and news every so often."""

from datetime import datetime

from waybill_sla.domain import ledger
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import ClockState, Status, TargetKind, TargetState


def begins(kind: TargetKind, last: Target | None, clock: Clock) -> datetime | None:
    """When the next round of a target begins; None while the `last` one goes on."""
    ticket = clock.ticket
    if ticket is None or clock.state is ClockState.STOPPED:
        return None
    if kind is TargetKind.NEXT_RESPONSE:
        return _asked(last, clock, ticket)
    if kind is TargetKind.UPDATE:
        told = _told(ticket)
        if last is None or last.started_at is None:
            return told
        return told if told > last.started_at else None
    return None


def ends(target: Target, clock: Clock) -> tuple[datetime | None, datetime | None]:
    """When a round was reached, and when it ceased to apply; at most one of them."""
    since, ticket, last = target.started_at, clock.ticket, clock.segments[-1]
    assert since is not None
    assert ticket is not None
    if target.stopped_at is not None and target.state is not TargetState.CANCELLED:
        return target.stopped_at, None
    closed = last.started_at if last.status is Status.CLOSED else None
    if target.kind is TargetKind.UPDATE:
        told = _told(ticket)
        if told > since and ticket.status is not Status.CLOSED:
            return told, None
        return None, closed
    dropped = ledger.first_resolved(clock.segments, since) or closed
    if target.dropped_at is not None and not clock.at_hand(target.dropped_at):
        dropped = target.dropped_at
    answered = _by("agent", ticket)
    if answered is not None and answered >= since and (dropped is None or answered <= dropped):
        return answered, None
    return None, dropped


def _asked(last: Target | None, clock: Clock, ticket: Ticket) -> datetime | None:
    """When the submitter asked what nobody has answered yet, after the first response."""
    first, asked = ticket.first_response_at, _by("submitter", ticket)
    if first is None or asked is None or asked <= first:
        return None
    if last is None:
        return asked
    reached, dropped = ends(last, clock)
    end = reached or dropped
    return asked if end is not None and asked > end else None


def _told(ticket: Ticket) -> datetime:
    """When the submitter was last told something: by an agent, or by a move of the ticket.

    That routing has released it is nothing to be told.
    """
    moved = ticket.created_at if ticket.status is Status.PENDING else ticket.status_since
    return max(moved, _by("agent", ticket) or moved)


def _by(kind: str, ticket: Ticket) -> datetime | None:
    """When the last public message was posted, if it was by one of that kind."""
    return ticket.last_public_at if ticket.last_public_by == kind else None
