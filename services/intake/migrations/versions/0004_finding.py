"""Lists, search, counts and saved views."""

from waybill_chassis.migrate import run_sql

revision = "0004"
down_revision = "0003"

_TABLES = """
-- What lists are filtered and sorted by: a narrow row for each ticket, written with it. Closed
-- tickets lie apart: whatever is asked of the open ones costs the same however many are archived,
-- and opening a ticket touches small indexes only.
CREATE TABLE ticket_list (
    ticket_id uuid NOT NULL,
    status text NOT NULL,
    product text NOT NULL,
    haste smallint NOT NULL,
    submitter_id uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    resolved_at timestamptz,
    closed_at timestamptz,
    due_at timestamptz NOT NULL,
    facets bigint[] NOT NULL
) PARTITION BY LIST (status);

CREATE TABLE ticket_list_open PARTITION OF ticket_list
    FOR VALUES IN ('pending', 'in_progress', 'awaiting_user', 'resolved')
    WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05,
          autovacuum_analyze_scale_factor = 0.05);
CREATE TABLE ticket_list_closed PARTITION OF ticket_list FOR VALUES IN ('closed');

CREATE UNIQUE INDEX ticket_list_open_by_id ON ticket_list_open (ticket_id);
CREATE UNIQUE INDEX ticket_list_closed_by_id ON ticket_list_closed (ticket_id);
-- The other times at the end: what a range of one leaves out is passed by without reading its row.
CREATE INDEX ticket_list_by_age
    ON ticket_list (created_at, ticket_id, updated_at, resolved_at, closed_at);
CREATE INDEX ticket_list_by_change
    ON ticket_list (updated_at, ticket_id, created_at, resolved_at, closed_at);
CREATE INDEX ticket_list_by_haste ON ticket_list (haste, created_at, ticket_id);
CREATE INDEX ticket_list_by_due ON ticket_list (due_at, ticket_id);
CREATE INDEX ticket_list_by_product ON ticket_list (product, created_at, ticket_id);
CREATE INDEX ticket_list_by_submitter ON ticket_list (submitter_id, created_at, ticket_id);
CREATE INDEX ticket_list_by_resolution ON ticket_list (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX ticket_list_by_closing ON ticket_list_closed (closed_at);
-- Short pending lists: every search reads them through, and somebody's insert empties them.
CREATE INDEX ticket_list_by_facets ON ticket_list USING gin (facets)
    WITH (gin_pending_list_limit = 256);
ALTER TABLE ticket_list_open ALTER COLUMN facets SET STATISTICS 300;
ALTER TABLE ticket_list_closed ALTER COLUMN facets SET STATISTICS 300;

-- What is searched: title, description and public messages. Beside the list, so that the words are
-- written when a text is, and not with every move; divided as the list is.
CREATE TABLE ticket_text (
    ticket_id uuid NOT NULL,
    product text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    document tsvector NOT NULL
) PARTITION BY LIST (status);

CREATE TABLE ticket_text_open PARTITION OF ticket_text
    FOR VALUES IN ('pending', 'in_progress', 'awaiting_user', 'resolved')
    WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05,
          autovacuum_analyze_scale_factor = 0.05);
CREATE TABLE ticket_text_closed PARTITION OF ticket_text FOR VALUES IN ('closed');

CREATE UNIQUE INDEX ticket_text_open_by_id ON ticket_text_open (ticket_id);
CREATE UNIQUE INDEX ticket_text_closed_by_id ON ticket_text_closed (ticket_id);
CREATE INDEX ticket_text_by_age ON ticket_text (created_at, ticket_id);
CREATE INDEX ticket_text_by_word ON ticket_text USING gin (document)
    WITH (gin_pending_list_limit = 256);
ALTER TABLE ticket_text_open ALTER COLUMN document SET STATISTICS 300;
ALTER TABLE ticket_text_closed ALTER COLUMN document SET STATISTICS 300;

-- Whoever looks for tickets looks there.
DROP INDEX tickets_by_age, tickets_by_product, tickets_open, tickets_by_tag;

-- Questions that are asked again and again: an agent's own, or those of a team.
CREATE TABLE saved_views (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    owner text,
    team text,
    products text[] NOT NULL,
    filter jsonb NOT NULL,
    sort text NOT NULL,
    direction text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((owner IS NULL) <> (team IS NULL))
);
CREATE INDEX saved_views_by_owner ON saved_views (owner) WHERE owner IS NOT NULL;
CREATE INDEX saved_views_by_product ON saved_views USING gin (products) WHERE team IS NOT NULL;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
