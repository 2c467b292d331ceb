"""kb's picture of the tickets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_kb.domain.texts import search_config
from waybill_kb.domain.tickets import Picture, Sibling


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a ticket already."""

    sequence: int
    text_hash: bytes | None
    erased: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The tickets of one submitter for one product that say the same."""

    submitter_id: str
    product: str
    text_hash: bytes


async def held(uow: UnitOfWork, ids: Iterable[UUID]) -> dict[UUID, Held]:
    """What is known of these tickets, locked in the order of their ids."""
    rows = await uow.execute(
        text(
            "SELECT id, sequence, text_hash, erased FROM tickets"
            " WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
        ),
        {"ids": list(ids)},
    )
    return {row.id: Held(row.sequence, row.text_hash, row.erased) for row in rows}


async def put(uow: UnitOfWork, pictures: Sequence[Picture], same_text: set[UUID]) -> None:
    """Write pictures, each newer than what is held; the words of `same_text` stay as they are."""
    await uow.execute(
        text(
            """
            INSERT INTO tickets AS t (id, number, product, submitter_id, text_hash, config, words,
                                      created_at, external_ref, sequence)
            SELECT id, number, product, submitter_id, text_hash, config,
                   coalesce(to_tsvector(CAST(config AS regconfig), body), ''),
                   created_at, external_ref, sequence
            FROM unnest(
                CAST(:id AS uuid[]), CAST(:number AS text[]), CAST(:product AS text[]),
                CAST(:submitter_id AS text[]), CAST(:text_hash AS bytea[]),
                CAST(:config AS text[]), CAST(:body AS text[]),
                CAST(:created_at AS timestamptz[]), CAST(:external_ref AS boolean[]),
                CAST(:sequence AS bigint[])
            ) AS i (id, number, product, submitter_id, text_hash, config, body, created_at,
                    external_ref, sequence)
            ORDER BY id
            ON CONFLICT (id) DO UPDATE SET
                number = excluded.number, product = excluded.product,
                submitter_id = excluded.submitter_id, text_hash = excluded.text_hash,
                config = CASE WHEN t.id = ANY(:same_text) THEN t.config ELSE excluded.config END,
                words = CASE WHEN t.id = ANY(:same_text) THEN t.words ELSE excluded.words END,
                created_at = excluded.created_at, external_ref = excluded.external_ref,
                sequence = excluded.sequence
            WHERE NOT t.erased
            """
        ),
        {
            "id": [p.id for p in pictures],
            "number": [p.number for p in pictures],
            "product": [p.product for p in pictures],
            "submitter_id": [p.submitter_id for p in pictures],
            "text_hash": [p.text_hash for p in pictures],
            "config": [search_config(p.language) for p in pictures],
            "body": [None if p.id in same_text else p.text for p in pictures],
            "created_at": [p.created_at for p in pictures],
            "external_ref": [p.external_ref for p in pictures],
            "sequence": [p.sequence for p in pictures],
            "same_text": list(same_text),
        },
    )


async def lock_groups(uow: UnitOfWork, groups: Sequence[Group]) -> None:
    """Let nobody else compare these texts until this unit ends.

    Twins may be read by two consumers at the same moment: whoever comes second must see both.
    """
    await uow.execute(
        text(
            """
            SELECT pg_advisory_xact_lock(lock) FROM (
                SELECT DISTINCT hashtextextended(
                    submitter_id || chr(31) || product || chr(31) || encode(text_hash, 'hex'), 0
                ) AS lock
                FROM unnest(CAST(:submitter_id AS text[]), CAST(:product AS text[]),
                            CAST(:text_hash AS bytea[])) AS g (submitter_id, product, text_hash)
                ORDER BY lock) locks
            """
        ),
        _columns(groups),
    )


async def siblings(uow: UnitOfWork, groups: Sequence[Group]) -> dict[Group, list[Sibling]]:
    """The tickets of each group."""
    rows = await uow.execute(
        text(
            """
            SELECT t.id, t.number, t.created_at, t.external_ref,
                   t.submitter_id, t.product, t.text_hash
            FROM tickets t
            JOIN unnest(CAST(:submitter_id AS text[]), CAST(:product AS text[]),
                        CAST(:text_hash AS bytea[])) AS g (submitter_id, product, text_hash)
              ON t.submitter_id = g.submitter_id AND t.product = g.product
             AND t.text_hash = g.text_hash
            WHERE t.text_hash IS NOT NULL AND t.submitter_id <> ''
            """
        ),
        _columns(groups),
    )
    found: dict[Group, list[Sibling]] = {group: [] for group in groups}
    for row in rows:
        group = Group(row.submitter_id, row.product, row.text_hash)
        found[group].append(_sibling(row))
    return found


def _columns(groups: Sequence[Group]) -> dict[str, Any]:
    return {
        "submitter_id": [group.submitter_id for group in groups],
        "product": [group.product for group in groups],
        "text_hash": [group.text_hash for group in groups],
    }


def _sibling(row: Row[Any]) -> Sibling:
    return Sibling(
        id=row.id, number=row.number, created_at=row.created_at, external_ref=row.external_ref
    )


async def erase(uow: UnitOfWork, submitter_ids: Sequence[str], ids: Sequence[UUID]) -> None:
    """Forget the words of these people's tickets, and never take any of them again.

    A ticket that has not been heard of yet becomes a stub, so that its late opening finds it.
    """
    await uow.execute(
        text(
            """
            INSERT INTO tickets AS t (id, number, product, submitter_id, config, words, created_at,
                                      external_ref, erased, sequence)
            SELECT id, '', '', '', 'simple', '', :now, false, true, 0
            FROM (SELECT unnest(CAST(:ids AS uuid[])) UNION
                  SELECT id FROM tickets WHERE submitter_id = ANY(:submitters)) AS i (id)
            ORDER BY id
            ON CONFLICT (id) DO UPDATE SET
                submitter_id = '', text_hash = NULL, words = '', erased = true
            """
        ),
        {"ids": list(ids), "submitters": list(submitter_ids), "now": uow.now},
    )


async def find(connection: AsyncConnection, id_or_number: str) -> tuple[UUID, str] | None:
    """The id and the product of a ticket."""
    found = await connection.execute(
        text("SELECT id, product FROM tickets WHERE number = :it OR id::text = lower(:it) LIMIT 1"),
        {"it": id_or_number},
    )
    return (row.id, row.product) if (row := found.first()) else None


async def facts(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    """What is held of these tickets, for comparing with their owner."""
    rows = await connection.execute(
        text(
            "SELECT id, sequence, number, product, submitter_id, text_hash, erased FROM tickets"
            " WHERE id = ANY(:ids)"
        ),
        {"ids": list(ids)},
    )
    return {row.id: row for row in rows}


_ALIKE = """
    SELECT t.id, t.number, t.created_at, t.external_ref,
           coalesce(t.text_hash = :text_hash, false) AS same_text,
           t.submitter_id <> '' AND t.submitter_id = :submitter_id AS same_submitter,
           (SELECT count(*) FROM unnest(tsvector_to_array(t.words)) w
            WHERE w = ANY(CAST(:lexemes AS text[]))) AS shared, length(t.words) AS words
    FROM tickets t
    WHERE t.words @@ CAST(:query AS tsquery) AND t.created_at >= :since
      AND t.id IS DISTINCT FROM CAST(:not_this AS uuid)
      AND (CAST(:products AS text[]) IS NULL OR t.product = ANY(CAST(:products AS text[])))
    ORDER BY ts_rank_cd(t.words, CAST(:query AS tsquery), 1) DESC, t.id DESC LIMIT 200
"""


async def words_of(
    connection: AsyncConnection, *, ticket: UUID | None, words: str, language: str
) -> tuple[list[str], bytes | None, str, str]:
    """The lexemes, hash, submitter and query of a ticket, or of a text that is no ticket's."""
    source = (
        "SELECT words, text_hash, submitter_id FROM tickets WHERE id = :ticket"
        if ticket
        else "SELECT to_tsvector(CAST(CAST(:config AS text) AS regconfig), :words) AS words,"
        " CAST(NULL AS bytea) AS text_hash, '' AS submitter_id"
    )
    found = await connection.execute(
        text(
            f"""
            SELECT s.text_hash, s.submitter_id, l.lexemes, l.query FROM ({source}) s,
            LATERAL (SELECT coalesce(array_agg(lexeme), '{{}}') AS lexemes,
                            string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''')
                                       || '''', ' | ') AS query
                     FROM unnest(tsvector_to_array(s.words)) lexeme) l
            """
        ),
        {"ticket": ticket} if ticket else {"config": search_config(language), "words": words},
    )
    row = found.one()
    return list(row.lexemes), row.text_hash, row.submitter_id, row.query or ""


async def alike(
    connection: AsyncConnection,
    *,
    lexemes: Sequence[str],
    query: str,
    text_hash: bytes | None,
    submitter_id: str,
    not_this: UUID | None,
    products: Sequence[str] | None,
    since: datetime,
    limit: int,
) -> list[tuple[Sibling, float, bool, bool]]:
    """Tickets that share words: with their similarity, same text, same submitter.

    The similarity is the share of all significant words of both texts that stand in both
    (Jaccard), and 1 for the same text. `products`: only tickets of these; None for all.
    """
    if not query:
        return []
    rows = await connection.execute(
        text(_ALIKE),
        {
            "lexemes": list(lexemes),
            "query": query,
            "text_hash": text_hash,
            "submitter_id": submitter_id,
            "not_this": not_this,
            "products": None if products is None else list(products),
            "since": since,
        },
    )
    found = [
        (
            _sibling(row),
            1.0 if row.same_text else row.shared / (row.words + len(lexemes) - row.shared),
            row.same_text,
            row.same_submitter,
        )
        for row in rows
    ]
    # Of equally similar ones the older comes first: the one that the other would be merged into.
    return sorted(found, key=lambda item: (-item[1], item[0].created_at, item[0].id))[:limit]
