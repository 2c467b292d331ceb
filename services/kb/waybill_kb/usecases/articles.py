"""Writing, publishing and finding articles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill.common.v1.actor_pb2 import Cause
from waybill_chassis.auth import Principal
from waybill_chassis.causes import person
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id
from waybill_chassis.problems import check_version

from waybill_kb import events
from waybill_kb.domain import articles
from waybill_kb.domain.articles import Article, ArticleUnknown, Content, State
from waybill_kb.domain.confidence import confidence, doubted
from waybill_kb.store import articles as store

_CONSIDERED = 50
"""How many articles, by rank, are looked at closely for each question."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An article that may answer a question."""

    article: Article
    confidence: float
    excerpt: str


async def draft(
    uow: UnitOfWork, content: Content, author: Principal, id: UUID | None = None
) -> Article | None:
    """Begin an article; None when `id` is given and taken."""
    articles.check_may_write(content.products, author)
    article = Article(
        id=id or new_id(),
        version=1,
        state=State.DRAFT,
        content=content,
        published_version=None,
        published_at=None,
        created_at=uow.now,
        updated_at=uow.now,
    )
    return article if await store.insert(uow, article, author.subject) else None


async def edit(
    uow: UnitOfWork, id: UUID, content: Content, author: Principal, expected: int | None
) -> Article:
    """Write the next version of an article."""
    article = await _writable(uow, id, author, expected)
    articles.check_may_write(content.products, author)
    changed = articles.edited(article, content, uow.now)
    if content == article.content:
        return article
    await store.insert_version(uow, changed, author.subject)
    await store.update(uow, changed)
    return changed


async def publish(
    uow: UnitOfWork, id: UUID, author: Principal, expected: int | None, cause: Cause
) -> Article:
    """Let the newest version be found; repeated, it changes and tells nothing."""
    article = await _writable(uow, id, author, expected)
    if articles.is_published(article):
        return article
    published = articles.published(article, uow.now)
    await store.update(uow, published)
    await store.index(uow, published)
    uow.emit(
        events.article_published(published, person(author), cause),
        subject=id,
        aggregate_type="article",
    )
    return published


async def archive(
    uow: UnitOfWork, id: UUID, author: Principal, expected: int | None, cause: Cause
) -> Article:
    """Let an article be found no longer; repeated, it changes and tells nothing."""
    article = await _writable(uow, id, author, expected)
    if article.state is State.ARCHIVED:
        return article
    archived = articles.archived(article, uow.now)
    await store.update(uow, archived)
    await store.unindex(uow, id)
    uow.emit(
        events.article_archived(archived, person(author), cause),
        subject=id,
        aggregate_type="article",
    )
    return archived


async def _writable(uow: UnitOfWork, id: UUID, author: Principal, expected: int | None) -> Article:
    article = await store.locked(uow, id)
    if article is None or not articles.may_read(article, author):
        raise unknown(id)
    articles.check_may_write(article.content.products, author)
    check_version(expected, article.version)
    return article


async def read(connection: AsyncConnection, id: UUID, reader: Principal | None) -> Article:
    """The newest version for agents, the published one for everybody else."""
    for article in (await store.newest(connection, id), await store.found(connection, id)):
        if article is not None and articles.may_read(article, reader):
            return article
    raise unknown(id)


async def give_feedback(
    uow: UnitOfWork, id: UUID, reader: Principal, *, helpful: bool, comment: str
) -> Article:
    """Keep whether an article helped; the last word of each person counts."""
    article = await read(uow.connection, id, reader)
    await store.put_feedback(
        uow,
        article,
        person=reader.subject,
        email=reader.email or "",
        helpful=helpful,
        comment=comment,
        now=uow.now,
    )
    return article


def unknown(id: UUID | str) -> ArticleUnknown:
    """There is no such article for the caller."""
    return ArticleUnknown(f"There is no article {id}.")


async def suggest(
    connection: AsyncConnection,
    question: str,
    *,
    products: Sequence[str] | None,
    language: str | None,
    insider: Principal | None,
    limit: int,
    minimum: float,
) -> list[Suggestion]:
    """Articles that may answer a question, the surest first; empty when none passes `minimum`.

    `products`: only articles about one of these, or about all; None for every article. With an
    `insider`, whose role allows it, internal articles of their products are found too.
    """
    results = await store.search(
        connection,
        question,
        products=products,
        language=language,
        internal=insider is not None,
        internal_of=None if insider is None else insider.readable_products,
        limit=_CONSIDERED,
    )
    found = [
        Suggestion(
            candidate.article,
            confidence(result.corpus, result.question, candidate.places),
            candidate.excerpt,
        )
        for result in results
        for candidate in result.found
    ]
    # The sort is stable: of equally sure ones the better rank stays in front.
    found.sort(key=lambda suggestion: -suggestion.confidence)
    sure = doubted([suggestion.confidence for suggestion in found])
    weighed = (replace(item, confidence=it) for item, it in zip(found, sure, strict=True))
    return [suggestion for suggestion in weighed if suggestion.confidence >= minimum][:limit]
