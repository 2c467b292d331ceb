"""Articles, quick replies and kb's picture of the tickets."""

from alembic import op
from waybill_chassis.schema import create_chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE articles (
        id uuid PRIMARY KEY,
        version bigint NOT NULL,
        state text NOT NULL CHECK (state IN ('draft', 'published', 'archived')),
        published_version bigint,
        published_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE article_versions (
        article_id uuid NOT NULL REFERENCES articles,
        version bigint NOT NULL,
        title text NOT NULL,
        summary text NOT NULL,
        body text NOT NULL,
        language text NOT NULL,
        products text[] NOT NULL,
        tags text[] NOT NULL,
        visibility text NOT NULL CHECK (visibility IN ('public', 'internal')),
        written_by text NOT NULL,
        written_at timestamptz NOT NULL,
        PRIMARY KEY (article_id, version)
    )
    """,
    # What searches read: the published version of each article that has one, and no other row.
    """
    CREATE TABLE search_index (
        article_id uuid PRIMARY KEY REFERENCES articles,
        version bigint NOT NULL,
        language text NOT NULL,
        products text[] NOT NULL,
        visibility text NOT NULL,
        plain text NOT NULL,
        config text NOT NULL,
        words tsvector NOT NULL
    )
    """,
    "CREATE INDEX search_index_words ON search_index USING gin (words) WITH (fastupdate = off)",
    """
    CREATE TABLE article_feedback (
        article_id uuid NOT NULL REFERENCES articles,
        person text NOT NULL,
        email text NOT NULL,
        version bigint NOT NULL,
        helpful boolean NOT NULL,
        comment text NOT NULL,
        given_at timestamptz NOT NULL,
        PRIMARY KEY (article_id, person)
    )
    """,
    "CREATE INDEX article_feedback_by_email ON article_feedback (email)",
    """
    CREATE TABLE quick_replies (
        id uuid PRIMARY KEY,
        name text NOT NULL UNIQUE,
        title text NOT NULL,
        bodies jsonb NOT NULL,
        products text[] NOT NULL,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    # A stub (of a person who was erased before their ticket was heard of) has sequence 0.
    # `text_hash` is NULL when the text holds no word: nothing is the same as such a text.
    """
    CREATE TABLE tickets (
        id uuid PRIMARY KEY,
        number text NOT NULL,
        product text NOT NULL,
        submitter_id text NOT NULL,
        text_hash bytea,
        config text NOT NULL,
        words tsvector NOT NULL,
        created_at timestamptz NOT NULL,
        external_ref boolean NOT NULL,
        erased boolean NOT NULL DEFAULT false,
        sequence bigint NOT NULL
    )
    """,
    "CREATE INDEX tickets_words ON tickets USING gin (words)",
    "CREATE INDEX tickets_by_number ON tickets (number)",
    """
    CREATE INDEX tickets_by_text ON tickets (submitter_id, product, text_hash, created_at)
    WHERE text_hash IS NOT NULL AND submitter_id <> ''
    """,
)


def upgrade() -> None:
    create_chassis_tables(op.get_bind())
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first")
