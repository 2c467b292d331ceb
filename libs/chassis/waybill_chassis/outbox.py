"""The outbox: events are rows, written in the transaction that changes the state.

All events of a unit of work are written by one statement. It takes each aggregate's next
sequence number by updating its row in `event_sequence`; that row stays locked until the commit,
so the events of one aggregate become visible in the order of their numbers and the relay needs
no more than to read what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zlib import crc32

from sqlalchemy import text

from waybill_chassis.events import TraceContext
from waybill_chassis.statements import Connection

SHARDS = 16
"""Fixed for life: which relay publishes an aggregate hangs on it."""


def shard_of(aggregate: str) -> int:
    """The shard, 0 to `SHARDS` - 1, whose owner publishes this aggregate's events."""
    return crc32(aggregate.encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event before it has its number. `sequenced=False` for what has no place in a history."""

    id: UUID
    aggregate_type: str
    aggregate_id: str
    type: str
    payload: bytes
    topic: str
    key: str
    source: str
    occurred_at: datetime
    content_type: str
    trace: TraceContext
    sequenced: bool = True


_INSERT = text(
    """
    WITH input AS (
        SELECT * FROM unnest(
            CAST(:id AS uuid[]), CAST(:aggregate_type AS text[]), CAST(:aggregate_id AS text[]),
            CAST(:type AS text[]), CAST(:payload AS bytea[]), CAST(:shard AS smallint[]),
            CAST(:topic AS text[]), CAST(:key AS text[]), CAST(:source AS text[]),
            CAST(:occurred_at AS timestamptz[]), CAST(:content_type AS text[]),
            CAST(:traceparent AS text[]), CAST(:tracestate AS text[]),
            CAST(:sequenced AS boolean[])
        ) WITH ORDINALITY AS i (
            id, aggregatetype, aggregateid, type, payload, shard, topic, key, source,
            occurred_at, content_type, traceparent, tracestate, sequenced, ordinal)
    ), numbers AS (
        INSERT INTO event_sequence AS s (source, aggregateid, value)
        SELECT source, aggregateid, count(*) FROM input WHERE sequenced
        GROUP BY source, aggregateid ORDER BY source, aggregateid
        ON CONFLICT (source, aggregateid) DO UPDATE SET value = s.value + excluded.value
        RETURNING source, aggregateid, value
    )
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, shard, topic, key, source,
                        occurred_at, content_type, traceparent, tracestate, sequence)
    SELECT id, aggregatetype, aggregateid, type, payload, shard, topic, key, source,
           occurred_at, content_type, traceparent, tracestate,
           CASE WHEN sequenced THEN value + 1 - row_number() OVER (
               PARTITION BY source, aggregateid, sequenced ORDER BY ordinal DESC) END
    FROM input LEFT JOIN numbers USING (source, aggregateid)
    ORDER BY ordinal
    """
)


def write(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Write the rows, in their order, with what else the connection holds back."""
    if not rows:
        return
    connection.later(
        _INSERT,
        {
            "id": [row.id for row in rows],
            "aggregate_type": [row.aggregate_type for row in rows],
            "aggregate_id": [row.aggregate_id for row in rows],
            "type": [row.type for row in rows],
            "payload": [row.payload for row in rows],
            "shard": [shard_of(row.aggregate_id) for row in rows],
            "topic": [row.topic for row in rows],
            "key": [row.key for row in rows],
            "source": [row.source for row in rows],
            "occurred_at": [row.occurred_at for row in rows],
            "content_type": [row.content_type for row in rows],
            "traceparent": [row.trace.traceparent for row in rows],
            "tracestate": [row.trace.tracestate for row in rows],
            "sequenced": [row.sequenced for row in rows],
        },
    )
