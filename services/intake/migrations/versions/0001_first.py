"""Tickets, their conversation, the processing log, and the projections beside them."""

import secrets

from alembic import op
from sqlalchemy import text
from waybill_chassis.migrate import run_sql
from waybill_chassis.schema import create_chassis_tables

revision = "0001"
down_revision = None

_TABLES = """
CREATE SEQUENCE ticket_number START 1001;

CREATE TABLE submitters (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    name text NOT NULL
);

CREATE TABLE tickets (
    id uuid PRIMARY KEY,
    number text NOT NULL UNIQUE,
    product text NOT NULL,
    type text NOT NULL,
    priority text NOT NULL,
    status text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    language text NOT NULL,
    tags text[] NOT NULL,
    custom_fields jsonb NOT NULL,
    channel text NOT NULL,
    submitter_id uuid REFERENCES submitters,
    submitter_tier text NOT NULL,
    order_refs text[] NOT NULL,
    external_ref text,
    occurrences integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    status_since timestamptz NOT NULL,
    episode bigint NOT NULL,
    episode_since timestamptz NOT NULL,
    first_response_at timestamptz,
    resolved_at timestamptz,
    closed_at timestamptz,
    close_reason text,
    reopenings integer NOT NULL,
    reopened_at timestamptz,
    last_public_message_at timestamptz,
    last_public_message_by text,
    rating_score smallint CHECK (rating_score BETWEEN 1 AND 5),
    rating_comment text,
    rated_at timestamptz,
    merged_into uuid REFERENCES tickets,
    links jsonb NOT NULL,
    set_by_person text[] NOT NULL,
    opened_by_product boolean NOT NULL,
    reminders text[] NOT NULL,
    version bigint NOT NULL,
    unsubscribed_at timestamptz,
    CHECK ((status = 'closed') = (closed_at IS NOT NULL))
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX tickets_by_external_ref ON tickets (product, external_ref)
    WHERE external_ref IS NOT NULL AND status <> 'closed';
CREATE INDEX tickets_closed_by_external_ref ON tickets (product, external_ref, created_at DESC)
    WHERE external_ref IS NOT NULL AND status = 'closed';
CREATE INDEX tickets_by_age ON tickets (created_at DESC, id DESC);
CREATE INDEX tickets_by_product ON tickets (product, created_at DESC, id DESC);
CREATE INDEX tickets_open ON tickets (product, status, created_at DESC, id DESC)
    WHERE status <> 'closed';
CREATE INDEX tickets_by_submitter ON tickets (submitter_id, created_at DESC, id DESC);
CREATE INDEX tickets_by_tag ON tickets USING gin (tags);
CREATE INDEX tickets_by_change ON tickets (updated_at, id);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    ticket_id uuid NOT NULL REFERENCES tickets,
    kind text NOT NULL,
    author_kind text NOT NULL,
    author_id text NOT NULL,
    author_name text NOT NULL,
    author_email text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL,
    first_response boolean NOT NULL,
    channel text NOT NULL,
    quick_reply_id text NOT NULL
);
CREATE INDEX messages_by_ticket ON messages (ticket_id, created_at, id);

-- What routing and sla last said. No foreign key: their events may come before anything else does.
CREATE TABLE ticket_facts (
    ticket_id uuid PRIMARY KEY,
    routing_sequence bigint NOT NULL DEFAULT 0,
    agent_id text,
    agent_name text,
    agent_email text,
    team text,
    sla_sequence bigint NOT NULL DEFAULT 0,
    response_state text,
    response_due_at timestamptz,
    resolution_state text,
    resolution_due_at timestamptz,
    escalation_level text
) WITH (fillfactor = 80);
CREATE INDEX ticket_facts_by_agent ON ticket_facts (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX ticket_facts_by_email ON ticket_facts (agent_email) WHERE agent_email IS NOT NULL;

-- One line for each event about a ticket, whoever told it, in the order it was read.
CREATE TABLE ticket_log (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id uuid NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    actor_name text NOT NULL,
    cause_kind text NOT NULL,
    cause_id text NOT NULL,
    cause_type text NOT NULL,
    summary text NOT NULL,
    trace_id text,
    UNIQUE (event_id, source)
);
CREATE INDEX ticket_log_by_ticket ON ticket_log (ticket_id, occurred_at, position);

CREATE TABLE secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
"""


def upgrade() -> None:
    create_chassis_tables(op.get_bind())
    run_sql(_TABLES)
    # All replicas sign the links in mails with the same key, so it lives where they all look.
    op.get_bind().execute(
        text("INSERT INTO secrets VALUES ('action_links', :key)"),
        {"key": secrets.token_bytes(32)},
    )


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first")
