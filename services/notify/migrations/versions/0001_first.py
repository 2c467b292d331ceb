from alembic import op
from waybill_chassis.schema import create_chassis_tables

revision = "0001"
down_revision = None

STATEMENTS = (
    # What notify knows of a ticket: intake's facts as their own bytes, routing's as columns.
    """
    CREATE TABLE tickets (
        id uuid PRIMARY KEY,
        sequence bigint NOT NULL DEFAULT 0,
        product text NOT NULL DEFAULT '',
        ticket bytea NOT NULL DEFAULT '',
        assignment_sequence bigint NOT NULL DEFAULT 0,
        assignee_id text NOT NULL DEFAULT '',
        assignee_name text NOT NULL DEFAULT '',
        team text NOT NULL DEFAULT '',
        held bytea
    ) WITH (fillfactor = 70)
    """,
    "COMMENT ON COLUMN tickets.sequence IS 'of intake''s last event; 0: only others spoke so far'",
    "COMMENT ON COLUMN tickets.held IS 'an assignment the feed tells once the ticket is known'",
    """
    CREATE TABLE feeds (
        product text PRIMARY KEY,
        learned_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE deliveries (
        id uuid PRIMARY KEY,
        ticket_id uuid NOT NULL,
        product text NOT NULL,
        event_id text NOT NULL,
        event_type text NOT NULL,
        event_source text NOT NULL,
        template text NOT NULL,
        channel text NOT NULL,
        recipient text NOT NULL,
        state text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'suppressed')),
        attempts integer NOT NULL DEFAULT 0,
        revived_after integer NOT NULL DEFAULT 0,
        message_id text NOT NULL,
        facts jsonb NOT NULL,
        subject text,
        text_body text,
        html_body text,
        unsubscribe_url text,
        created_at timestamptz NOT NULL,
        waiting_since timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        next_attempt_at timestamptz,
        delivered_at timestamptz,
        claim uuid,
        claimed_until timestamptz,
        last_error text NOT NULL DEFAULT '',
        traceparent text,
        tracestate text,
        CONSTRAINT deliveries_once UNIQUE (event_id, template, channel, recipient),
        CONSTRAINT deliveries_pending CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
    """,
    "COMMENT ON COLUMN deliveries.revived_after IS 'attempts made before it was revived by hand'",
    "COMMENT ON COLUMN deliveries.waiting_since IS 'since its creation or its revival by hand'",
    "COMMENT ON COLUMN deliveries.text_body IS 'as first rendered; gone once delivered'",
    "CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE state = 'pending'",
    "CREATE INDEX deliveries_by_ticket ON deliveries (ticket_id, id)",
    "CREATE INDEX deliveries_by_state ON deliveries (state, id) WHERE state <> 'delivered'",
    """
    CREATE TABLE attempts (
        delivery_id uuid NOT NULL REFERENCES deliveries (id),
        number integer NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz NOT NULL,
        outcome text NOT NULL,
        detail text NOT NULL,
        traceparent text,
        PRIMARY KEY (delivery_id, number)
    )
    """,
)


def upgrade() -> None:
    create_chassis_tables(op.get_bind())
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first")
