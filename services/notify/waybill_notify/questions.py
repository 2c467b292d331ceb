"""What a mail needs of others: links from intake, an answer from kb. Both may be away."""

import asyncio
from dataclasses import fields

import structlog
from waybill.intake.v1.service_pb2 import ActionKind, GetTicketRequest
from waybill.kb.v1.article_pb2 import VISIBILITY_PUBLIC
from waybill.kb.v1.service_pb2 import SuggestRequest
from waybill_chassis.problems import Problem
from waybill_chassis.rpc import Peers
from waybill_chassis.words import word

from waybill_notify.domain import WITH_LINKS, Delivery, Template
from waybill_notify.letters import NO_ANSWER, NO_LINKS, Answer, Links
from waybill_notify.settings import Settings

log = structlog.get_logger(__name__)

_NAMES = frozenset(field.name for field in fields(Links))
_MOST_TEXT = 4000


class Questions:
    """Asks the other services on behalf of a mail; an answer that does not come is left out."""

    def __init__(self, peers: Peers, settings: Settings) -> None:
        """Connects when it first asks."""
        self._peers = peers
        self._settings = settings

    async def ask(self, delivery: Delivery) -> tuple[Links, Answer | None]:
        """All that the delivery's template needs, asked for at the same time."""
        links, answer = await asyncio.gather(self._links(delivery), self._answer(delivery))
        return links, answer

    async def _links(self, delivery: Delivery) -> Links:
        if delivery.template not in WITH_LINKS:
            return NO_LINKS
        intake = self._peers.intake
        request = GetTicketRequest(id_or_number=str(delivery.ticket_id), include_action_links=True)
        try:
            found = await intake.ask(
                intake.stub.GetTicket, request, timeout=self._settings.links_timeout_seconds
            )
        except Problem as problem:
            log.info("no_links", ticket_id=str(delivery.ticket_id), reason=problem.detail)
            return NO_LINKS
        base = self._settings.public_url.rstrip("/")
        paths = {
            name: base + link.path
            for link in found.action_links
            if (name := word(ActionKind, link.kind)) in _NAMES
            and link.path.startswith("/")
            and link.path.isprintable()
        }
        return Links(**paths)

    async def _answer(self, delivery: Delivery) -> Answer | None:
        if delivery.template != Template.RECEIPT:
            return None
        facts = delivery.facts
        kb = self._peers.kb
        request = SuggestRequest(
            text=f"{facts['title']}\n{facts['description']}"[:_MOST_TEXT],
            product=facts["product"],
            language=facts["language"],
            limit=1,
        )
        try:
            found = await kb.ask(
                kb.stub.Suggest, request, timeout=self._settings.suggest_timeout_seconds
            )
        except Problem as problem:
            log.info("no_answer", ticket_id=str(delivery.ticket_id), reason=problem.detail)
            return None
        for best in found.suggestions[:1]:
            article = best.article
            public = article.visibility == VISIBILITY_PUBLIC
            if public and best.confidence >= self._settings.answer_confidence:
                return Answer(article.title, article.summary or best.excerpt)
        return NO_ANSWER
