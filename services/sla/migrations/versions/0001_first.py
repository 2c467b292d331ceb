import json

from alembic import op
from sqlalchemy import text
from waybill_chassis.schema import create_chassis_tables

revision = "0001"
down_revision = None

DEFAULT_TARGETS = {
    "urgent": {"response": "PT15M", "resolution": "PT4H"},
    "high": {"response": "PT2H", "resolution": "P1D"},
    "medium": {"response": "PT24H", "resolution": "P3D"},
    "low": {"response": "P3D", "resolution": "P7D"},
}

DEFAULT_LADDER = [
    {
        "name": "resolution_at_risk",
        "trigger": "at_risk",
        "target": "resolution",
        "share": 0.9,
        "level": "senior_support",
    },
    {
        "name": "response_breached",
        "trigger": "breached",
        "target": "response",
        "level": "senior_support",
    },
    {
        "name": "resolution_breached",
        "trigger": "breached",
        "target": "resolution",
        "level": "tech_team",
    },
    {
        "name": "urgent_unassigned",
        "trigger": "unassigned",
        "priority": "urgent",
        "after": "PT5M",
        "level": "management",
    },
    {
        "name": "urgent_breached",
        "trigger": "breached",
        "priority": "urgent",
        "level": "management",
    },
    {"name": "issue_repeated", "trigger": "issue_repeated", "count": 3, "level": "senior_support"},
]


TABLES = (
    """
    CREATE TABLE policies (
        id uuid PRIMARY KEY,
        name text NOT NULL UNIQUE,
        version bigint NOT NULL,
        product text,
        type text,
        priority text,
        tier text,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    COMMENT ON COLUMN policies.version IS 'The version that later clocks get.'
    """,
    """
    COMMENT ON COLUMN policies.product IS 'Only tickets of this product; null is any. '
        'Likewise type, priority, tier. The policy that asks most is chosen.'
    """,
    """
    CREATE TABLE policy_versions (
        policy_id uuid NOT NULL REFERENCES policies,
        version bigint NOT NULL,
        targets jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (policy_id, version)
    )
    """,
    """
    COMMENT ON COLUMN policy_versions.targets IS
        'priority -> target -> working time as an ISO 8601 duration.'
    """,
    """
    CREATE TABLE ladders (
        name text PRIMARY KEY,
        rungs jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE clocks (
        ticket_id uuid PRIMARY KEY,
        -- intake's picture; all null while only others have spoken of the ticket
        number text,
        product text,
        type text,
        priority text,
        status text,
        created_at timestamptz,
        status_since timestamptz,
        episode bigint,
        episode_since timestamptz,
        first_response_at timestamptz,
        resolved_at timestamptz,
        reopened_at timestamptz,
        reopenings integer,
        submitter_id text,
        submitter_email text,
        tier text,
        intake_sequence bigint,
        -- routing's picture
        unassigned_since timestamptz,
        routing_sequence bigint,
        -- kb's picture
        repeated_count integer,
        repeated_by jsonb,
        -- what is ours
        policy_id uuid,
        policy_version bigint,
        state text,
        level smallint NOT NULL DEFAULT 0,
        fired text[] NOT NULL DEFAULT '{}',
        followed_up text[] NOT NULL DEFAULT '{}',
        dated bigint NOT NULL DEFAULT 0,
        version bigint NOT NULL DEFAULT 0,
        updated_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    """
    COMMENT ON COLUMN clocks.dated IS
        'Grows each time the deadlines move; a timer armed for another value is stale.'
    """,
    """
    COMMENT ON COLUMN clocks.fired IS 'The rungs that have fired, each with its cause.'
    """,
    """
    COMMENT ON COLUMN clocks.followed_up IS 'What was due in the present episode.'
    """,
    """
    CREATE INDEX clocks_by_change ON clocks (updated_at, ticket_id)
    """,
    """
    CREATE INDEX clocks_by_number ON clocks (number)
    """,
    """
    CREATE TABLE segments (
        ticket_id uuid NOT NULL REFERENCES clocks,
        position integer NOT NULL,
        status text NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz,
        event_id text NOT NULL,
        PRIMARY KEY (ticket_id, position)
    )
    """,
    """
    CREATE TABLE targets (
        ticket_id uuid NOT NULL REFERENCES clocks,
        kind text NOT NULL,
        state text NOT NULL,
        allowed interval NOT NULL,
        due_at timestamptz NOT NULL,
        stopped_at timestamptz,
        breached_at timestamptz,
        breach_event_id uuid,
        warned_share double precision NOT NULL,
        PRIMARY KEY (ticket_id, kind)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX targets_at_risk ON targets (due_at, ticket_id, kind) WHERE state = 'at_risk'
    """,
    """
    -- Written and deleted only under the lock of the ticket's row in clocks.
    CREATE TABLE timers (
        id uuid PRIMARY KEY,
        ticket_id uuid NOT NULL REFERENCES clocks,
        kind text NOT NULL,
        name text NOT NULL,
        share double precision NOT NULL,
        due_at timestamptz NOT NULL,
        stamp bigint NOT NULL,
        armed_at timestamptz NOT NULL,
        traceparent text,
        tracestate text
    ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0)
    """,
    """
    COMMENT ON COLUMN timers.stamp IS
        'clocks.dated or the episode that it was armed for; 0 for the unassigned wait.'
    """,
    """
    CREATE INDEX timers_by_due ON timers (due_at, id)
    """,
    """
    CREATE INDEX timers_by_ticket ON timers (ticket_id)
    """,
)


def upgrade() -> None:
    create_chassis_tables(op.get_bind())
    for statement in TABLES:
        op.execute(statement)
    default = "01900000-0000-7000-8000-000000000001"
    bind = op.get_bind()
    bind.execute(
        text("INSERT INTO policies (id, name, version) VALUES (CAST(:id AS uuid), 'default', 1)"),
        {"id": default},
    )
    bind.execute(
        text(
            "INSERT INTO policy_versions (policy_id, version, targets)"
            " VALUES (CAST(:id AS uuid), 1, CAST(:targets AS jsonb))"
        ),
        {"id": default, "targets": json.dumps(DEFAULT_TARGETS)},
    )
    bind.execute(
        text("INSERT INTO ladders (name, rungs) VALUES ('default', CAST(:rungs AS jsonb))"),
        {"rungs": json.dumps(DEFAULT_LADDER)},
    )


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first")
