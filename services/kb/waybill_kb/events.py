"""Protobuf <-> domain."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.message import Message
from waybill.common.v1.actor_pb2 import Actor, Cause
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill.kb.v1 import article_pb2
from waybill.kb.v1.article_pb2 import SimilarTicket
from waybill.kb.v1.events_pb2 import (
    ArticleArchived,
    ArticlePublished,
    DuplicateSuspected,
    IssueRepeated,
)
from waybill_chassis.causes import automation
from waybill_chassis.events import InvalidEvent, ticket_id
from waybill_chassis.times import duration, moment, timestamp
from waybill_chassis.words import number

from waybill_kb.domain.articles import Article
from waybill_kb.domain.texts import text_hash
from waybill_kb.domain.tickets import Finding, Picture, Sibling

TOLD: tuple[type[Message], ...] = (
    ArticlePublished,
    ArticleArchived,
    DuplicateSuspected,
    IssueRepeated,
)
"""What kb tells."""


def from_ticket(ticket: Ticket, sequence: int) -> Picture:
    """What kb keeps of a ticket."""
    created_at = moment(ticket, "created_at")
    if created_at is None:
        raise InvalidEvent(f"ticket {ticket.id} lacks created_at")
    return Picture(
        id=ticket_id(ticket.id),
        number=ticket.number,
        product=ticket.product,
        submitter_id=ticket.submitter.id,
        text_hash=text_hash(ticket.title, ticket.description),
        text=f"{ticket.title}\n{ticket.description}",
        language=ticket.language,
        created_at=created_at,
        external_ref=bool(ticket.external_ref),
        sequence=sequence,
        erased=ticket.HasField("erased_at"),
    )


def to_article(article: Article, *, body: bool) -> article_pb2.Article:
    """An article, with or without its body."""
    content = article.content
    return article_pb2.Article(
        id=str(article.id),
        version=article.version,
        state=number(article_pb2.ArticleState, article.state),
        title=content.title,
        summary=content.summary,
        body=content.body if body else "",
        language=content.language,
        products=content.products,
        tags=content.tags,
        visibility=number(article_pb2.Visibility, content.visibility),
        published_at=timestamp(article.published_at),
        updated_at=timestamp(article.updated_at),
    )


def article_published(article: Article, actor: Actor, cause: Cause) -> ArticlePublished:
    """A version can be found from now on."""
    return ArticlePublished(actor=actor, cause=cause, article=to_article(article, body=True))


def article_archived(article: Article, actor: Actor, cause: Cause) -> ArticleArchived:
    """An article can be found no longer."""
    return ArticleArchived(actor=actor, cause=cause, article=to_article(article, body=False))


def _same(ticket: Sibling) -> SimilarTicket:
    return SimilarTicket(
        ticket_id=str(ticket.id),
        number=ticket.number,
        similarity=1.0,
        same_text=True,
        same_submitter=True,
        created_at=timestamp(ticket.created_at),
    )


def duplicate_suspected(finding: Finding, cause: Cause) -> DuplicateSuspected:
    """All its twins are equally similar, so the oldest comes first: the one to merge into."""
    return DuplicateSuspected(
        actor=automation("kb"),
        cause=cause,
        ticket_id=str(finding.ticket.id),
        candidates=[_same(ticket) for ticket in finding.duplicates],
    )


def issue_repeated(
    finding: Finding, submitter_id: str, window: timedelta, cause: Cause
) -> IssueRepeated:
    """The same issue again; the count includes the ticket itself."""
    return IssueRepeated(
        actor=automation("kb"),
        cause=cause,
        ticket_id=str(finding.ticket.id),
        submitter_id=submitter_id,
        count=len(finding.earlier) + 1,
        earlier=[_same(ticket) for ticket in finding.earlier],
        window=duration(window),
    )


def similar(tickets: Sequence[tuple[Sibling, float, bool, bool]]) -> list[SimilarTicket]:
    """Tickets with their similarity, whether text and submitter are the same."""
    return [
        SimilarTicket(
            ticket_id=str(ticket.id),
            number=ticket.number,
            similarity=similarity,
            same_text=same_text,
            same_submitter=same_submitter,
            created_at=timestamp(ticket.created_at),
        )
        for ticket, similarity, same_text, same_submitter in tickets
    ]
