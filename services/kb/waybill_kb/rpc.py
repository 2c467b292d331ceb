"""What other services ask kb."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill.intake.v1.service_pb2 import StreamTicketsRequest, StreamTicketsResponse
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
from waybill.kb.v1.service_pb2_grpc import (
    KnowledgeServiceServicer,
    add_KnowledgeServiceServicer_to_server,
)
from waybill_chassis.causes import request_cause
from waybill_chassis.problems import Unavailable, invalid_field
from waybill_chassis.rpc import Servicer, authorize
from waybill_chassis.service import Runtime

from waybill_kb import events
from waybill_kb.consumers import windows
from waybill_kb.domain.tickets import Picture
from waybill_kb.settings import Settings
from waybill_kb.similar import readable, similar_to
from waybill_kb.store import tickets as store
from waybill_kb.usecases import articles, quick_replies
from waybill_kb.usecases.tickets import Sighting, observe, similar

_MOST_TEXT = 40_000
_BATCH = 500
_MOST_DIFFERENCES = 1000
_STREAM_SECONDS = 60.0


class Knowledge(KnowledgeServiceServicer):
    """Articles, quick replies and similar tickets."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """The adapters that all questions share."""
        self._rt = rt

    async def Suggest(self, request: SuggestRequest, context: Any) -> SuggestResponse:  # noqa: ARG002, N802
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

    async def RenderQuickReply(  # noqa: N802
        self,
        request: RenderQuickReplyRequest,
        context: Any,  # noqa: ARG002
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

    async def FindSimilar(  # noqa: N802
        self,
        request: FindSimilarRequest,
        context: Any,  # noqa: ARG002
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

    async def Reconcile(self, request: ReconcileRequest, context: Any) -> ReconcileResponse:  # noqa: ARG002, N802
        """Compare kb's picture of the tickets with intake."""
        authorize("admin", "service")
        since = request.updated_since if request.HasField("updated_since") else None
        return ReconcileResponse(report=await reconcile(self._rt, request.repair, since))


def _text(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise invalid_field("text", f"must have at most {_MOST_TEXT} characters")
    return text.replace("\x00", " ").strip()


def _limit(limit: int, *, default: int, most: int) -> int:
    if not 0 <= limit <= most:
        raise invalid_field("limit", f"must be 1 to {most}, or 0 for {default}")
    return limit or default


async def reconcile(
    rt: Runtime[Settings], repair: bool, since: Timestamp | None
) -> ReconcileReport:
    """Compare every ticket of intake's; what differs is compared again before it counts.

    A repair does what the ticket's next event would have done.
    """
    report = ReconcileReport()
    try:
        async for batch in _batches(rt, StreamTicketsRequest(updated_since=since)):
            report.checked += len(batch)
            suspects = await _differing(rt, batch)
            if not suspects:
                continue
            await asyncio.sleep(rt.settings.reconcile_pause_seconds)
            again = StreamTicketsRequest(ticket_ids=[str(id) for id in suspects])
            async for second in _batches(rt, again):
                await _settle(rt, second, repair, report)
    except Unavailable:
        report.unreachable.append("intake")
    return report


async def _batches(
    rt: Runtime[Settings], request: StreamTicketsRequest
) -> AsyncIterator[list[Picture]]:
    batch: list[Picture] = []
    stub = rt.peers.intake.stub
    answers: AsyncIterator[StreamTicketsResponse] = rt.peers.intake.stream(
        stub.StreamTickets, request, timeout=_STREAM_SECONDS
    )
    async for answer in answers:
        batch.append(events.from_ticket(answer.ticket, answer.sequence))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _differing(
    rt: Runtime[Settings], pictures: list[Picture]
) -> dict[UUID, list[Difference]]:
    async with rt.database.reading() as connection:
        rows = await store.facts(connection, [picture.id for picture in pictures])
    return {
        picture.id: differences
        for picture in pictures
        if (differences := _compared(picture, rows.get(picture.id)))
    }


def _compared(owned: Picture, held: Row[Any] | None) -> list[Difference]:
    """Where kb differs from the owner. What kb has heard later than the owner said is no error."""
    subject = str(owned.id)
    if held is None:
        return [Difference(owner="intake", subject=subject, field="(missing)", owned=owned.number)]
    if held.erased or held.sequence > owned.sequence:
        return []
    pairs = {
        "number": (held.number, owned.number),
        "product": (held.product, owned.product),
        "submitter": (held.submitter_id, owned.submitter_id),
        "text": (_hex(held.text_hash), _hex(owned.text_hash)),
        "sequence": (str(held.sequence), str(owned.sequence)),
    }
    return [
        Difference(owner="intake", subject=subject, field=field, held=ours, owned=theirs)
        for field, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def _hex(hash: bytes | None) -> str:
    return bytes(hash).hex()[:16] if hash is not None else ""


async def _settle(
    rt: Runtime[Settings], pictures: list[Picture], repair: bool, report: ReconcileReport
) -> None:
    differing = await _differing(rt, pictures)
    if repair and differing:
        cause = request_cause(DESCRIPTOR.services_by_name["KnowledgeService"].full_name)
        async with rt.database.unit_of_work() as uow:
            sightings = [
                Sighting(picture, cause, uow.now) for picture in pictures if picture.id in differing
            ]
            await observe(uow, sightings, windows(rt.settings), repair=True)
        report.repaired += len(differing)
    report.differing += len(differing)
    for differences in differing.values():
        room = _MOST_DIFFERENCES - len(report.differences)
        for difference in differences[: max(0, room)]:
            difference.repaired = repair
            report.differences.append(difference)


def servicer(rt: Runtime[Settings]) -> Servicer:
    """KnowledgeService, ready to be served."""
    return Servicer(
        add_KnowledgeServiceServicer_to_server,
        Knowledge(rt),
        DESCRIPTOR.services_by_name["KnowledgeService"].full_name,
    )
