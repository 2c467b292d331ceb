"""What is sent to kb and what it answers."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from waybill_chassis.validation import Instant, RequestModel, ResponseModel

from waybill_kb.domain.articles import Article, Content, State, Visibility
from waybill_kb.domain.quick_replies import QuickReply, gaps
from waybill_kb.usecases.articles import Suggestion

Language = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)
]
"""A BCP 47 tag such as `en` or `pt-BR`."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
Tag = Annotated[str, StringConstraints(to_lower=True, min_length=1, max_length=50)]


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


Products = Annotated[tuple[Slug, ...], Field(max_length=50), AfterValidator(_unique)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=30), AfterValidator(_unique)]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Summary = Annotated[str, Field(min_length=1, max_length=1000)]
Markdown = Annotated[str, Field(min_length=1, max_length=100_000)]


class NewArticle(RequestModel):
    """An article as it is first written."""

    title: Title
    summary: Summary
    body: Markdown
    language: Language = "en"
    products: Products = ()
    tags: Tags = ()
    visibility: Visibility = Visibility.PUBLIC

    def content(self) -> Content:
        """What the domain calls it."""
        return Content(**dict(self))


class ArticleChange(RequestModel):
    """What is to be different; what is left out stays."""

    title: Title | None = None
    summary: Summary | None = None
    body: Markdown | None = None
    language: Language | None = None
    products: Products | None = None
    tags: Tags | None = None
    visibility: Visibility | None = None


class Feedback(RequestModel):
    """Whether an article helped."""

    helpful: bool
    comment: Annotated[str, Field(max_length=2000)] = ""


class FeedbackGiven(ResponseModel):
    """What was kept."""

    article_id: UUID
    version: int
    helpful: bool
    comment: str


class Question(RequestModel):
    """What somebody wants to know."""

    text: Annotated[str, Field(min_length=1, max_length=20_500)]
    product: Slug | None = None
    language: Language | None = None
    limit: Annotated[int, Field(ge=1, le=20)] = 3


class ArticleBrief(ResponseModel):
    """An article without its body."""

    id: UUID
    title: str
    summary: str
    state: State
    language: str
    products: tuple[str, ...]
    tags: tuple[str, ...]
    visibility: Visibility
    published_at: Instant | None
    created_at: Instant
    updated_at: Instant
    version: int
    published_version: int | None


class ArticleShown(ArticleBrief):
    """A whole article."""

    body: str


class FeedbackCounts(ResponseModel):
    """What readers say of it."""

    helpful: int
    not_helpful: int


class ArticleForAgents(ArticleShown):
    """A whole article with what readers say of it."""

    feedback: FeedbackCounts


class SuggestionShown(ResponseModel):
    """An article that may answer."""

    article: ArticleBrief
    confidence: float
    excerpt: str


class Found(ResponseModel):
    """The articles that may answer, the surest first."""

    items: list[SuggestionShown]
    next_cursor: None = None


class BodyText(RequestModel):
    """A quick reply in one language. Gaps are written `{{ submitter_name }}`."""

    language: Language
    text: Annotated[str, Field(min_length=1, max_length=20_000)]


class NewQuickReply(RequestModel):
    """A quick reply as it is first written; its first body is the default."""

    name: Slug
    title: Title
    bodies: Annotated[tuple[BodyText, ...], Field(min_length=1, max_length=30)]
    products: Products = ()


class BodyShown(ResponseModel):
    """A quick reply in one language, and the values it needs."""

    language: str
    text: str
    needs: list[str]


class QuickReplyShown(ResponseModel):
    """A quick reply."""

    id: UUID
    name: str
    title: str
    bodies: list[BodyShown]
    products: tuple[str, ...]
    created_at: Instant
    updated_at: Instant
    version: int


class SimilarShown(ResponseModel):
    """A ticket that resembles the one asked about."""

    ticket_id: UUID
    number: str
    similarity: float
    same_text: bool
    same_submitter: bool
    created_at: Instant


class SimilarTickets(ResponseModel):
    """The most similar first."""

    items: list[SimilarShown]
    next_cursor: None = None


def _facts(article: Article) -> dict[str, object]:
    content = article.content
    return {
        "id": article.id,
        "title": content.title,
        "summary": content.summary,
        "body": content.body,
        "state": article.state,
        "language": content.language,
        "products": content.products,
        "tags": content.tags,
        "visibility": content.visibility,
        "published_at": article.published_at,
        "created_at": article.created_at,
        "updated_at": article.updated_at,
        "version": article.version,
        "published_version": article.published_version,
    }


def shown(article: Article) -> ArticleShown:
    """A whole article."""
    return ArticleShown.model_validate(_facts(article))


def shown_to_agents(article: Article, counts: tuple[int, int]) -> ArticleForAgents:
    """A whole article with what readers say of it."""
    feedback = {"helpful": counts[0], "not_helpful": counts[1]}
    return ArticleForAgents.model_validate(_facts(article) | {"feedback": feedback})


def brief(article: Article) -> ArticleBrief:
    """An article without its body."""
    return ArticleBrief.model_validate(_facts(article))


def found(suggestions: list[Suggestion]) -> Found:
    """What a search found."""
    return Found(
        items=[
            SuggestionShown(
                article=brief(item.article),
                confidence=round(item.confidence, 4),
                excerpt=item.excerpt,
            )
            for item in suggestions
        ]
    )


def shown_reply(reply: QuickReply) -> QuickReplyShown:
    """A quick reply with what each of its bodies needs."""
    return QuickReplyShown(
        id=reply.id,
        name=reply.name,
        title=reply.title,
        bodies=[
            BodyShown(language=body.language, text=body.text, needs=gaps(body.text))
            for body in reply.bodies
        ],
        products=reply.products,
        created_at=reply.created_at,
        updated_at=reply.updated_at,
        version=reply.version,
    )
