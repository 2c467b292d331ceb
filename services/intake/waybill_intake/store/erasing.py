"""Words of a person, taken out of what hangs on locked tickets."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.people import ERASED, Known

# By whom: their subject may be anything, and the log knows no addresses.
_SUBJECTS = text(
    """
    SELECT DISTINCT author_id FROM messages
    WHERE author_kind = 'submitter' AND author_email <> '' AND lower(author_email) = :email
    """
)

_NAMES = text(
    """
    SELECT DISTINCT author_name FROM messages
    WHERE author_kind = 'submitter' AND author_email <> '' AND lower(author_email) = :email
    AND author_name <> ''
    """
)
# What they sent along, wherever a merge has taken it.
_FILES = text(
    """
    SELECT unnest(attachment_ids) FROM messages
    WHERE author_kind = 'submitter' AND author_email <> '' AND lower(author_email) = :email
    UNION
    SELECT CAST(jsonb_array_elements_text(body -> 'attachment_ids') AS uuid) FROM merges
    WHERE source_id = ANY(CAST(:own AS uuid[]))
    """
)

_STATEMENTS = (
    # What they wrote goes, wherever they wrote it.
    """
    UPDATE messages SET body = :erased, author_id = :id, author_name = '', author_email = ''
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND author_kind = 'submitter'
    AND (author_id = ANY(CAST(:subjects AS text[])) OR lower(author_email) = :email)
    """,
    # What others wrote stays, without them in it.
    """
    UPDATE messages SET body = regexp_replace(body, :traces, :erased, 'gi')
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND body ~* :traces
    """,
    """
    UPDATE message_edits e SET body = regexp_replace(e.body, :traces, :erased, 'gi')
    FROM messages m WHERE m.id = e.message_id AND m.ticket_id = ANY(CAST(:all AS uuid[]))
    AND e.body ~* :traces
    """,
    """
    UPDATE messages SET attachment_ids = ARRAY(
        SELECT file FROM unnest(attachment_ids) AS file WHERE file <> ALL(CAST(:gone AS uuid[])))
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND attachment_ids && CAST(:gone AS uuid[])
    """,
    """
    UPDATE messages SET mentions = array_remove(mentions, :email)
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND :email = ANY(mentions)
    """,
    # Of their own tickets nobody but them is the submitter, whatever their token called them.
    """
    UPDATE ticket_log SET actor_id = :id, actor_name = ''
    WHERE actor_kind = 'submitter' AND (
        ticket_id = ANY(CAST(:own AS uuid[]))
        OR (ticket_id = ANY(CAST(:all AS uuid[])) AND actor_id = ANY(CAST(:subjects AS text[])))
    )
    """,
    """
    UPDATE ticket_log SET summary = regexp_replace(summary, ': .*', ': ' || :erased)
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND type = 'waybill.intake.v1.TicketStatusChanged'
    AND actor_kind = 'submitter' AND actor_id = :id
    """,
    """
    UPDATE ticket_log SET summary = :erased
    WHERE ticket_id = ANY(CAST(:own AS uuid[])) AND (
        (type = 'waybill.intake.v1.TicketEdited' AND summary ~
         '(title|description|custom_fields|order_refs|external_ref|watchers): ')
        OR type IN ('waybill.intake.v1.AttachmentAdded', 'waybill.routing.v1.TriageSuggested',
                    'waybill.notify.v1.NotificationFailed')
    )
    """,
    """
    UPDATE ticket_log SET summary = regexp_replace(summary, :traces, :erased, 'gi'),
        actor_name = regexp_replace(actor_name, :traces, '', 'gi')
    WHERE ticket_id = ANY(CAST(:all AS uuid[])) AND (summary ~* :traces OR actor_name ~* :traces)
    """,
    # Agents may have saved a look at what is theirs. Only free words are theirs to erase: whoever
    # is called as a status is would else break every view of it.
    """
    UPDATE saved_views v SET name = regexp_replace(name, :traces, :erased, 'gi'),
        filter = filter || coalesce((
            SELECT jsonb_object_agg(key,
                CAST(regexp_replace(CAST(value AS text), :traces, :erased, 'gi') AS jsonb))
            FROM jsonb_each(filter)
            WHERE key IN ('q', 'tag', 'tag_all', 'order_ref', 'external_ref', 'custom', 'assignee')
        ), '{}'), version = version + 1, updated_at = :now
    WHERE name ~* :traces OR CAST(filter AS text) ~* :traces
    """,
    # A merge of theirs can be undone no more: it would open an erased ticket again.
    "DELETE FROM merges WHERE source_id = ANY(CAST(:own AS uuid[]))",
    """
    UPDATE merges SET body = jsonb_set(body, '{watchers}', (body -> 'watchers') - :email)
    WHERE target_id = ANY(CAST(:all AS uuid[])) AND body -> 'watchers' ? :email
    """,
)


async def names(uow: UnitOfWork, person: Known) -> tuple[str, ...]:
    """The names under which they wrote."""
    return tuple((await uow.execute(_NAMES, {"email": person.email})).scalars())


async def files(uow: UnitOfWork, person: Known, own: Sequence[UUID]) -> list[UUID]:
    """The attachments of their messages, and those that a merge took from their own tickets."""
    rows = await uow.execute(_FILES, {"email": person.email, "own": list(own)})
    return list(rows.scalars())


async def erase_words(
    uow: UnitOfWork,
    person: Known,
    own: Sequence[UUID],
    others: Sequence[UUID],
    gone: Sequence[UUID],
) -> None:
    """Erase the person's words and traces from these locked tickets' messages and log.

    `gone` are the attachments that there are no more.
    """
    known_as = {*(await uow.execute(_SUBJECTS, {"email": person.email})).scalars()}
    parameters = {
        "id": str(person.id),
        "email": person.email,
        "subjects": sorted({*known_as, str(person.id), person.email}),
        "traces": person.traces,
        "erased": ERASED,
        "now": uow.now,
        "own": list(own),
        "all": [*own, *others],
        "gone": list(gone),
    }
    for statement in _STATEMENTS:
        clause = text(statement)
        await uow.execute(clause, {name: parameters[name] for name in clause._bindparams})
