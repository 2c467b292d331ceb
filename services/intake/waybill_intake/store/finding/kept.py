"""What is kept of a ticket to find it by: a row of the list, and the document of its text.

Both are derived from the ticket, its messages and what others said of it, in the statement that
writes those. A *facet* is a field and a value in one word (`priority:high`, `tag:refund`), kept as
64 bits of its hash: one index over them answers every filter that asks for equality, alone and
together, and many rows stand on a page.
"""

from collections.abc import Iterable
from hashlib import md5
from uuid import UUID

from sqlalchemy import text
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.ticket import Message
from waybill_intake.domain.words import MessageKind
from waybill_intake.store.rows import as_json

CONFIGURATION = "english"
"""How words are cut to their stems, in texts of all languages alike: text and query agree."""

HASTE = ("urgent", "high", "medium", "low")
"""The priorities as lists sort them."""

_MOST_BYTES, _MOST_CHARACTERS = 200_000, 100_000
"""A longer document takes in no more, and of what is said at once so much: it ends at 1 MB."""

_FACETS = """
    ARRAY(SELECT ('x' || left(md5(facet), 16))::bit(64)::bigint FROM unnest(ARRAY[
        'type:' || t.type,
        'priority:' || t.priority,
        'channel:' || t.channel,
        'language:' || lower(nullif(t.language, '')),
        'tier:' || nullif(t.submitter_tier, ''),
        'reason:' || t.close_reason,
        'rating:' || t.rating_score,
        'outcome:' || t.outcome,
        'ref:' || t.external_ref,
        'response:' || f.response_state,
        'resolution:' || f.resolution_state,
        'level:' || f.escalation_level,
        'team:' || f.team,
        'agent:' || f.agent_id,
        'agent:' || lower(nullif(f.agent_email, '')),
        CASE WHEN f.agent_id IS NULL AND t.status <> 'closed' THEN 'unassigned:yes' END
    ]
    || ARRAY(SELECT 'tag:' || tag FROM unnest(t.tags) AS tag)
    || ARRAY(SELECT 'order:' || ref FROM unnest(t.order_refs) AS ref)
    || ARRAY(SELECT 'watcher:' || (one ->> 'email') FROM jsonb_array_elements(t.watchers) AS one)
    || ARRAY(
        SELECT 'custom:' || key || '=' || value FROM jsonb_each_text(t.custom_fields)
        WHERE jsonb_typeof(t.custom_fields -> key) NOT IN ('object', 'array', 'null')
    )) AS facet WHERE facet IS NOT NULL)
"""
# The nearest of the targets that still run: a missed one runs until it is answered or solved.
_DUE = """
    coalesce(least(
        CASE WHEN f.response_state IN ('running', 'at_risk', 'breached')
             AND t.first_response_at IS NULL AND t.status NOT IN ('resolved', 'closed')
             THEN f.response_due_at END,
        CASE WHEN f.resolution_state IN ('running', 'at_risk', 'breached')
             AND t.status NOT IN ('resolved', 'closed') THEN f.resolution_due_at END
    ), 'infinity')
"""
_VALUES = {
    "status": "t.status",
    "product": "t.product",
    "haste": f"array_position(ARRAY{list(HASTE)}, t.priority) - 1",
    "submitter_id": "t.submitter_id",
    "created_at": "t.created_at",
    "updated_at": "t.updated_at",
    "resolved_at": "t.resolved_at",
    "closed_at": "t.closed_at",
    "due_at": _DUE,
    "facets": _FACETS,
}
# Only what is needed: the time goes with the columns.
_ROWS = """
    json_to_recordset(CAST(:rows AS json)) AS t (
        id uuid, product text, type text, priority text, status text, language text, tags text[],
        custom_fields jsonb, channel text, submitter_id uuid, submitter_tier text,
        order_refs text[], external_ref text, created_at timestamptz, updated_at timestamptz,
        first_response_at timestamptz, resolved_at timestamptz, closed_at timestamptz,
        close_reason text, rating_score smallint, outcome text, watchers jsonb
    )
"""
_TEXTS = """
    json_to_recordset(CAST(:rows AS json)) AS t (
        id uuid, product text, status text, created_at timestamptz, title text, description text
    )
"""
_SAID = f"""
    LEFT JOIN (
        SELECT ticket_id, setweight(
            to_tsvector('{CONFIGURATION}', left(string_agg(body, ' '), {_MOST_CHARACTERS})), 'C'
        ) AS words
        FROM json_to_recordset(CAST(:said AS json)) AS m (ticket_id uuid, body text)
        GROUP BY ticket_id
    ) AS said ON said.ticket_id = t.id
"""
_DOCUMENT = f"""
    setweight(to_tsvector('{CONFIGURATION}', t.title), 'A') ||
    setweight(to_tsvector('{CONFIGURATION}', t.description), 'B') || coalesce(said.words, '')
"""

LIST = (
    f"INSERT INTO ticket_list (ticket_id, {', '.join(_VALUES)}) "
    f"SELECT t.id, {', '.join(_VALUES.values())}"
)
"""The rows of the list, to be followed by a source of tickets `t` and facts `f`."""
LIST_AGAIN = "UPDATE ticket_list l SET " + ", ".join(
    f"{name} = {value}" for name, value in _VALUES.items()
)
"""The same for those that are there, with `l.ticket_id = t.id` among the conditions."""

# From the rows that are just being written, not from the tables: all goes in one round trip.
# Nobody else can have said anything yet of a ticket that is just being opened.
ADD_TO_LIST = text(f"{LIST} FROM {_ROWS} LEFT JOIN ticket_facts f ON false")
ADD_TEXT = text(
    "INSERT INTO ticket_text (ticket_id, product, status, created_at, document) "
    f"SELECT t.id, t.product, t.status, t.created_at, {_DOCUMENT} FROM {_TEXTS} {_SAID}"
)
CHANGE_LIST = text(
    f"{LIST_AGAIN} FROM {_ROWS} LEFT JOIN ticket_facts f ON f.ticket_id = t.id "
    "WHERE l.ticket_id = t.id"
)
CHANGE_TEXT = text(
    f"""
    UPDATE ticket_text x SET product = t.product, status = t.status,
        document = CASE WHEN pg_column_size(x.document) < {_MOST_BYTES}
                   THEN x.document || coalesce(said.words, '') ELSE x.document END
    FROM {_TEXTS} {_SAID}
    WHERE x.ticket_id = t.id
    AND (said.words IS NOT NULL OR x.product <> t.product OR x.status <> t.status)
    """
)
_REWRITE = text(
    f"""
    UPDATE ticket_text x SET document = {_DOCUMENT}
    FROM tickets t LEFT JOIN LATERAL (
        SELECT setweight(
            to_tsvector('{CONFIGURATION}', left(string_agg(body, ' '), {_MOST_CHARACTERS})), 'C'
        ) AS words
        FROM messages m WHERE m.ticket_id = t.id AND m.kind = 'reply'
    ) AS said ON true
    WHERE x.ticket_id = t.id AND t.id = ANY(CAST(:ids AS uuid[]))
    """
)


def facet(name: str, value: str) -> int:
    """A field and a value of it, as the list has them."""
    digest = md5(f"{name}:{value}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], signed=True)


def said(messages: Iterable[Message]) -> str:
    """What these messages add to what is searched: replies alone, never notes."""
    return as_json(
        {"ticket_id": message.ticket_id, "body": message.body}
        for message in messages
        if message.kind is MessageKind.REPLY
    )


async def rewrite(uow: UnitOfWork, ids: Iterable[UUID]) -> None:
    """Make the documents of these tickets anew: their words changed, or came from elsewhere."""
    await uow.execute(_REWRITE, {"ids": list(ids)})
