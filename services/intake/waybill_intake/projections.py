"""What routing and sla say of tickets, kept beside them, and the moves that it means."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import rules
from waybill_intake.store import facts
from waybill_intake.store.facts import Assignment, Facts, Sla


class Projections:
    """The facts of the tickets in hand; what is not newer than what is known is ignored."""

    def __init__(self, docket: Docket, known: Mapping[UUID, Facts]) -> None:
        self._docket = docket
        self._known = dict(known)
        self._assignments: dict[UUID, Assignment] = {}
        self._slas: dict[UUID, Sla] = {}

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
        """Keep who has a ticket; the work on it begins, or it waits again.

        `taken_from`: the event itself says that somebody had it. `closed`: it was released
        because it is closed. `forced`: the owner was asked, so it holds though it is not newer.
        """
        known = self._known.get(id, Facts())
        if not _is_news(new.sequence, known.assignment.sequence, forced):
            return
        had = taken_from or known.assignment.agent_id is not None
        self._known[id] = replace(known, assignment=new)
        self._assignments[id] = new
        ticket = self._docket.find(id)
        if ticket is None:
            return
        at = min(at, self._docket.now)
        if new.agent_id is not None:
            self._docket.note(rules.assigned(ticket, at), origin)
        elif had and not closed:
            self._docket.note(rules.released(ticket, at), origin)

    def know_sla(self, id: UUID, new: Sla, *, forced: bool = False) -> None:
        """Keep where a ticket's targets stand."""
        known = self._known.get(id, Facts())
        if _is_news(new.sequence, known.sla.sequence, forced):
            self._known[id] = replace(known, sla=new)
            self._slas[id] = new

    async def write(self) -> None:
        """Write what has changed."""
        if self._assignments:
            await facts.write_assignments(self._docket.uow, list(self._assignments.items()))
        if self._slas:
            await facts.write_slas(self._docket.uow, list(self._slas.items()))


def _is_news(new: int, known: int, forced: bool) -> bool:
    return new > known or (forced and new == known)
