"""kb's picture of the tickets: refreshed by their events, compared by their texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill.common.v1.actor_pb2 import Cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import NO_TRACE, TraceContext

from waybill_kb import events
from waybill_kb.domain.texts import text_hash
from waybill_kb.domain.tickets import Picture, Sibling, Windows, findings
from waybill_kb.store import tickets as store
from waybill_kb.store.tickets import Group


@dataclass(frozen=True, slots=True)
class Sighting:
    """A ticket as an event shows it."""

    picture: Picture
    cause: Cause
    at: datetime
    trace: TraceContext = NO_TRACE


async def observe(
    uow: UnitOfWork, sightings: Sequence[Sighting], windows: Windows, *, repair: bool = False
) -> None:
    """Keep the newest picture of each ticket; compare those that are seen for the first time.

    Whatever event shows a ticket first makes it known: should its opening be missed or come
    late, nothing else is different. `repair` also overwrites a picture of the same sequence.
    """
    if gone := {sighting.picture.id for sighting in sightings if sighting.picture.erased}:
        await store.erase(uow, [], sorted(gone))
        sightings = [sighting for sighting in sightings if sighting.picture.id not in gone]
    known = await store.held(uow, {sighting.picture.id for sighting in sightings})
    first: dict[UUID, Sighting] = {}
    newest: dict[UUID, Picture] = {}
    for sighting in sightings:
        picture = sighting.picture
        held = known.get(picture.id)
        if held is not None and held.erased:
            continue
        if held is None:
            first.setdefault(picture.id, sighting)
        seen = max(
            held.sequence if held is not None else -1,
            newest[picture.id].sequence if picture.id in newest else -1,
        )
        if picture.sequence > seen or (repair and picture.sequence == seen):
            newest[picture.id] = picture
    if not newest:
        return
    pictures = sorted(newest.values(), key=lambda picture: picture.id)
    same_text = {
        picture.id
        for picture in pictures
        if not repair
        and (held := known.get(picture.id)) is not None
        and held.text_hash == picture.text_hash
    }
    await store.put(uow, pictures, same_text)
    await _compare(uow, [newest[id] for id in first], first, windows)


async def _compare(
    uow: UnitOfWork, fresh: Sequence[Picture], first: dict[UUID, Sighting], windows: Windows
) -> None:
    """Tell what the first sight of these tickets means, for them and for younger twins."""
    groups = list(
        {
            Group(picture.submitter_id, picture.product, picture.text_hash): None
            for picture in fresh
            if picture.text_hash is not None and picture.submitter_id
        }
    )
    if not groups:
        return
    await store.lock_groups(uow, groups)
    ids = [picture.id for picture in fresh]
    for group, siblings in (await store.siblings(uow, groups)).items():
        for finding in findings(siblings, ids, windows):
            why = first[finding.because_of]
            if finding.duplicates:
                uow.emit(
                    events.duplicate_suspected(finding, why.cause),
                    subject=finding.ticket.id,
                    occurred_at=why.at,
                    trace=why.trace,
                )
            if finding.earlier:
                uow.emit(
                    events.issue_repeated(finding, group.submitter_id, windows.repeat, why.cause),
                    subject=finding.ticket.id,
                    occurred_at=why.at,
                    trace=why.trace,
                )


async def forget(uow: UnitOfWork, submitter_ids: Iterable[str], ids: Iterable[UUID]) -> None:
    """Erase the words of these people's tickets for good."""
    await store.erase(uow, list(submitter_ids), list(ids))


async def similar(
    connection: AsyncConnection,
    *,
    now: datetime,
    window: timedelta,
    ticket: UUID | None = None,
    text: str = "",
    language: str = "",
    products: Sequence[str] | None,
    limit: int,
) -> list[tuple[Sibling, float, bool, bool]]:
    """Tickets like a known ticket, or like a text, of the last `window`, the most similar first."""
    lexemes, hash, submitter_id, query = await store.words_of(
        connection, ticket=ticket, words=text, language=language
    )
    return await store.alike(
        connection,
        lexemes=lexemes,
        query=query,
        text_hash=hash or text_hash("", text),
        submitter_id=submitter_id,
        not_this=ticket,
        products=products,
        since=now - window,
        limit=limit,
    )
