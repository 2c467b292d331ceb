"""Articles with their versions, what searches find of them, and feedback."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_kb.domain.articles import Article, Content, State, Visibility
from waybill_kb.domain.confidence import Corpus
from waybill_kb.domain.texts import plain, primary, search_config

_COLUMNS = """
    a.id, a.state, a.published_version, a.published_at, a.created_at, a.updated_at,
    v.version, v.title, v.summary, v.body, v.language, v.products, v.tags, v.visibility
"""


_CONFIG = "CAST(CAST(:config AS text) AS regconfig)"


def _article(row: Row[Any]) -> Article:
    return Article(
        id=row.id,
        version=row.version,
        state=State(row.state),
        content=Content(
            title=row.title,
            summary=row.summary,
            body=row.body,
            language=row.language,
            products=tuple(row.products),
            tags=tuple(row.tags),
            visibility=Visibility(row.visibility),
        ),
        published_version=row.published_version,
        published_at=row.published_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_NEWEST = f"SELECT {_COLUMNS} FROM articles a JOIN article_versions v ON v.article_id = a.id AND v.version = a.version"  # noqa: E501
_FOUND = f"SELECT {_COLUMNS} FROM articles a JOIN article_versions v ON v.article_id = a.id AND v.version = a.published_version"  # noqa: E501


async def newest(connection: AsyncConnection, id: UUID) -> Article | None:
    """The newest version of an article."""
    found = await connection.execute(text(f"{_NEWEST} WHERE a.id = :id"), {"id": id})
    return _article(row) if (row := found.first()) else None


async def found(connection: AsyncConnection, id: UUID) -> Article | None:
    """The published version of an article, if one is."""
    found = await connection.execute(text(f"{_FOUND} WHERE a.id = :id"), {"id": id})
    return _article(row) if (row := found.first()) else None


async def locked(uow: UnitOfWork, id: UUID) -> Article | None:
    """The newest version of an article, which nobody else changes until this unit ends."""
    found = await uow.execute(text(f"{_NEWEST} WHERE a.id = :id FOR UPDATE OF a"), {"id": id})
    return _article(row) if (row := found.first()) else None


async def page(
    connection: AsyncConnection,
    *,
    newest: bool,
    public_only: bool,
    products: Sequence[str] | None,
    state: State | None,
    product: str | None,
    language: str | None,
    tag: str | None,
    before: UUID | None,
    limit: int,
) -> list[Article]:
    """Articles, the youngest first: the newest versions, or those that are published.

    `products`: only those about one of these, or about all; None for every product.
    """
    rows = await connection.execute(
        text(
            f"""
            {_NEWEST if newest else _FOUND}
            WHERE (NOT :public_only OR v.visibility = 'public')
              AND (CAST(:products AS text[]) IS NULL OR v.products = '{{}}'
                   OR v.products && CAST(:products AS text[]))
              AND (CAST(:state AS text) IS NULL OR a.state = :state)
              AND (CAST(:product AS text) IS NULL OR v.products = '{{}}'
                   OR :product = ANY(v.products))
              AND (CAST(:language AS text) IS NULL
                   OR lower(split_part(v.language, '-', 1)) = :language)
              AND (CAST(:tag AS text) IS NULL OR :tag = ANY(v.tags))
              AND (CAST(:before AS uuid) IS NULL OR a.id < :before)
            ORDER BY a.id DESC LIMIT :limit
            """
        ),
        {
            "public_only": public_only,
            "products": None if products is None else list(products),
            "state": state,
            "product": product,
            "language": primary(language) if language else None,
            "tag": tag,
            "before": before,
            "limit": limit,
        },
    )
    return [_article(row) for row in rows]


async def insert(uow: UnitOfWork, article: Article, written_by: str) -> bool:
    """Write a new article; False when its id is taken."""
    done = await uow.execute(
        text(
            "INSERT INTO articles (id, version, state, created_at, updated_at)"
            " VALUES (:id, :version, :state, :created_at, :updated_at) ON CONFLICT DO NOTHING"
        ),
        {
            "id": article.id,
            "version": article.version,
            "state": article.state,
            "created_at": article.created_at,
            "updated_at": article.updated_at,
        },
    )
    if done.rowcount:
        await insert_version(uow, article, written_by)
    return bool(done.rowcount)


async def insert_version(uow: UnitOfWork, article: Article, written_by: str) -> None:
    """Write the content of a new version."""
    content = article.content
    await uow.execute(
        text(
            """
            INSERT INTO article_versions (article_id, version, title, summary, body, language,
                                          products, tags, visibility, written_by, written_at)
            VALUES (:id, :version, :title, :summary, :body, :language,
                    :products, :tags, :visibility, :written_by, :written_at)
            """
        ),
        {
            "id": article.id,
            "version": article.version,
            "title": content.title,
            "summary": content.summary,
            "body": content.body,
            "language": content.language,
            "products": list(content.products),
            "tags": list(content.tags),
            "visibility": content.visibility,
            "written_by": written_by,
            "written_at": article.updated_at,
        },
    )


async def update(uow: UnitOfWork, article: Article) -> None:
    """Write where an article stands."""
    await uow.execute(
        text(
            """
            UPDATE articles SET version = :version, state = :state, updated_at = :updated_at,
                published_version = :published_version, published_at = :published_at
            WHERE id = :id
            """
        ),
        {
            "id": article.id,
            "version": article.version,
            "state": article.state,
            "published_version": article.published_version,
            "published_at": article.published_at,
            "updated_at": article.updated_at,
        },
    )


async def index(uow: UnitOfWork, article: Article) -> None:
    """Let searches find this version of an article, and no other."""
    content = article.content
    await uow.execute(
        text(
            f"""
            INSERT INTO search_index (article_id, version, language, products, visibility, plain,
                                      config, words)
            VALUES (:id, :version, :language, :products, :visibility, :plain, :config,
                    setweight(to_tsvector({_CONFIG}, :title), 'A')
                    || setweight(to_tsvector({_CONFIG}, :tags), 'B')
                    || setweight(to_tsvector({_CONFIG}, :summary), 'C')
                    || setweight(to_tsvector({_CONFIG}, :plain), 'D'))
            ON CONFLICT (article_id) DO UPDATE SET
                version = excluded.version, language = excluded.language,
                products = excluded.products, visibility = excluded.visibility,
                plain = excluded.plain, config = excluded.config, words = excluded.words
            """
        ),
        {
            "id": article.id,
            "version": article.version,
            "language": primary(content.language),
            "products": list(content.products),
            "visibility": content.visibility,
            "plain": plain(content.body),
            "config": search_config(content.language),
            "title": content.title,
            "tags": " ".join(content.tags),
            "summary": content.summary,
        },
    )


async def unindex(uow: UnitOfWork, id: UUID) -> None:
    """Let searches find an article no longer."""
    await uow.execute(text("DELETE FROM search_index WHERE article_id = :id"), {"id": id})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An article that shares words with a question: where each stands, and the best passage."""

    article: Article
    places: dict[str, str]
    excerpt: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a question in one text search configuration finds, the best rank first."""

    question: frozenset[str]
    corpus: Corpus
    found: list[Candidate]


QUESTION_WORDS = 64
"""Of a long text only the first so many different words are asked for."""

_FREQUENT = 10_000
"""Counting the articles that a word stands in ends here."""

# The question's words in each configuration in use, then what shares any of them. An OR query:
# a question never has all its words in the answer. `ts_rank_cd` with normalisation 1 divides by
# the logarithm of the length, else the longest article would answer everything.
_QUESTION = text(
    f"""
    SELECT c.config, q.lexeme, q.word,
           (SELECT count(*) FROM (SELECT 1 FROM search_index s
                                  WHERE s.config = c.config AND s.words @@ CAST(q.word AS tsquery)
                                  LIMIT {_FREQUENT}) n) AS frequency,
           c.articles
    FROM (SELECT config, count(*) AS articles FROM search_index
          WHERE CAST(:language AS text) IS NULL OR language = :language GROUP BY config) c
    CROSS JOIN LATERAL (
        SELECT lexeme,
               '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''' AS word
        FROM unnest(to_tsvector(CAST(c.config AS regconfig), :question))
        ORDER BY positions[1], lexeme LIMIT {QUESTION_WORDS}) q
    """
)

_MATCHES = text(
    f"""
    SELECT {_COLUMNS}, m.places, m.excerpt
    FROM (
        SELECT s.article_id, s.version, s.rank,
               (SELECT jsonb_object_agg(w.lexeme, (SELECT min(x) FROM unnest(w.weights) x))
                FROM unnest(s.words) w WHERE w.lexeme = ANY(:lexemes)) AS places,
               ts_headline({_CONFIG}, s.plain, CAST(:query AS tsquery),
                           'StartSel="", StopSel="", MaxWords=45, MinWords=20') AS excerpt
        FROM (SELECT *, ts_rank_cd(words, CAST(:query AS tsquery), 1) AS rank FROM search_index
              WHERE config = :config AND words @@ CAST(:query AS tsquery)
                AND (visibility = 'public' OR (:internal AND (
                     products = '{{}}' OR CAST(:internal_of AS text[]) IS NULL
                     OR products && CAST(:internal_of AS text[]))))
                AND (products = '{{}}' OR CAST(:products AS text[]) IS NULL
                     OR products && CAST(:products AS text[]))
                AND (CAST(:language AS text) IS NULL OR language = :language)
              ORDER BY rank DESC, article_id LIMIT :limit) s
    ) m
    JOIN articles a ON a.id = m.article_id
    JOIN article_versions v ON v.article_id = m.article_id AND v.version = m.version
    ORDER BY m.rank DESC, a.id
    """
)


async def search(
    connection: AsyncConnection,
    question: str,
    *,
    products: Sequence[str] | None,
    language: str | None,
    internal: bool,
    internal_of: Sequence[str] | None,
    limit: int,
) -> list[Candidates]:
    """What shares words with a question, for each text search configuration in use.

    `products`: only articles about one of these, or about all; None for every article.
    `internal`: internal articles too, those about one of the products `internal_of` (None: any).
    """
    wanted = primary(language) if language else None
    rows = await connection.execute(_QUESTION, {"question": question, "language": wanted})
    by_config: dict[str, list[Row[Any]]] = {}
    for row in rows:
        by_config.setdefault(row.config, []).append(row)
    results = []
    for config, words in by_config.items():
        matches = await connection.execute(
            _MATCHES,
            {
                "config": config,
                "query": " | ".join(row.word for row in words),
                "lexemes": [row.lexeme for row in words],
                "internal": internal,
                "internal_of": None if internal_of is None else list(internal_of),
                "products": None if products is None else list(products),
                "language": wanted,
                "limit": limit,
            },
        )
        results.append(
            Candidates(
                question=frozenset(row.lexeme for row in words),
                corpus=Corpus(words[0].articles, {row.lexeme: row.frequency for row in words}),
                found=[Candidate(_article(row), dict(row.places), row.excerpt) for row in matches],
            )
        )
    return results


async def put_feedback(
    uow: UnitOfWork,
    article: Article,
    *,
    person: str,
    email: str,
    helpful: bool,
    comment: str,
    now: datetime,
) -> None:
    """Keep what a person thinks of an article; their last word counts."""
    await uow.execute(
        text(
            """
            INSERT INTO article_feedback
                (article_id, person, email, version, helpful, comment, given_at)
            VALUES (:id, :person, :email, :version, :helpful, :comment, :now)
            ON CONFLICT (article_id, person) DO UPDATE SET
                email = excluded.email, version = excluded.version, helpful = excluded.helpful,
                comment = excluded.comment, given_at = excluded.given_at
            """
        ),
        {
            "id": article.id,
            "person": person,
            "email": email,
            "version": article.version,
            "helpful": helpful,
            "comment": comment,
            "now": now,
        },
    )


async def feedback_counts(connection: AsyncConnection, id: UUID) -> tuple[int, int]:
    """How many found an article helpful, and how many did not."""
    counts = await connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE helpful) AS yes,"
            " count(*) FILTER (WHERE NOT helpful) AS no"
            " FROM article_feedback WHERE article_id = :id"
        ),
        {"id": id},
    )
    row = counts.one()
    return row.yes, row.no


async def forget_people(uow: UnitOfWork, emails: Sequence[str]) -> None:
    """Erase who gave feedback under these addresses, and their words; the votes stay."""
    await uow.execute(
        text(
            """
            UPDATE article_feedback SET person = gen_random_uuid()::text, email = '', comment = ''
            WHERE email = ANY(:emails) AND email <> ''
            """
        ),
        {"emails": list(emails)},
    )
