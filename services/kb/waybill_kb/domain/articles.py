"""Articles: what they hold, who may read and write them, how they come to be found."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from waybill_chassis.auth import ALL_PRODUCTS, Principal
from waybill_chassis.problems import Conflict, Forbidden, NotFound


class State(StrEnum):
    """Where an article stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class Visibility(StrEnum):
    """Who may read an article: everybody, or agents only."""

    PUBLIC = "public"
    INTERNAL = "internal"


class ArticleUnknown(NotFound):
    """No such article, or none that the caller may see."""


class ArticleIsArchived(Conflict):
    """An archived article rests: it can be published again, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version of an article says. `products` empty: about all of them."""

    title: str
    summary: str
    body: str
    language: str
    products: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    visibility: Visibility = Visibility.PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One version of an article. `published_version` is the one that searches find, if any."""

    id: UUID
    version: int
    state: State
    content: Content
    published_version: int | None
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime


def edited(article: Article, content: Content, now: datetime) -> Article:
    """The next version. What is published stays so until the new version is published too."""
    if article.state is State.ARCHIVED:
        raise ArticleIsArchived(
            "An archived article cannot be edited: publish it again first.", allowed=["publish"]
        )
    return replace(article, version=article.version + 1, content=content, updated_at=now)


def published(article: Article, now: datetime) -> Article:
    """Its present version can be found from now on."""
    return replace(
        article,
        state=State.PUBLISHED,
        published_version=article.version,
        published_at=now,
        updated_at=now,
    )


def archived(article: Article, now: datetime) -> Article:
    """It can be found no longer; all its versions are kept."""
    return replace(article, state=State.ARCHIVED, published_version=None, updated_at=now)


def is_published(article: Article) -> bool:
    """Whether searches find the very version that this is."""
    return article.state is State.PUBLISHED and article.published_version == article.version


def covers(products: Iterable[str], principal: Principal) -> bool:
    """Whether something about these products (none: about all) is the caller's to read."""
    names = tuple(products)
    return not names or any(principal.can_see_product(name) for name in names)


def may_read(article: Article, principal: Principal | None) -> bool:
    """Everybody reads what is published and public; agents also the rest, of their products."""
    if is_published(article) and article.content.visibility is Visibility.PUBLIC:
        return True
    return (
        principal is not None
        and principal.has("agent")
        and covers(article.content.products, principal)
    )


def check_may_write(products: Iterable[str], principal: Principal) -> None:
    """Raise `Forbidden` unless the caller may speak for these products (none: for all)."""
    for product in tuple(products) or (ALL_PRODUCTS,):
        if product == ALL_PRODUCTS and ALL_PRODUCTS not in principal.products:
            raise Forbidden("What is about all products needs a token that covers all of them.")
        if not principal.can_see_product(product):
            raise Forbidden(f"Your token does not cover the product {product}.", product=product)
