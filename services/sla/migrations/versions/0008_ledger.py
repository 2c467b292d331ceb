"""What an event need not read of a long ledger, and how clocks were dated."""

from waybill_chassis.migrate import run_sql

revision = "0008"
down_revision = "0007"

_TABLES = """
ALTER TABLE clocks
    ADD COLUMN earlier_lines integer NOT NULL DEFAULT 0,
    ADD COLUMN earlier_stood interval NOT NULL DEFAULT '0',
    ADD COLUMN earlier_paused_since timestamptz,
    ADD COLUMN earlier_resolved_at timestamptz,
    ADD COLUMN dated_at timestamptz,
    ADD COLUMN datings integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN clocks.earlier_lines IS
    'So many segments an event does not read: what they come to is in earlier_* and in targets.';
ALTER TABLE targets
    ADD COLUMN ran interval NOT NULL DEFAULT '0',
    ADD COLUMN stood interval NOT NULL DEFAULT '0',
    ADD COLUMN dropped_at timestamptz,
    ADD COLUMN reopening integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN targets.ran IS
    'With stood: what the segments before clocks.earlier_lines used up of it, or stood still.';
COMMENT ON COLUMN targets.reopening IS
    'For which reopening it is warned of and breached; 0 before the first.';
UPDATE targets AS t SET reopening = c.reopenings
FROM clocks AS c WHERE c.ticket_id = t.ticket_id AND t.kind = 'resolution' AND c.reopenings > 0;
CREATE TABLE datings (
    ticket_id uuid NOT NULL REFERENCES clocks,
    position integer NOT NULL,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    event_id text NOT NULL,
    policy_id uuid NOT NULL,
    policy_version bigint NOT NULL,
    calendar_id uuid NOT NULL,
    calendar_version bigint NOT NULL,
    priority text NOT NULL,
    type text NOT NULL,
    PRIMARY KEY (ticket_id, at, position)
);
COMMENT ON TABLE datings IS
    'By what the deadlines were dated from a moment on, and why: lines of the ledger begin there.';
INSERT INTO datings
SELECT c.ticket_id, 0, c.created_at, 'opened', s.event_id, c.policy_id, c.policy_version,
    c.calendar_id, c.calendar_version, c.priority, c.type
FROM clocks AS c JOIN segments AS s ON s.ticket_id = c.ticket_id AND s.position = 0
WHERE c.created_at IS NOT NULL AND c.policy_id IS NOT NULL;
UPDATE clocks AS c SET datings = 1, dated_at = c.created_at
WHERE EXISTS (SELECT FROM datings AS d WHERE d.ticket_id = c.ticket_id);
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
