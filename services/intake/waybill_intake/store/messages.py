"""Single messages, the edits of notes, and the tickets that go on with closed ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.conversation import NoteEdited
from waybill_intake.domain.ticket import Message
from waybill_intake.store.rows import as_json, to_message

_READ = text("SELECT * FROM messages WHERE id = :id AND ticket_id = :ticket_id")
# The history is written from what stands there, so that no edit is ever left out of it.
_EDIT = text(
    """
    WITH new AS (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS n (
            id uuid, body text, before text, mentions json, edited_at timestamptz,
            editor_id text, editor_name text, number integer
        )
    ), kept AS (
        INSERT INTO message_edits (message_id, editor_id, editor_name, edited_at, body)
        SELECT id, editor_id, editor_name, edited_at, before FROM new ORDER BY number
    ), last AS (
        SELECT DISTINCT ON (id) * FROM new ORDER BY id, number DESC
    )
    UPDATE messages m
    SET body = n.body, edited_at = n.edited_at,
        mentions = ARRAY(SELECT json_array_elements_text(n.mentions))
    FROM last n WHERE m.id = n.id
    """
)
_EDITS = text(
    """
    SELECT position, editor_id, editor_name, edited_at, body FROM message_edits
    WHERE message_id = :message_id AND position > :after ORDER BY position LIMIT :limit
    """
)
_KIN = text(
    """
    WITH RECURSIVE kin (id) AS (
        SELECT id FROM tickets WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION
        SELECT next.id FROM kin JOIN tickets t ON t.id = kin.id AND t.status = 'closed',
        LATERAL (
            SELECT t.merged_into AS id WHERE t.merged_into IS NOT NULL
            UNION ALL
            SELECT CAST(link ->> 'ticket_id' AS uuid) FROM jsonb_array_elements(t.links) AS link
            WHERE link ->> 'kind' = 'followed_by'
        ) AS next
    )
    SELECT id FROM kin JOIN tickets USING (id) ORDER BY id DESC LIMIT :most
    """
)
_MOST_KIN = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """What a note was like until somebody edited it."""

    position: int
    editor_id: str
    editor_name: str
    edited_at: datetime
    body: str


async def read(connection: AsyncConnection, ticket_id: UUID, id: UUID) -> Message | None:
    """A message of this ticket."""
    row = (await connection.execute(_READ, {"id": id, "ticket_id": ticket_id})).first()
    return None if row is None else to_message(row)


async def edit(uow: UnitOfWork, edits: Sequence[NoteEdited]) -> None:
    """Write notes anew, and keep what they were like."""
    await uow.execute(
        _EDIT,
        {
            "rows": as_json(
                {
                    "id": one.message.id,
                    "body": one.message.body,
                    "before": one.before.body,
                    "mentions": one.message.mentions,
                    "edited_at": one.message.edited_at,
                    "editor_id": one.message.author.id,
                    "editor_name": one.message.author.name,
                    "number": number,
                }
                for number, one in enumerate(edits)
            )
        },
    )


async def edits(
    connection: AsyncConnection, message_id: UUID, *, after: int | None, limit: int
) -> list[Edit]:
    """What a note was like before, the first words first."""
    rows = await connection.execute(
        _EDITS, {"message_id": message_id, "after": after or 0, "limit": limit}
    )
    return [Edit(**row._asdict()) for row in rows]


async def kin(connection: AsyncConnection, ids: Iterable[UUID]) -> set[UUID]:
    """These tickets, and all that go on with those of them that are closed."""
    rows = await connection.execute(_KIN, {"ids": list(ids), "most": _MOST_KIN})
    return {row.id for row in rows}
