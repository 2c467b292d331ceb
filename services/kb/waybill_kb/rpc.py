"""The gRPC edge: suggestions, quick replies and similar tickets for the other services."""

from typing import Any

import grpc.aio
from waybill.kb.v1.service_pb2 import (
    DESCRIPTOR,
    FindSimilarRequest,
    FindSimilarResponse,
    ReconcileRequest,
    ReconcileResponse,
    RenderQuickReplyRequest,
    RenderQuickReplyResponse,
    Suggestion,
    SuggestRequest,
    SuggestResponse,
)
from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceServicer
from waybill_chassis.causes import request_cause
from waybill_chassis.problems import invalid_field
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import authorize
from waybill_chassis.service import Runtime

from waybill_kb import events
from waybill_kb.lookup import readable, similar_to
from waybill_kb.reconciling import owners
from waybill_kb.settings import Settings
from waybill_kb.usecases import articles, quick_replies
from waybill_kb.usecases.tickets import similar

SERVICE = DESCRIPTOR.services_by_name["KnowledgeService"].full_name

_MOST_TEXT = 40_000


class Knowledge(KnowledgeServiceServicer):
    """`waybill.kb.v1.KnowledgeService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """Connects when it is asked."""
        self._rt = rt

    async def Suggest(  # noqa: N802 - the contract names it
        self,
        request: SuggestRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> SuggestResponse:
        """Articles that may answer a question, the best first."""
        caller = authorize("service", "agent", product=request.product or None)
        text = _text(request.text)
        if not text:
            raise invalid_field("text", "is required")
        async with self._rt.database.reading() as connection:
            found = await articles.suggest(
                connection,
                text,
                products=[request.product] if request.product else [],
                language=request.language or None,
                insider=caller if request.include_internal else None,
                limit=_limit(request.limit, default=3, most=20),
                minimum=self._rt.settings.minimum_confidence,
            )
        return SuggestResponse(
            suggestions=[
                Suggestion(
                    article=events.to_article(item.article, body=False),
                    confidence=item.confidence,
                    excerpt=item.excerpt,
                )
                for item in found
            ]
        )

    async def RenderQuickReply(  # noqa: N802 - the contract names it
        self,
        request: RenderQuickReplyRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> RenderQuickReplyResponse:
        """A quick reply with a ticket's facts filled in."""
        authorize("service", "agent", product=request.product or None)
        if not request.quick_reply_id:
            raise invalid_field("quick_reply_id", "is required")
        async with self._rt.database.reading() as connection:
            reply, body = await quick_replies.render(
                connection,
                request.quick_reply_id,
                values=dict(request.values),
                language=request.language,
                product=request.product,
            )
        return RenderQuickReplyResponse(
            quick_reply_id=str(reply.id), body=body, version=reply.version
        )

    async def FindSimilar(  # noqa: N802 - the contract names it
        self,
        request: FindSimilarRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> FindSimilarResponse:
        """Tickets that resemble a ticket or a text, the most similar first."""
        caller = authorize("service", "agent", product=request.product or None)
        limit = _limit(request.limit, default=10, most=50)
        if request.ticket_id:
            found = await similar_to(
                self._rt, request.ticket_id, reader=caller, limit=limit, product=request.product
            )
            return FindSimilarResponse(tickets=events.similar(found))
        if not (text := _text(request.text)):
            raise invalid_field("ticket_id", "or text is required")
        async with self._rt.database.reading() as connection:
            found = await similar(
                connection,
                now=self._rt.clock.now(),
                window=self._rt.settings.similar_window,
                text=text,
                products=readable(caller, request.product),
                limit=limit,
            )
        return FindSimilarResponse(tickets=events.similar(found))

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare kb's picture of the tickets with intake."""
        authorize("admin", "service")
        report = await reconcile(
            owners(self._rt, request_cause(f"{SERVICE}/Reconcile")),
            request,
            pause=self._rt.settings.reconcile_pause_seconds,
        )
        return ReconcileResponse(report=report)


def _text(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise invalid_field("text", f"must have at most {_MOST_TEXT} characters")
    return text.replace("\x00", " ").strip()


def _limit(limit: int, *, default: int, most: int) -> int:
    if not 0 <= limit <= most:
        raise invalid_field("limit", f"must be 1 to {most}, or 0 for {default}")
    return limit or default
