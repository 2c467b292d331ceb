"""Attachments: rows that say what is there, and the objects that are to go."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.attachments import Attachment, Owner
from waybill_intake.domain.ticket import Message, Ticket
from waybill_intake.domain.words import ActorKind
from waybill_intake.store.rows import as_json

_ALL = "= ANY(CAST(:ids AS uuid[]))"
_BEGIN = text("INSERT INTO stray_objects (id, due_at, doomed) VALUES (:id, :due_at, false)")
_FINISH = text("DELETE FROM stray_objects WHERE id = :id AND NOT doomed")
_INSERT = text(
    "INSERT INTO attachments "
    "SELECT * FROM json_populate_recordset(NULL::attachments, CAST(:rows AS json))"
)
_WAITING = text(
    "SELECT count(*) FROM attachments "
    "WHERE owner = :owner AND owner_kind = :kind AND ticket_id IS NULL"
)
_READ = text(f"SELECT * FROM attachments WHERE id {_ALL}")
_LOCK = text(f"SELECT * FROM attachments WHERE id {_ALL} ORDER BY id FOR UPDATE")
_ATTACH = text(
    """
    UPDATE attachments a SET ticket_id = r.ticket_id, message_id = r.message_id,
        internal = r.internal, expires_at = NULL
    FROM json_populate_recordset(NULL::attachments, CAST(:rows AS json)) r WHERE a.id = r.id
    """
)
_ERASE = text(
    """
    WITH gone AS (
        DELETE FROM attachments
        WHERE ticket_id = ANY(CAST(:ids AS uuid[]))
        OR (owner_kind = 'submitter' AND owner = ANY(CAST(:emails AS text[])))
        OR id = ANY(CAST(:files AS uuid[]))
        RETURNING id
    )
    INSERT INTO stray_objects (id, due_at, doomed) SELECT id, :now, true FROM gone
    ON CONFLICT DO NOTHING RETURNING id
    """
)
_EXPIRE = text(
    """
    WITH gone AS (
        DELETE FROM attachments WHERE id = ANY(ARRAY(
            SELECT id FROM attachments WHERE ticket_id IS NULL AND expires_at <= :now
            ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    )
    INSERT INTO stray_objects (id, due_at, doomed) SELECT id, :now, true FROM gone
    ON CONFLICT DO NOTHING
    """
)
_DUE = text(
    """
    UPDATE stray_objects SET doomed = true, due_at = :again WHERE id = ANY(ARRAY(
        SELECT id FROM stray_objects WHERE due_at <= :now
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING id
    """
)
_DOOM = text("UPDATE stray_objects SET doomed = true, due_at = :now WHERE id = :id AND NOT doomed")
_FORGET = text(f"DELETE FROM stray_objects WHERE id {_ALL}")
_UNKNOWN = text(
    """
    INSERT INTO stray_objects (id, due_at, doomed)
    SELECT o.id, :now, true FROM unnest(CAST(:ids AS uuid[])) AS o (id)
    WHERE NOT EXISTS (SELECT FROM attachments a WHERE a.id = o.id)
    ON CONFLICT DO NOTHING
    """
)
_AUDIT = text("UPDATE object_audits SET done_at = :now WHERE done_at <= :before")

RETRY = timedelta(minutes=1)
"""After what time an object is tried again whose deletion did not succeed."""


async def begin(uow: UnitOfWork, id: UUID, due_at: datetime) -> None:
    """An upload begins to write its object, which is in nobody's way until then."""
    await uow.execute(_BEGIN, {"id": id, "due_at": due_at})


async def finish(uow: UnitOfWork, file: Attachment) -> bool:
    """Its object is whole, so it may have its row; False if the sweep has come before."""
    if not (await uow.execute(_FINISH, {"id": file.id})).rowcount:
        return False
    row = {name: getattr(file, name) for name in Attachment.__dataclass_fields__}
    await uow.execute(_INSERT, {"rows": as_json([row])})
    return True


async def waiting(connection: AsyncConnection, owner: Owner) -> int:
    """How many uploads of theirs are attached to nothing yet."""
    found = await connection.execute(_WAITING, {"owner": owner.id, "kind": owner.kind.value})
    return int(found.scalar_one())


async def read(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Attachment]:
    """The attachments among `ids`."""
    if not (wanted := list(ids)):
        return {}
    rows = await connection.execute(_READ, {"ids": wanted})
    return {row.id: _of_row(row) for row in rows}


async def of_ticket(connection: AsyncConnection, ticket: Ticket) -> list[Attachment]:
    """What came with its opening, in order."""
    found = await read(connection, ticket.attachment_ids)
    return [found[id] for id in ticket.attachment_ids if id in found]


async def of_messages(
    connection: AsyncConnection, messages: Iterable[Message]
) -> dict[UUID, Attachment]:
    """What some messages carry."""
    return await read(connection, [id for message in messages for id in message.attachment_ids])


async def lock(uow: UnitOfWork, ids: Collection[UUID]) -> dict[UUID, Attachment]:
    """The attachments among `ids`, locked in the order of their ids; tickets are locked before."""
    if not ids:
        return {}
    return {row.id: _of_row(row) for row in await uow.execute(_LOCK, {"ids": list(ids)})}


async def attach(uow: UnitOfWork, files: Sequence[Attachment]) -> None:
    """Write where files that were locked before now hang."""
    rows = [
        {
            "id": file.id,
            "ticket_id": file.ticket_id,
            "message_id": file.message_id,
            "internal": file.internal,
        }
        for file in files
    ]
    await uow.execute(_ATTACH, {"rows": as_json(rows)})


async def erase(
    uow: UnitOfWork,
    ticket_ids: Collection[UUID],
    emails: Collection[str] = (),
    files: Collection[UUID] = (),
) -> list[UUID]:
    """Remove all files of these tickets, these `files`, and what submitters of `emails` uploaded.

    Their rows are gone with this transaction, their objects with the next sweep, whatever
    happens in between. Gives their ids, which tickets and messages may still name.
    """
    rows = await uow.execute(
        _ERASE,
        {
            "ids": list(ticket_ids),
            "emails": list(emails),
            "files": list(files),
            "now": uow.now,
        },
    )
    return sorted(row.id for row in rows)


async def expire(uow: UnitOfWork, limit: int) -> int:
    """Remove uploads that waited too long; how many."""
    return (await uow.execute(_EXPIRE, {"now": uow.now, "limit": limit})).rowcount


async def due(uow: UnitOfWork, limit: int) -> list[UUID]:
    """Doom objects that are to go. Nobody else gets them for a while."""
    rows = await uow.execute(_DUE, {"now": uow.now, "again": uow.now + RETRY, "limit": limit})
    return [row.id for row in rows]


async def doom(uow: UnitOfWork, id: UUID) -> bool:
    """Give an upload up: False if it has its row already, or the sweep has it."""
    return bool((await uow.execute(_DOOM, {"id": id, "now": uow.now})).rowcount)


async def forget(uow: UnitOfWork, ids: Collection[UUID]) -> None:
    """These objects are gone."""
    await uow.execute(_FORGET, {"ids": list(ids)})


async def doom_unknown(uow: UnitOfWork, ids: Collection[UUID]) -> int:
    """Doom the objects among `ids` that no table knows; how many."""
    return (await uow.execute(_UNKNOWN, {"ids": list(ids), "now": uow.now})).rowcount


async def claim_audit(uow: UnitOfWork, every: timedelta) -> bool:
    """Whether it is time to go through the store, and nobody else does."""
    found = await uow.execute(_AUDIT, {"now": uow.now, "before": uow.now - every})
    return bool(found.rowcount)


def _of_row(row: Any) -> Attachment:
    fields = row._asdict()
    return Attachment(
        **fields | {"owner_kind": ActorKind(row.owner_kind), "products": tuple(row.products)}
    )
