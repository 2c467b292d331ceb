"""Tickets and messages: read under lock, written in batches."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id

from waybill_intake.domain.ticket import Message, Submitter, Ticket
from waybill_intake.domain.words import MessageKind
from waybill_intake.store.finding import kept
from waybill_intake.store.rows import as_json, of_message, of_ticket, to_message, to_ticket

COLUMNS = "t.*, s.email, s.name AS submitter_name"
SOURCE = "tickets t LEFT JOIN submitters s ON s.id = t.submitter_id"

# What never changes once a ticket is there, or is not the docket's to write.
_FIXED = frozenset({"id", "number", "created_at", "channel", "submitter_id", "opened_by_product"})

_LOCK = text(
    f"SELECT {COLUMNS} FROM {SOURCE} WHERE t.id = ANY(CAST(:ids AS uuid[])) "
    "ORDER BY t.id FOR UPDATE OF t"
)
_LOCK_WITH_SURVIVORS = text(
    f"""
    WITH RECURSIVE named (id, merged_into) AS (
        SELECT id, merged_into FROM tickets WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION
        SELECT t.id, t.merged_into FROM named n JOIN tickets t ON t.id = n.merged_into
    )
    SELECT {COLUMNS} FROM {SOURCE} WHERE t.id IN (SELECT id FROM named)
    ORDER BY t.id FOR UPDATE OF t
    """
)
_READ = text(f"SELECT {COLUMNS} FROM {SOURCE} WHERE t.id = ANY(CAST(:ids AS uuid[]))")
_IDS_OF_NUMBERS = text(
    "SELECT number, id FROM tickets WHERE number = ANY(CAST(:numbers AS text[]))"
)
_LOCK_REFS = text(
    """
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(product || '/' || ref, 0) AS key
        FROM unnest(CAST(:products AS text[]), CAST(:refs AS text[])) AS r (product, ref)
        ORDER BY key
    ) AS keys
    """
)
_IDS_OF_REFS = text(
    """
    SELECT r.product, r.ref, coalesce(
        (SELECT id FROM tickets t WHERE t.product = r.product AND t.external_ref = r.ref
         AND t.external_ref IS NOT NULL AND t.status <> 'closed'),
        (SELECT id FROM tickets t WHERE t.product = r.product AND t.external_ref = r.ref
         AND t.external_ref IS NOT NULL AND t.status = 'closed'
         ORDER BY created_at DESC, id DESC LIMIT 1)
    ) AS id
    FROM unnest(CAST(:products AS text[]), CAST(:refs AS text[])) AS r (product, ref)
    """
)
_ARRIVE = text(
    """
    WITH people AS (
        INSERT INTO submitters AS s (id, email, name)
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:emails AS text[]), CAST(:names AS text[]))
            AS n (id, email, name) ORDER BY email
        ON CONFLICT (email) DO UPDATE
            SET name = CASE WHEN excluded.name = '' THEN s.name ELSE excluded.name END
        RETURNING id, email, name
    )
    SELECT id, email, name, CAST(NULL AS bigint) AS number FROM people UNION ALL
    SELECT NULL, NULL, NULL, nextval('ticket_number') FROM generate_series(1, :count)
    """
)
_INSERT = text(
    "INSERT INTO tickets SELECT * FROM json_populate_recordset(NULL::tickets, CAST(:rows AS json))"
)
_INSERT_MESSAGES = text(
    "INSERT INTO messages "
    "SELECT * FROM json_populate_recordset(NULL::messages, CAST(:rows AS json))"
)
_MESSAGES_BY = {
    column: text(
        f"""
        SELECT * FROM messages
        WHERE {column} = :ticket_id AND (:notes OR kind = 'reply')
        AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) > (:at, CAST(:id AS uuid)))
        ORDER BY created_at, id LIMIT :limit
        """
    )
    for column in ("ticket_id", "original_ticket_id")
}
_LAST_MESSAGES = text(
    """
    SELECT * FROM messages WHERE ticket_id = :ticket_id AND kind = :kind
    ORDER BY created_at DESC, id DESC LIMIT :limit
    """
)
_SECRET = text("SELECT value FROM secrets WHERE name = :name")


async def lock(uow: UnitOfWork, ids: Iterable[UUID], *, survivors: bool = False) -> list[Ticket]:
    """The tickets among `ids`, locked in the order of their ids, so that nobody deadlocks.

    With `survivors` also those that they were merged into.
    """
    rows = await uow.execute(_LOCK_WITH_SURVIVORS if survivors else _LOCK, {"ids": list(ids)})
    return [to_ticket(row) for row in rows]


async def read(connection: AsyncConnection, ids: Iterable[UUID]) -> list[Ticket]:
    """The tickets among `ids` as they stand."""
    rows = await connection.execute(_READ, {"ids": list(ids)})
    return [to_ticket(row) for row in rows]


async def ids_of_numbers(connection: AsyncConnection, numbers: Sequence[str]) -> dict[str, UUID]:
    """Which tickets bear these numbers (`WB-1042`)."""
    rows = await connection.execute(_IDS_OF_NUMBERS, {"numbers": list(numbers)})
    return {row.number: row.id for row in rows}


async def lock_refs(
    uow: UnitOfWork, refs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], UUID]:
    """Which ticket each (product, external reference) means: the open one, else the newest.

    Until the commit nobody else opens a ticket with one of them.
    """
    parameters = {"products": [ref[0] for ref in refs], "refs": [ref[1] for ref in refs]}
    await uow.execute(_LOCK_REFS, parameters)
    rows = await uow.execute(_IDS_OF_REFS, parameters)
    return {(row.product, row.ref): row.id for row in rows if row.id}


async def arrive(
    uow: UnitOfWork, names_by_email: Mapping[str, str], count: int
) -> tuple[dict[str, Submitter], list[str]]:
    """The people with these (lower-case) addresses, by address, and the next `count` numbers.

    People who were not known are from now on.
    """
    rows = await uow.execute(
        _ARRIVE,
        {
            "ids": [new_id() for _ in names_by_email],
            "emails": list(names_by_email),
            "names": list(names_by_email.values()),
            "count": count,
        },
    )
    people: dict[str, Submitter] = {}
    numbers: list[str] = []
    for id, email, name, number in rows:
        if number is None:
            people[email] = Submitter(id, email, name)
        else:
            numbers.append(f"WB-{number}")
    return people, numbers


async def insert(uow: UnitOfWork, tickets: Sequence[Ticket], posted: Sequence[Message]) -> None:
    """Write new tickets, and what they are found by; `posted` are the messages of this write."""
    rows = as_json(map(of_ticket, tickets))
    uow.later(_INSERT, {"rows": rows})
    uow.later(kept.ADD_TO_LIST, {"rows": rows})
    uow.later(kept.ADD_TEXT, {"rows": rows, "said": kept.said(posted)})


async def update(uow: UnitOfWork, tickets: Sequence[Ticket], posted: Sequence[Message]) -> None:
    """Write tickets that were locked before, and what they are found by."""
    rows = [of_ticket(ticket) for ticket in tickets]
    columns = ", ".join(f"{name} = r.{name}" for name in rows[0] if name not in _FIXED)
    uow.later(
        text(
            f"UPDATE tickets t SET {columns} "
            "FROM json_populate_recordset(NULL::tickets, CAST(:rows AS json)) r WHERE t.id = r.id"
        ),
        {"rows": (written := as_json(rows))},
    )
    uow.later(kept.CHANGE_LIST, {"rows": written})
    uow.later(kept.CHANGE_TEXT, {"rows": written, "said": kept.said(posted)})


async def insert_messages(uow: UnitOfWork, messages: Sequence[Message]) -> None:
    """Write new messages."""
    uow.later(_INSERT_MESSAGES, {"rows": as_json(map(of_message, messages))})


async def messages(
    connection: AsyncConnection,
    ticket: Ticket,
    *,
    notes: bool,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Message]:
    """A ticket's conversation after a place in it, oldest first; of a merged one what it gave."""
    at, id = after or (None, None)
    column = "ticket_id" if ticket.merged_into is None else "original_ticket_id"
    rows = await connection.execute(
        _MESSAGES_BY[column],
        {"ticket_id": ticket.id, "notes": notes, "at": at, "id": id, "limit": limit},
    )
    return [to_message(row) for row in rows]


async def last_replies(connection: AsyncConnection, ticket_id: UUID, limit: int) -> list[Message]:
    """The last public messages, oldest first."""
    rows = await connection.execute(
        _LAST_MESSAGES, {"ticket_id": ticket_id, "kind": MessageKind.REPLY.value, "limit": limit}
    )
    return [to_message(row) for row in rows][::-1]


async def secret(connection: AsyncConnection, name: str) -> bytes:
    """A key that all replicas share."""
    return bytes((await connection.execute(_SECRET, {"name": name})).scalar_one())
