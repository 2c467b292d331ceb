"""What intake does by itself when others tell it of a ticket, if that still fits the ticket.

Each of these is decided elsewhere and read later: whoever answered, solved or decided by hand in
between comes first. All is judged by the ticket as it stands under its lock.
"""

from datetime import datetime
from typing import Any

from waybill.common.v1.actor_pb2 import Agent
from waybill.kb.v1 import events_pb2 as kb
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.events import Event
from waybill_chassis.ids import new_id, parse_id

from waybill_intake import events as proto
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import merging, rules, watching
from waybill_intake.domain.duplicates import Likeness, comparable, to_merge_into
from waybill_intake.domain.facts import Suspicion
from waybill_intake.domain.ticket import Change, Edited, Ticket, Watcher
from waybill_intake.domain.words import Status
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.projections import Projections
from waybill_intake.store import facts

_MOST_SUSPECTED = 20


def react(
    docket: Docket,
    projections: Projections,
    ticket: Ticket,
    event: Event[Any],
    origin: Origin,
    settings: IntakeSettings,
) -> str:
    """Act on an event, where there is something to do; what came of it, for the log."""
    came = ""
    match event.message:
        case sla.FollowUpDue() as message:
            came = _follow_up(docket, ticket, message, origin)
        case routing.TriageSuggested() as message:
            came = _triage(docket, projections, ticket, message, origin, settings)
        case kb.DuplicateSuspected() as message:
            sequence = event.sequence or 0
            came = _suspect(docket, projections, ticket, message, sequence, origin, settings)
        case sla.TicketEscalated():
            came = _escalate(docket, projections, ticket, event.time, origin)
        case routing.TicketReleased(reason=routing.RELEASE_REASON_ESCALATED) as message:
            agent = message.previous_agent
            if projections.of(ticket.id).assignment.agent_email != agent.email.lower():
                came = _keep_informed(docket, ticket, agent, event.time, origin)
    return came


def _follow_up(docket: Docket, ticket: Ticket, message: sla.FollowUpDue, origin: Origin) -> str:
    kind = proto.from_follow_up(message.kind)
    done = rules.follow_up(ticket, kind, message.episode, docket.now) if kind else []
    docket.note(done, origin)
    if done:
        return "done"
    return "overtaken" if ticket.episode != message.episode else "nothing to do"


def _triage(
    docket: Docket,
    projections: Projections,
    ticket: Ticket,
    message: routing.TriageSuggested,
    origin: Origin,
    settings: IntakeSettings,
) -> str:
    if not projections.know_triage(ticket.id, message.ticket_version):
        return "overtaken by a newer suggestion"
    suggestions = proto.from_suggestions(message.suggestions)
    threshold = settings.triage_threshold
    verdicts = [
        f"{one.value} {rules.verdict(ticket, one, threshold) or 'applied'}" for one in suggestions
    ]
    docket.note(rules.triage(ticket, suggestions, threshold, docket.now), origin)
    return ", ".join(verdicts)


def _suspect(
    docket: Docket,
    projections: Projections,
    ticket: Ticket,
    message: kb.DuplicateSuspected,
    sequence: int,
    origin: Origin,
    settings: IntakeSettings,
) -> str:
    """Merge the ticket into the one it is the same as, or mark what it may be the same as."""
    found = [
        Likeness(other, one.similarity if 0 <= one.similarity <= 1 else 0.0, one.same_text)
        for one in message.candidates
        if (other := docket.find(parse_id(one.ticket_id))) and comparable(ticket, other)
    ]
    target = to_merge_into(
        ticket,
        found,
        projections.of(ticket.id),
        within=settings.duplicate_window,
        similar=settings.merge_similar,
    )
    if target is not None:
        docket.note(merging.merge(ticket, target, docket.now, id=new_id()), origin)
        return f"merged into {target.number}"
    marks = [Suspicion(like.older.id, like.older.number, like.score) for like in found]
    projections.know_suspected(ticket.id, marks[:_MOST_SUSPECTED], sequence)
    return "marked" if marks else "nothing to do"


def _escalate(
    docket: Docket, projections: Projections, ticket: Ticket, at: datetime, origin: Origin
) -> str:
    """Whoever has it now will lose it; if routing was faster, its release tells who had it."""
    known = projections.of(ticket.id)
    holder = known.assignment
    if holder.agent_id is None or known.assigned_at is None or known.assigned_at > at:
        return ""
    agent = Agent(name=holder.agent_name or "", email=holder.agent_email or "")
    return _keep_informed(docket, ticket, agent, at, origin)


def _keep_informed(
    docket: Docket, ticket: Ticket, agent: Agent, decided_at: datetime, origin: Origin
) -> str:
    """Have an agent who loses the ticket to another team watch it, while it is unsolved."""
    if not agent.email:
        return ""
    if ticket.status in (Status.RESOLVED, Status.CLOSED):
        return f"overtaken, it is {ticket.status}"
    if ticket.reopened_at is not None and ticket.reopened_at > decided_at:
        return "overtaken, it was reopened since"
    email = agent.email.lower()
    if any(one.email == email for one in ticket.watchers):
        return ""
    if len(ticket.watchers) >= watching.MOST:
        return "too many watch it already"
    watcher = Watcher(email, agent.name)
    docket.note(watching.watch(ticket, watcher, docket.now), origin)
    return f"{agent.name or email} watches it from now on"


async def dismiss(docket: Docket, ticket: Ticket, other: Ticket, origin: Origin) -> None:
    """Say that two tickets are not the same; nothing happens where nobody suspects it."""
    known = (await facts.read(docket.uow.connection, [ticket.id])).get(ticket.id)
    held = known.suspicion(other.id) if known else None
    if known is None or held is None or held.dismissed:
        return
    after = known.dismissing(other.id, other.number)
    change = Change(
        field="suspected_duplicates",
        before=tuple(one.number for one in known.suspected if not one.dismissed),
        after=tuple(one.number for one in after.suspected if not one.dismissed),
    )
    docket.note([Edited(ticket=ticket.changed(docket.now), changes=(change,))], origin)
    await facts.write_guesses(docket.uow, [(ticket.id, after)])
