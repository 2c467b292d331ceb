"""Erasing a person on request: all they wrote and are goes, what happened stays.

A person with very many tickets is erased in several transactions. Until the last of them they keep
their address, by which the next finds what is left. Each but the last notes for whom it was done:
when the process that began is gone, `finish` goes on.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict, ParseDict
from waybill.common.v1.actor_pb2 import Cause
from waybill.intake.v1.events_pb2 import PersonErased
from waybill_chassis import erasing as chassis
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.problems import Conflict, NotFound
from waybill_chassis.times import timestamp

from waybill_intake import events
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import people as rules
from waybill_intake.domain.people import Known
from waybill_intake.domain.ticket import AUTOMATION, Actor
from waybill_intake.domain.words import ActorKind
from waybill_intake.store import attachments, erasing, people, saved_views
from waybill_intake.store.finding import kept

BATCH = 200
"""Tickets that one transaction holds."""

FINISH_SECONDS = 60.0
"""How often what was broken off is looked for, and how long a step may take."""

_AT_ONCE = 10
_TRIES = 20


class _Overtaken(Exception):
    """A ticket was opened for the person before they were locked: begin this step again."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, and when."""

    submitter_id: UUID
    erased_at: datetime
    tickets: int


def unknown_person() -> NotFound:
    """There is none, or none whose tickets the caller may see."""
    return NotFound("There is no such submitter.")


async def erase(database: Database, id: UUID, origin: Origin, batch: int = BATCH) -> Erasure:
    """Erase a person; one who is erased already stays so. `NotFound` for an unknown one."""
    tries = 0
    while True:
        try:
            async with database.unit_of_work() as uow:
                if done := await _step(uow, id, origin, batch):
                    return done
        except _Overtaken:
            tries += 1
            if tries == _TRIES:
                raise Conflict(
                    "New tickets keep coming for this person: ask again in a moment."
                ) from None


async def finish(database: Database, batch: int = BATCH) -> None:
    """Go on with erasures that have not come further for a while."""
    async with database.reading() as connection:
        before = database.clock.now() - timedelta(seconds=FINISH_SECONDS)
        found = await people.unfinished(connection, before=before, limit=_AT_ONCE)
    for id, asked in found.items():
        await erase(database, id, _origin(asked), batch)


async def _step(uow: UnitOfWork, id: UUID, origin: Origin, batch: int) -> Erasure | None:
    """Erase what hangs on some tickets; with the last of them the person, and what that was."""
    person = await people.person(uow.connection, id)
    if person is None:
        raise unknown_person()
    found = await people.concerned(uow.connection, person, batch + 1)
    now = dict(list(found.items())[:batch])
    docket = Docket(uow)
    await docket.take(now)
    person = await people.lock_person(uow, id)
    if person.erased_at is not None:
        count = await people.erased_tickets(uow.connection, id)
        return Erasure(id, person.erased_at, count)
    last = len(found) <= batch
    if last and (await people.concerned(uow.connection, person, batch + 1)).keys() - now.keys():
        raise _Overtaken
    person = replace(person, other_names=await erasing.names(uow, person))
    await _erase_tickets(docket, person, now, origin)
    if not last:
        await people.erasing(uow, id, _asked(origin))
        return None
    await people.forget(uow, id)
    return Erasure(id, uow.now, await people.erased_tickets(uow.connection, id))


def _asked(origin: Origin) -> dict[str, Any]:
    return {"actor": asdict(origin.actor), "cause": MessageToDict(origin.cause)}


def _origin(asked: dict[str, Any]) -> Origin:
    actor = asked["actor"]
    return Origin(
        Actor(**(actor | {"kind": ActorKind(actor["kind"])})), ParseDict(asked["cause"], Cause())
    )


async def _erase_tickets(
    docket: Docket, person: Known, tickets: dict[UUID, bool], origin: Origin
) -> None:
    uow = docket.uow
    own = [id for id, theirs in tickets.items() if theirs]
    others = [id for id, theirs in tickets.items() if not theirs]
    for id in own:
        docket.note([rules.erase(docket.get(id), person, docket.now)], origin)
        docket.note(rules.close(docket.get(id), docket.now), Origin(AUTOMATION, origin.cause))
    for id in others:
        docket.note(rules.forget_watcher(docket.get(id), person, docket.now), origin)
    await docket.write()
    files = await erasing.files(uow, person, own)
    gone = await attachments.erase(uow, own, [person.email], files)
    # Before the words: without the address in it a view is about nobody.
    await saved_views.forget(uow, person.email)
    await erasing.erase_words(uow, person, own, others, gone)
    await kept.rewrite(uow, tickets)
    await chassis.forget(uow, email=person.email, name=person.name, ticket_ids=own)
    uow.emit(
        PersonErased(
            actor=events.to_actor(origin.actor),
            cause=origin.cause,
            submitter_id=str(person.id),
            email=person.email,
            name=person.name,
            ticket_ids=map(str, own),
            erased_at=timestamp(uow.now),
        ),
        subject=person.id,
        aggregate_type="person",
    )
