"""What statistics have to remember of a ticket because the ticket itself shows only how it stands.

Events of other services are kept by their numbers, so that late ones, repeated ones and ones out of
order end in the same history.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Self

from waybill_intake.domain.facts import Assignment, Sla
from waybill_intake.domain.ticket import Actor, Fact, Posted, Ticket
from waybill_intake.domain.words import ActorKind, MessageKind, Status

OPEN, RESOLVED, CLOSED = "open", "resolved", "closed"
FOUND, NONE = "found", "none"
_STATES = {Status.RESOLVED: RESOLVED, Status.CLOSED: CLOSED}

# A monitor that flaps for months must not make its ticket's history endless.
_MOST_MOVES = 400
_MOST_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """Who had the ticket after routing's event `sequence`; "" for nobody."""

    sequence: int
    agent: str
    team: str
    closed: bool = False
    """Whether it was released because it is closed."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a target stood and when it is or was due, in seconds since 1970."""

    kind: str
    state: str
    due: int


@dataclass(frozen=True, slots=True)
class History:
    """A ticket's past as far as statistics need it; agents by address, else by id."""

    moves: tuple[tuple[int, str], ...] = ()
    """When it became resolved, closed or open again; it begins open."""
    responder: str = ""
    repliers: tuple[str, ...] = ()
    replies: int = 0
    helped: int = 0
    """How many of the agents' replies came from a quick reply."""
    resolver: str = ""
    holders: tuple[Holder, ...] = ()
    sla_sequence: int = 0
    targets: tuple[Target, ...] = ()
    escalations: tuple[int, ...] = ()
    cluster: str = ""
    """The id of the oldest ticket that this one is like."""
    answer: str = ""
    """Whether kb found an answer for its receipt, or none; "" if nobody could ask."""

    @property
    def state(self) -> str:
        """Open, resolved or closed."""
        return self.moves[-1][1] if self.moves else OPEN

    @property
    def team(self) -> str:
        """The team it is with, "" before routing has said one."""
        return self.holders[-1].team if self.holders else ""

    @property
    def holder(self) -> str:
        """Who had it last."""
        return next((one.agent for one in reversed(self.holders) if one.agent), "")

    @property
    def agents(self) -> tuple[str, ...]:
        """Everybody who had it, answered it or resolved it."""
        held = (one.agent for one in self.holders)
        named = (*held, *self.repliers, self.resolver)
        return tuple(dict.fromkeys(agent for agent in named if agent))

    @property
    def assignments(self) -> int:
        """How often an agent got it."""
        before = ("", *(one.agent for one in self.holders))
        pairs = zip(before, self.holders, strict=False)
        return sum(bool(one.agent) and one.agent != last for last, one in pairs)

    @property
    def bounced(self) -> int:
        """How often an agent lost it, to nobody or to another, though it was not closed."""
        return sum(
            bool(one.agent) and after.agent != one.agent and not after.closed
            for one, after in pairwise(self.holders)
        )

    @property
    def hand_overs(self) -> int:
        """How often another agent than the last had it."""
        had = [one.agent for one in self.holders if one.agent]
        return sum(one != after for one, after in pairwise(had))

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """A history as it is stored."""
        return cls(
            **found
            | {
                "moves": tuple((at, state) for at, state in found["moves"]),
                "repliers": tuple(found["repliers"]),
                "holders": tuple(Holder(**one) for one in found["holders"]),
                "targets": tuple(Target(**one) for one in found["targets"]),
                "escalations": tuple(found["escalations"]),
            }
        )


def second(moment: datetime) -> int:
    """The whole seconds since 1970."""
    return int(moment.timestamp() // 1)


def agent_of(actor: Actor) -> str:
    """How statistics know an agent: by address, else by id."""
    return (actor.email or actor.id).lower()


def first_history(ticket: Ticket) -> History:
    """What a ticket itself shows of its past, where nothing was remembered."""
    moves = ((ticket.resolved_at, RESOLVED), (ticket.closed_at, CLOSED))
    return History(moves=tuple((second(at), state) for at, state in moves if at is not None))


def after_fact(history: History, fact: Fact, actor: Actor) -> History:
    """The history after something that intake did to the ticket."""
    by = agent_of(actor) if actor.kind is ActorKind.AGENT else ""
    state = _STATES.get(fact.ticket.status, OPEN)
    if state != history.state:
        moves = (*history.moves, (second(fact.at), state))
        if len(moves) > _MOST_MOVES and moves[1][1] == OPEN:
            moves = moves[2:]
        history = replace(history, moves=moves)
        if state == RESOLVED:
            history = replace(history, resolver=by or history.holder)
    if isinstance(fact, Posted):
        message = fact.message
        author = message.author
        if message.kind is MessageKind.REPLY and author.kind is ActorKind.AGENT:
            name = agent_of(author)
            repliers = dict.fromkeys((*history.repliers, name))
            history = replace(
                history,
                responder=name if message.first_response else history.responder,
                repliers=tuple(repliers)[:_MOST_ENTRIES],
                replies=history.replies + 1,
                helped=history.helped + bool(message.quick_reply_id),
            )
    return history


def after_assignment(
    history: History, assignment: Assignment, *, closed: bool = False, forced: bool = False
) -> History:
    """The history after routing said who has it; `forced` replaces what was said before."""
    agent = (assignment.agent_email or assignment.agent_id or "").lower()
    new = Holder(assignment.sequence, agent, assignment.team or "", closed)
    known = {one.sequence: one for one in history.holders}
    if new.sequence in known and not forced:
        return history
    if forced and (before := known.get(new.sequence)):
        new = replace(new, closed=before.closed)
    holders = sorted((known | {new.sequence: new}).values(), key=lambda one: one.sequence)
    return replace(history, holders=tuple(holders[-_MOST_ENTRIES:]))


def after_clock(history: History, sla: Sla, *, forced: bool = False) -> History:
    """The history after sla said where the targets stand; only the newest word counts."""
    if sla.sequence < history.sla_sequence or (sla.sequence == history.sla_sequence and not forced):
        return history
    told = (
        ("response", sla.response_state, sla.response_due_at),
        ("resolution", sla.resolution_state, sla.resolution_due_at),
    )
    targets = tuple(Target(kind, state, second(due)) for kind, state, due in told if state and due)
    return replace(history, sla_sequence=sla.sequence, targets=targets)


def after_escalation(history: History, sequence: int) -> History:
    """The history after an escalation, which sla told with event `sequence`."""
    if sequence in history.escalations:
        return history
    known = sorted((*history.escalations, sequence))[-_MOST_ENTRIES:]
    return replace(history, escalations=tuple(known))


def after_likeness(history: History, older: str) -> History:
    """The history after kb found it to be like an older ticket; ids grow with time."""
    if not older or (history.cluster and history.cluster <= older):
        return history
    return replace(history, cluster=older)


def after_answer(history: History, found: bool) -> History:
    """The history after its receipt went out with an answer of kb's, or without one."""
    return history if history.answer == FOUND else replace(history, answer=FOUND if found else NONE)
