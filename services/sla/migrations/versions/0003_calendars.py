"""Calendars: working hours, holidays, exceptions; and the re-dating of open clocks."""

from waybill_chassis.migrate import run_sql

revision = "0003"
down_revision = "0002"

ALWAYS = "01900000-0000-7000-8000-000000000002"

_TABLES = f"""
CREATE TABLE calendars (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    version bigint NOT NULL,
    removed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN calendars.removed IS
    'Nobody may use it any more; clocks of closed tickets still know it.';
CREATE TABLE calendar_versions (
    calendar_id uuid NOT NULL REFERENCES calendars,
    version bigint NOT NULL,
    document jsonb NOT NULL,
    days_off date[] NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (calendar_id, version)
);
COMMENT ON COLUMN calendar_versions.document IS
    'Time zone, hours, holidays and exceptions as the admin wrote them.';
COMMENT ON COLUMN calendar_versions.days_off IS
    'The holidays that this meant when it was written: a version never changes.';
INSERT INTO calendars (id, name, version) VALUES ('{ALWAYS}', 'always', 1);
INSERT INTO calendar_versions (calendar_id, version, document, days_off, changed_by)
VALUES ('{ALWAYS}', 1, CAST('{{"time_zone": "UTC"}}' AS jsonb), '{{}}', 'waybill');
ALTER TABLE policy_versions
    ADD COLUMN calendar text NOT NULL DEFAULT 'always' REFERENCES calendars (name);
ALTER TABLE clocks
    ADD COLUMN calendar_id uuid NOT NULL DEFAULT '{ALWAYS}',
    ADD COLUMN calendar_version bigint NOT NULL DEFAULT 1;
ALTER TABLE targets
    ADD COLUMN calendar_id uuid NOT NULL DEFAULT '{ALWAYS}',
    ADD COLUMN calendar_version bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN targets.calendar_id IS
    'With calendar_version: what it is dated by; a verdict stands by what it was given by.';
CREATE TABLE redatings (
    id uuid PRIMARY KEY,
    calendar_id uuid REFERENCES calendars,
    policy_id uuid REFERENCES policies,
    total bigint NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    after_ticket uuid,
    started_at timestamptz NOT NULL,
    started_by text NOT NULL,
    ended_at timestamptz,
    CHECK ((calendar_id IS NULL) <> (policy_id IS NULL))
);
COMMENT ON TABLE redatings IS
    'Open clocks that are to be dated anew; after_ticket is how far it has come.';
CREATE INDEX redatings_open ON redatings (id) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
