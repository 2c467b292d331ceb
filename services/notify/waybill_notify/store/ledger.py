"""The ledger: deliveries and their attempts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_notify.domain import Attempt, Change, Delivery, State

EMAIL = "email"
ERASED = "(erased)"


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be made, if there is none yet for its event, template and recipient."""

    id: UUID
    ticket_id: UUID
    product: str
    event_id: str
    event_type: str
    event_source: str
    template: str
    recipient: str
    message_id: str
    facts: Mapping[str, Any]
    traceparent: str | None
    tracestate: str | None
    suppressed: bool = False
    """Only for the record: the recipient does not want it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail as it was first written."""

    subject: str
    text: str
    html: str
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt and what it makes of its delivery."""

    delivery: Delivery
    change: Change
    attempt: Attempt | None


_ADD = text(
    """
    INSERT INTO deliveries (id, ticket_id, product, event_id, event_type, event_source, template,
                          channel, recipient, state, message_id, facts, created_at, waiting_since,
                          updated_at, next_attempt_at, traceparent, tracestate)
    SELECT id, ticket_id, product, event_id, event_type, event_source, template, :channel,
           recipient, CASE WHEN suppressed THEN 'suppressed' ELSE 'pending' END, message_id,
           CASE WHEN suppressed THEN '{}' ELSE facts END, :now, :now, :now,
           CASE WHEN suppressed THEN NULL ELSE CAST(:now AS timestamptz) END,
           traceparent, tracestate
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:ticket_id AS uuid[]), CAST(:product AS text[]),
        CAST(:event_id AS text[]), CAST(:event_type AS text[]), CAST(:event_source AS text[]),
        CAST(:template AS text[]), CAST(:recipient AS text[]), CAST(:message_id AS text[]),
        CAST(:facts AS jsonb[]), CAST(:traceparent AS text[]), CAST(:tracestate AS text[]),
        CAST(:suppressed AS boolean[])
    ) AS n (id, ticket_id, product, event_id, event_type, event_source, template, recipient,
            message_id, facts, traceparent, tracestate, suppressed)
    ON CONFLICT ON CONSTRAINT deliveries_once DO NOTHING
    """
)
_COLUMNS = """id, ticket_id, product, event_id, event_type, event_source, template, channel,
    recipient, state, attempts, revived_after, message_id, facts, subject, text_body, html_body,
    unsubscribe_url, created_at, waiting_since, updated_at, next_attempt_at, delivered_at, claim,
    last_error, traceparent, tracestate"""
# The lease runs by the database's clock: replicas whose own clocks disagree still agree on it.
# A mail waits while an earlier one about its ticket is on its way.
_CLAIM = text(
    f"""
    WITH due AS (
        SELECT id FROM deliveries AS d
        WHERE state = 'pending' AND next_attempt_at <= :now
          AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
          AND NOT EXISTS (
              SELECT 1 FROM deliveries AS earlier
              WHERE earlier.ticket_id = d.ticket_id AND earlier.id < d.id
                AND earlier.state = 'pending' AND earlier.claimed_until >= clock_timestamp())
        ORDER BY next_attempt_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries SET attempts = attempts + 1, claim = :claim,
           claimed_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id IN (SELECT id FROM due)
    RETURNING {_COLUMNS}
    """
)
_KEEP_RENDERED = text(
    """
    UPDATE deliveries AS d
    SET subject = n.subject, text_body = n.text, html_body = n.html, unsubscribe_url = n.url
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:claim AS uuid[]), CAST(:subject AS text[]),
        CAST(:text AS text[]), CAST(:html AS text[]), CAST(:url AS text[])
    ) AS n (id, claim, subject, text, html, url)
    WHERE d.id = n.id AND d.claim = n.claim AND d.state = 'pending'
    RETURNING d.id
    """
)
# Whoever lost the claim may still say that the other side accepted: that stays true.
_FINISH = text(
    f"""
    UPDATE deliveries AS d
    SET state = n.state, attempts = n.attempts, next_attempt_at = n.next_attempt_at,
        last_error = n.last_error, delivered_at = n.delivered_at, updated_at = :now,
        claim = NULL, claimed_until = NULL,
        facts = CASE WHEN n.state = 'delivered' THEN '{{}}' ELSE d.facts END,
        text_body = CASE WHEN n.state = 'delivered' THEN NULL ELSE d.text_body END,
        html_body = CASE WHEN n.state = 'delivered' THEN NULL ELSE d.html_body END,
        unsubscribe_url = CASE WHEN n.state = 'delivered' THEN NULL ELSE d.unsubscribe_url END
    FROM (
        SELECT * FROM unnest(
            CAST(:id AS uuid[]), CAST(:claim AS uuid[]), CAST(:state AS text[]),
            CAST(:attempts AS integer[]), CAST(:next_attempt_at AS timestamptz[]),
            CAST(:last_error AS text[]), CAST(:delivered_at AS timestamptz[])
        ) AS u (u_id, u_claim, state, attempts, next_attempt_at, last_error, delivered_at)
        JOIN (SELECT id, claim, recipient, state AS present FROM deliveries
              WHERE id = ANY (CAST(:id AS uuid[])) ORDER BY id FOR UPDATE) AS l ON l.id = u.u_id
        WHERE (l.present = 'pending' AND l.claim = u.u_claim)
           OR (u.state = 'delivered' AND l.present IN ('pending', 'dead'))
           -- what was on its way when its recipient unsubscribed
           OR (u.state = 'delivered' AND l.present = 'suppressed' AND l.recipient <> '{ERASED}')
    ) AS n
    WHERE d.id = n.u_id
    RETURNING {", ".join("d." + name.strip() for name in _COLUMNS.split(","))}
    """
)
_ADD_ATTEMPTS = text(
    """
    INSERT INTO attempts (delivery_id, number, started_at, ended_at, outcome, detail, traceparent)
    SELECT n.delivery_id, n.number, n.started_at, n.ended_at, n.outcome,
           -- what a server said of an address that was erased meanwhile
           CASE d.recipient WHEN :erased THEN '' ELSE n.detail END, n.traceparent
    FROM unnest(
        CAST(:delivery_id AS uuid[]), CAST(:number AS integer[]),
        CAST(:started_at AS timestamptz[]), CAST(:ended_at AS timestamptz[]),
        CAST(:outcome AS text[]), CAST(:detail AS text[]), CAST(:traceparent AS text[])
    ) AS n (delivery_id, number, started_at, ended_at, outcome, detail, traceparent)
    JOIN deliveries AS d ON d.id = n.delivery_id
    ON CONFLICT DO NOTHING
    """
)
_NOTE_AWAY = text(
    """
    UPDATE deliveries SET last_error = :why, updated_at = :now
    WHERE id IN (
        SELECT id FROM deliveries
        WHERE state = 'pending' AND next_attempt_at <= :now AND last_error <> :why
        LIMIT :most FOR UPDATE SKIP LOCKED)
    """
)
_EXPIRE = text(
    f"""
    UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, last_error = :why,
           updated_at = :now, claim = NULL, claimed_until = NULL
    WHERE id IN (
        SELECT id FROM deliveries
        WHERE state = 'pending' AND next_attempt_at <= :now AND waiting_since <= :before
          AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
        LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
    """
)
_LOCK = text(f"SELECT {_COLUMNS} FROM deliveries WHERE id = :id FOR UPDATE")
_GET = text(f"SELECT {_COLUMNS} FROM deliveries WHERE id = :id")
_ATTEMPTS = text(
    """
    SELECT number, started_at, ended_at, outcome, detail, traceparent
    FROM attempts WHERE delivery_id = :id ORDER BY number
    """
)
_REVIVE = text(
    f"""
    UPDATE deliveries SET state = 'pending', next_attempt_at = :now, waiting_since = :now,
           revived_after = attempts, updated_at = :now
    WHERE id = :id RETURNING {_COLUMNS}
    """
)
_LIST_OF_TICKET = text(
    f"""
    SELECT {_COLUMNS} FROM deliveries
    WHERE ticket_id = :ticket_id AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :most
    """
)
_SUPPRESS = text(
    """
    WITH unwanted AS (
        SELECT id FROM deliveries
        WHERE ticket_id = ANY (CAST(:ids AS uuid[])) AND state = 'pending'
        ORDER BY id FOR UPDATE
    )
    UPDATE deliveries
    SET state = 'suppressed', next_attempt_at = NULL, claim = NULL, claimed_until = NULL,
        facts = '{}', text_body = NULL, html_body = NULL, unsubscribe_url = NULL, updated_at = :now
    FROM unwanted WHERE deliveries.id = unwanted.id
    """
)
_ERASE_DELIVERIES = text(
    """
    WITH gone AS (
        SELECT id FROM deliveries WHERE ticket_id = ANY (CAST(:ids AS uuid[]))
        ORDER BY id FOR UPDATE
    )
    UPDATE deliveries
    SET recipient = :erased, facts = '{}', subject = NULL, text_body = NULL, html_body = NULL,
        unsubscribe_url = NULL, last_error = '', updated_at = :now, claim = NULL,
        claimed_until = NULL, next_attempt_at = NULL,
        state = CASE state WHEN 'pending' THEN 'suppressed' ELSE state END
    FROM gone WHERE deliveries.id = gone.id
    """
)
# After the deliveries are locked: an attempt that ended in that moment is seen only then.
_ERASE_ATTEMPTS = text(
    """
    UPDATE attempts SET detail = '' FROM deliveries AS d
    WHERE delivery_id = d.id AND d.ticket_id = ANY (CAST(:ids AS uuid[]))
    """
)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**(dict(row._mapping) | {"state": State(row.state)}))


async def add_deliveries(uow: UnitOfWork, new: Sequence[NewDelivery]) -> None:
    """Make the deliveries that are not there yet, due at once."""
    if not new:
        return
    columns: dict[str, Any] = {
        name: [getattr(delivery, name) for delivery in new]
        for name in NewDelivery.__dataclass_fields__
    }
    columns["facts"] = [json.dumps(facts) for facts in columns["facts"]]
    await uow.execute(_ADD, columns | {"now": uow.now, "channel": EMAIL})


async def claim(uow: UnitOfWork, claim: UUID, *, most: int, seconds: float) -> list[Delivery]:
    """Deliveries that are due, ours for so many seconds; this attempt is counted in them."""
    rows = await uow.execute(
        _CLAIM, {"now": uow.now, "claim": claim, "most": most, "seconds": seconds}
    )
    return sorted((_delivery(row) for row in rows), key=lambda d: (d.next_attempt_at, d.id))


async def keep_rendered(
    uow: UnitOfWork, rendered: Sequence[tuple[Delivery, Rendered]]
) -> frozenset[UUID]:
    """Keep what was written, so that every attempt sends the same; the ids that are still ours."""
    if not rendered:
        return frozenset()
    rows = await uow.execute(
        _KEEP_RENDERED,
        {
            "id": [delivery.id for delivery, _ in rendered],
            "claim": [delivery.claim for delivery, _ in rendered],
            "subject": [mail.subject for _, mail in rendered],
            "text": [mail.text for _, mail in rendered],
            "html": [mail.html for _, mail in rendered],
            "url": [mail.unsubscribe_url for _, mail in rendered],
        },
    )
    return frozenset(rows.scalars())


async def finish(
    uow: UnitOfWork, finished: Sequence[Finished], delivered_at: Mapping[UUID, datetime]
) -> list[Delivery]:
    """Write how attempts ended; returns the deliveries that this changed, as they are now."""
    rows = await uow.execute(
        _FINISH,
        {
            "id": [each.delivery.id for each in finished],
            "claim": [each.delivery.claim for each in finished],
            "state": [str(each.change.state) for each in finished],
            "attempts": [each.change.attempts for each in finished],
            "next_attempt_at": [each.change.next_attempt_at for each in finished],
            "last_error": [each.change.last_error for each in finished],
            "delivered_at": [delivered_at.get(each.delivery.id) for each in finished],
            "now": uow.now,
        },
    )
    changed = [_delivery(row) for row in rows]
    tried = [(each.delivery.id, each.attempt) for each in finished if each.attempt is not None]
    if tried:
        await uow.execute(
            _ADD_ATTEMPTS,
            {"delivery_id": [id for id, _ in tried], "erased": ERASED}
            | {
                name: [getattr(attempt, name) for _, attempt in tried]
                for name in Attempt.__dataclass_fields__
            },
        )
    return changed


async def note_away(uow: UnitOfWork, why: str, *, most: int = 1000) -> None:
    """Say at what waits why it waits, without an attempt."""
    await uow.execute(_NOTE_AWAY, {"why": why, "now": uow.now, "most": most})


async def expire(uow: UnitOfWork, why: str, *, before: datetime, most: int = 500) -> list[Delivery]:
    """Give up what has waited since `before` for a server that is away."""
    rows = await uow.execute(_EXPIRE, {"why": why, "before": before, "now": uow.now, "most": most})
    return [_delivery(row) for row in rows]


async def lock(uow: UnitOfWork, id: UUID) -> Delivery | None:
    """A delivery, locked."""
    row = (await uow.execute(_LOCK, {"id": id})).first()
    return None if row is None else _delivery(row)


async def revive(uow: UnitOfWork, id: UUID) -> Delivery:
    """Make a delivery pending again, with all its attempts anew."""
    return _delivery((await uow.execute(_REVIVE, {"id": id, "now": uow.now})).one())


async def get(connection: AsyncConnection, id: UUID) -> tuple[Delivery, list[Attempt]] | None:
    """A delivery and its attempts."""
    row = (await connection.execute(_GET, {"id": id})).first()
    if row is None:
        return None
    attempts = await connection.execute(_ATTEMPTS, {"id": id})
    return _delivery(row), [Attempt(**each._mapping) for each in attempts]


async def list_newest(
    connection: AsyncConnection,
    *,
    ticket_id: UUID | None,
    state: str | None,
    products: Sequence[str] | None,
    before: UUID | None,
    most: int,
) -> list[Delivery]:
    """Deliveries of these products (None: all), the newest first."""
    # Only what is asked for, so that each question finds its index.
    conditions = {
        "ticket_id = :ticket_id": ticket_id,
        "state = :state": state,
        "product = ANY (CAST(:products AS text[]))": products,
        "id < :before": before,
    }
    asked = [condition for condition, value in conditions.items() if value is not None]
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    values = {"ticket_id": ticket_id, "state": state, "products": products, "before": before}
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM deliveries {where} ORDER BY id DESC LIMIT :most"),
        {name: value for name, value in values.items() if value is not None} | {"most": most},
    )
    return [_delivery(row) for row in rows]


async def list_of_ticket(
    connection: AsyncConnection, ticket_id: UUID, *, after: UUID | None, most: int
) -> list[Delivery]:
    """The deliveries of a ticket, the oldest first."""
    rows = await connection.execute(
        _LIST_OF_TICKET, {"ticket_id": ticket_id, "after": after, "most": most}
    )
    return [_delivery(row) for row in rows]


async def suppress_deliveries(uow: UnitOfWork, ticket_ids: Sequence[UUID]) -> None:
    """Send no more of what waits to be sent about these tickets."""
    if ticket_ids:
        await uow.execute(_SUPPRESS, {"ids": list(ticket_ids), "now": uow.now})


async def erase_deliveries(uow: UnitOfWork, ticket_ids: Sequence[UUID]) -> None:
    """Forget to whom and what was written about these tickets; what waits is not sent."""
    if ticket_ids:
        await uow.execute(
            _ERASE_DELIVERIES, {"ids": list(ticket_ids), "erased": ERASED, "now": uow.now}
        )
        await uow.execute(_ERASE_ATTEMPTS, {"ids": list(ticket_ids)})
