"""What routing and sla say of tickets, kept beside them, and the moves that it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import rules
from waybill_intake.domain.facts import Assignment, Facts, Sla, Suspicion
from waybill_intake.domain.statistics_history import after_assignment, after_clock
from waybill_intake.store import facts


@dataclass(frozen=True, slots=True)
class _News:
    """The newest that routing said of a ticket in this batch."""

    at: datetime
    origin: Origin
    had: bool
    closed: bool


class Projections:
    """The facts of the tickets in hand; what is not newer than what is known is ignored."""

    def __init__(self, docket: Docket, known: Mapping[UUID, Facts]) -> None:
        self._docket = docket
        self._known = dict(known)
        self._news: dict[UUID, _News] = {}
        self._slas: set[UUID] = set()
        self._guesses: set[UUID] = set()

    def of(self, id: UUID) -> Facts:
        """What is known of a ticket by now."""
        return self._known.get(id, Facts())

    def know_assignment(
        self,
        id: UUID,
        new: Assignment,
        at: datetime,
        origin: Origin,
        *,
        taken_from: bool = False,
        closed: bool = False,
        forced: bool = False,
    ) -> None:
        """Keep who has a ticket.

        `taken_from`: the event itself says that somebody had it. `closed`: it was released
        because it is closed. `forced`: the owner was asked, so it holds though it is not newer.
        """
        tally = self._docket.tally
        tally.hear(id, partial(after_assignment, assignment=new, closed=closed, forced=forced))
        tally.name((new.agent_email or new.agent_id or "").lower(), new.agent_name or "")
        known = self._known.get(id, Facts())
        if not _is_news(new.sequence, known.assignment.sequence, forced):
            return
        before = self._news.get(id)
        had = taken_from or known.assignment.agent_id is not None or bool(before and before.had)
        self._known[id] = replace(known, assignment=new, assigned_at=at)
        self._news[id] = _News(min(at, self._docket.now), origin, had, closed)

    def know_sla(self, id: UUID, new: Sla, *, forced: bool = False) -> None:
        """Keep where a ticket's targets stand."""
        self._docket.tally.hear(id, partial(after_clock, sla=new, forced=forced))
        known = self._known.get(id, Facts())
        if _is_news(new.sequence, known.sla.sequence, forced):
            self._known[id] = replace(known, sla=new)
            self._slas.add(id)

    def know_triage(self, id: UUID, version: int) -> bool:
        """Keep what version of a ticket triage has looked at; False if it saw a newer one."""
        known = self.of(id)
        if version < known.triaged_version:
            return False
        if version > known.triaged_version:
            self._known[id] = replace(known, triaged_version=version)
            self._guesses.add(id)
        return True

    def know_suspected(self, id: UUID, found: Sequence[Suspicion], sequence: int) -> None:
        """Keep which other tickets a ticket may be the same as."""
        known = self.of(id)
        if sequence >= known.kb_sequence:
            self._known[id] = known.suspecting(found, sequence)
            self._guesses.add(id)

    async def write(self) -> None:
        """Note the moves that the assignments mean, and write what has changed.

        Only the last word of a batch moves a ticket: one that is released by one person and had
        by another in the same moment never waits in between.
        """
        for id, news in self._news.items():
            if (ticket := self._docket.find(id)) is None:
                continue
            if self._known[id].assignment.agent_id is not None:
                self._docket.note(rules.assigned(ticket, news.at), news.origin)
            elif news.had and not news.closed:
                self._docket.note(rules.released(ticket, news.at), news.origin)
        uow, known = self._docket.uow, self._known
        if self._news:
            await facts.write_assignments(uow, [(id, known[id]) for id in self._news])
        if self._slas:
            await facts.write_slas(uow, [(id, known[id].sla) for id in self._slas])
        if self._guesses:
            await facts.write_guesses(uow, [(id, known[id]) for id in self._guesses])


def _is_news(new: int, known: int, forced: bool) -> bool:
    return new > known or (forced and new == known)
