"""Merges: the conversation moves, and what is needed to undo it is kept."""

from dataclasses import asdict
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import text
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.ticket import Merge

_MERGE = TypeAdapter(Merge)
_MOVE = text(
    """
    WITH moved AS (
        UPDATE messages
        SET ticket_id = :target_id, original_ticket_id = coalesce(original_ticket_id, ticket_id)
        WHERE ticket_id = :source_id
        RETURNING id
    )
    INSERT INTO merges (id, source_id, target_id, merged_at, body, message_ids)
    SELECT :id, :source_id, :target_id, :merged_at, CAST(:body AS jsonb),
           coalesce(array_agg(id), '{}')
    FROM moved
    """
)
_MOVE_BACK = text(
    """
    WITH undone AS (
        UPDATE merges SET undone_at = :undone_at WHERE id = :id RETURNING source_id, message_ids
    )
    UPDATE messages m
    SET ticket_id = u.source_id,
        original_ticket_id = nullif(m.original_ticket_id, u.source_id)
    FROM undone u WHERE m.id = ANY(u.message_ids)
    """
)
_FILES = text("UPDATE attachments SET ticket_id = :target_id WHERE ticket_id = :source_id")
_FILES_BACK = text(
    """
    UPDATE attachments a SET ticket_id = m.source_id FROM merges m
    WHERE m.id = :id AND a.ticket_id = m.target_id
    AND (a.id = ANY(CAST(:attachment_ids AS uuid[])) OR a.message_id = ANY(m.message_ids))
    """
)
_STANDING = text(
    """
    SELECT body FROM merges WHERE source_id = :source_id AND undone_at IS NULL
    ORDER BY merged_at DESC LIMIT 1
    """
)


async def write(uow: UnitOfWork, merge: Merge) -> None:
    """Move the source's messages and files to the target and keep the merge; or undo both."""
    if merge.undone_at is not None:
        await uow.execute(_MOVE_BACK, {"id": merge.id, "undone_at": merge.undone_at})
        await uow.execute(_FILES_BACK, {"id": merge.id, "attachment_ids": merge.attachment_ids})
        return
    await uow.execute(_FILES, {"source_id": merge.source_id, "target_id": merge.target_id})
    await uow.execute(
        _MOVE,
        {
            "id": merge.id,
            "source_id": merge.source_id,
            "target_id": merge.target_id,
            "merged_at": merge.merged_at,
            "body": to_json(asdict(merge)).decode(),
        },
    )


async def standing(uow: UnitOfWork, source_id: UUID) -> Merge | None:
    """The merge that closed this ticket; None if there is none, or if it was undone."""
    body = (await uow.execute(_STANDING, {"source_id": source_id})).scalar()
    return None if body is None else _MERGE.validate_python(body)
