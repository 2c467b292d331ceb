"""The tables that every service's database has, beside the service's own.

The outbox has the columns that Debezium's outbox event router expects by default (`id`,
`aggregatetype`, `aggregateid`, `type`, `payload`); the others can be routed to headers with
`table.fields.additional.placement`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

metadata = MetaData()
"""The chassis' own tables."""

outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False),
    Column("aggregatetype", Text, nullable=False),
    Column("aggregateid", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("sequence", BigInteger),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("content_type", Text, nullable=False),
    Column("traceparent", Text),
    Column("tracestate", Text),
    Index("outbox_by_shard", "shard", "position"),
)

event_sequence = Table(
    "event_sequence",
    metadata,
    Column("source", Text, nullable=False),
    Column("aggregateid", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("source", "aggregateid"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("source", "event_id"),
    Index("inbox_by_age", "received_at", postgresql_using="brin"),
)

lease = Table(
    "lease",
    metadata,
    Column("kind", Text, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("expires_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("kind", "shard"),
)

lease_member = Table(
    "lease_member",
    metadata,
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("kind", "owner"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("scope", "key"),
    Index("idempotency_keys_by_age", "created_at", postgresql_using="brin"),
)

# Rows of the outbox live for milliseconds: vacuum by count, so that the relay never walks over
# dead ones. The others are updated in place all day: leave room for that on each page.
_STORAGE = {
    "outbox": "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, "
    "autovacuum_vacuum_cost_delay = 0",
    "event_sequence": "fillfactor = 70",
    "lease": "fillfactor = 50",
    "lease_member": "fillfactor = 50",
}


def create_chassis_tables(connection: Connection) -> None:
    """Create the tables above: the first step of every service's first migration."""
    metadata.create_all(connection, checkfirst=False)
    for table, options in _STORAGE.items():
        connection.execute(text(f"ALTER TABLE {table} SET ({options})"))
