"""The tickets in hand and what happened to them, until both are written."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from waybill.common.v1.actor_pb2 import Cause, CauseKind
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.telemetry import current_trace
from waybill_chassis.words import word

from waybill_intake import events
from waybill_intake.attaching import Files
from waybill_intake.counting import Tally
from waybill_intake.domain import playbooks as playbook_rules
from waybill_intake.domain.attachments import MOST_FILES
from waybill_intake.domain.conversation import NoteEdited
from waybill_intake.domain.facts import Facts
from waybill_intake.domain.playbooks import Playbook, Playbooks
from waybill_intake.domain.ticket import (
    Actor,
    Attached,
    Edited,
    Fact,
    Linked,
    Merged,
    Moved,
    Opened,
    Posted,
    Rated,
    Reminded,
    Ticket,
)
from waybill_intake.domain.words import MergeRole, Status
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.store import attachments, log, merges, messages, playbooks, tickets
from waybill_intake.store import facts as projected
from waybill_intake.store.finding import kept
from waybill_intake.store.log import Line


@dataclass(frozen=True, slots=True)
class Origin:
    """Who does something, what led to it, and where in a trace; None: where we are."""

    actor: Actor
    cause: Cause
    trace: TraceContext | None = None


class Docket:
    """Load, decide, write: tickets are locked once, facts are noted, all is written at the end."""

    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow
        self._tickets: dict[UUID, Ticket] = {}
        self._new: dict[UUID, None] = {}
        self._changed: dict[UUID, None] = {}
        self._facts: list[tuple[Fact, Origin]] = []
        self._heard: list[Line] = []
        self._playbooks = Playbooks((), ())
        self.files = Files({}, uow.now, MOST_FILES)
        """The uploads that may be attached; `take_files` brings them in."""
        self.tally = Tally()
        """What is to be counted of the tickets in hand."""

    @property
    def now(self) -> datetime:
        """The moment of the unit of work."""
        return self.uow.now

    async def take(self, ids: Iterable[UUID], *, survivors: bool = False) -> None:
        """Lock these tickets; unknown ids are left out. Once a unit, so that nobody deadlocks.

        With `survivors` also those that they were merged into.
        """
        wanted = set(ids)
        while wanted:
            for ticket in await tickets.lock(self.uow, sorted(wanted), survivors=survivors):
                self._tickets[ticket.id] = ticket
            # Again only for what was merged in the moment before the lock.
            wanted = {
                ticket.merged_into
                for ticket in self._tickets.values()
                if survivors and ticket.merged_into and ticket.merged_into not in self._tickets
            }

    async def take_files(self, ids: Iterable[UUID]) -> None:
        """Lock these uploads, after the tickets; unknown ids are left out."""
        if ids := sorted(set(ids)):
            most = (await self.uow.settings()).of(IntakeSettings).attachments_max_files
            self.files = Files(await attachments.lock(self.uow, ids), self.now, most)

    def survivor(self, ticket: Ticket) -> Ticket:
        """The ticket that this one was merged into in the end, else itself; both are in hand."""
        while ticket.merged_into is not None:
            ticket = self.get(ticket.merged_into)
        return ticket

    def find(self, id: UUID | None) -> Ticket | None:
        """A ticket in hand, as it stands after all that was noted."""
        return None if id is None else self._tickets.get(id)

    def get(self, id: UUID) -> Ticket:
        """A ticket in hand; `NotFound` if there is none."""
        ticket = self.find(id)
        if ticket is None:
            raise unknown_ticket(id)
        return ticket

    def note(self, facts: Iterable[Fact], origin: Origin) -> None:
        """Keep what happened, in the order it happened."""
        for fact in facts:
            self._facts.append((fact, origin))
            id = fact.ticket.id
            self._tickets[id] = fact.ticket
            if isinstance(fact, Opened):
                self._new[id] = None
            elif id not in self._new:
                self._changed[id] = None

    def hear(self, line: Line) -> None:
        """Keep what others did: it stands in the log before what follows from it."""
        self._heard.append(line)

    async def know_playbooks(self) -> None:
        """Read the playbooks of the tickets in hand, before somebody resolves them."""
        products = {ticket.product for ticket in self._tickets.values()}
        self._playbooks = await playbooks.read(self.uow.connection, products)

    def playbook(self, ticket: Ticket) -> Playbook:
        """What is to be done with a ticket; `know_playbooks` comes first."""
        return self._playbooks.of(ticket.product, ticket.type)

    async def _skip(self) -> None:
        """Keep in the tickets that were resolved which points of their checklists were not done."""
        resolved = [fact for fact, _ in self._facts if _resolves(fact)]
        if not all(self._playbooks.knows(fact.ticket.product) for fact in resolved):
            await self.know_playbooks()
        skipped: dict[UUID, tuple[str, ...]] = {}
        for index, (fact, origin) in enumerate(self._facts if resolved else ()):
            ticket = fact.ticket
            if _resolves(fact):
                skipped[ticket.id] = playbook_rules.skipped(self.playbook(ticket), ticket)
            if ticket.id in skipped:
                after = replace(ticket, skipped=skipped[ticket.id])
                self._facts[index] = (replace(fact, ticket=after), origin)
                self._tickets[ticket.id] = after

    async def _settle_suspicions(self) -> None:
        """Suspect nothing of tickets that were merged, and never again once that is undone."""
        merged = [fact for fact, _ in self._facts if isinstance(fact, Merged)]
        if not merged:
            return
        ids = [fact.ticket.id for fact in merged]
        known = await projected.read(self.uow.connection, ids)
        for fact in merged:
            merge, mine = fact.merge, known.get(fact.ticket.id, Facts())
            away = fact.role is MergeRole.SOURCE
            other = merge.target_id if away else merge.source_id
            known[fact.ticket.id] = (
                mine.without(other)
                if merge.undone_at is None
                else mine.dismissing(other, merge.numbers[1 if away else 0])
            )
        await projected.write_guesses(self.uow, sorted(known.items(), key=lambda item: item[0]))

    async def write(self) -> None:
        """Write the tickets, the messages, the log and the statistics, and tell the events."""
        if not self._facts:
            await log.insert(self.uow, self._heard)
            self._heard.clear()
            await self.tally.write(self.uow, self._tickets, self._new)
            return
        await self.tally.know(self.uow, self._changed)
        await self._skip()
        posted = [fact.message for fact, _ in self._facts if isinstance(fact, Posted)]
        if self._new:
            await tickets.insert(self.uow, [self._tickets[id] for id in self._new], posted)
        if self._changed:
            await tickets.update(self.uow, [self._tickets[id] for id in self._changed], posted)
        if posted:
            await tickets.insert_messages(self.uow, posted)
        edited = [fact for fact, _ in self._facts if isinstance(fact, NoteEdited)]
        if edited:
            await messages.edit(self.uow, edited)
        attached = [fact.attachment for fact, _ in self._facts if isinstance(fact, Attached)]
        if attached:
            await attachments.attach(self.uow, attached)
        for fact, _ in self._facts:
            if isinstance(fact, Merged) and fact.role is MergeRole.SOURCE:
                await merges.write(self.uow, fact.merge)
        if reworded := {fact.ticket.id for fact, _ in self._facts if _rewords(fact)}:
            await kept.rewrite(self.uow, reworded)
        await self._settle_suspicions()
        told = [self._tell(fact, origin) for fact, origin in self._facts]
        await log.insert(self.uow, [*self._heard, *told])
        self._heard.clear()
        for fact, origin in self._facts:
            self.tally.note(fact, origin.actor)
        await self.tally.write(self.uow, self._tickets, self._new)
        self._facts.clear()

    def _tell(self, fact: Fact, origin: Origin) -> Line:
        message = events.to_event(fact, origin.actor, origin.cause)
        trace = origin.trace or current_trace()
        id = self.uow.emit(
            message,
            subject=fact.ticket.id,
            occurred_at=fact.at,
            trace=trace,
            event_id=new_id(),
        )
        return Line(
            ticket_id=fact.ticket.id,
            event_id=str(id),
            source="/waybill/intake",
            type=message.DESCRIPTOR.full_name,
            occurred_at=fact.at,
            recorded_at=self.now,
            actor_kind=origin.actor.kind,
            actor_id=origin.actor.id,
            actor_name=origin.actor.name,
            cause_kind=word(CauseKind, origin.cause.kind),
            cause_id=origin.cause.id,
            cause_type=origin.cause.type,
            summary=summary(fact),
            trace_id=trace.trace_id,
        )


def _rewords(fact: Fact) -> bool:
    """Whether other words of a ticket change than those that a message adds."""
    match fact:
        case Edited(changes=changes):
            return any(change.field in ("title", "description") for change in changes)
        case Merged():
            return True
    return False


def _resolves(fact: Fact) -> bool:
    return isinstance(fact, Moved) and fact.ticket.status is Status.RESOLVED


def summary(fact: Fact) -> str:
    """A fact in one line, for whoever reads the log."""
    match fact:
        case Opened(ticket=ticket):
            line = f"{ticket.number} opened: {ticket.type}, {ticket.priority}"
        case NoteEdited(message=message):
            line = f"{message.kind} edited by its author"
        case Edited(changes=changes):
            line = "; ".join(
                f"{one.field}: {_shown(one.before)} -> {_shown(one.after)}" for one in changes
            )
        case Moved(source=source, ticket=ticket, comment=comment):
            reason = f" ({ticket.close_reason})" if ticket.close_reason else ""
            said = f": {' '.join(comment.split())}" * bool(comment)
            line = f"{source} -> {ticket.status}{reason}{said}"
        case Posted(message=message):
            first = ", the first response" if message.first_response else ""
            line = f"{message.kind} by {message.author.kind}{first}"
        case Attached(attachment=file):
            line = f"{file.filename}, {file.media_type}, {file.size_bytes} bytes"
        case Reminded(kind=kind):
            line = f"{kind}"
        case Merged(role=role, merge=merge):
            away, into = merge.numbers
            line = f"merged into {into}" if role == "source" else f"took in {away}"
            if merge.undone_at is not None:
                line = f"no longer {line}" if role == "source" else f"gave back {away}"
        case Linked(link=link):
            line = f"{link.kind} {link.number}"
        case Rated(rating=rating):
            line = f"rated {rating.score}"
        case _:
            line = ""
    return line[:500]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "", {}) else str(value)
