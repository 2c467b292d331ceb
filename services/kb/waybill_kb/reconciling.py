"""The owner of what kb keeps of tickets: how to ask, compare and repair."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from waybill.common.v1.actor_pb2 import Cause
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill_chassis.reconciling import MISSING, Finding, Owner, asking, differing
from waybill_chassis.service import Runtime

from waybill_kb.domain.tickets import Picture
from waybill_kb.events import from_ticket
from waybill_kb.settings import Settings
from waybill_kb.store import tickets as store
from waybill_kb.usecases.tickets import Sighting, observe


def owners(rt: Runtime[Settings], cause: Cause) -> list[Owner[Picture]]:
    """Intake for the tickets."""

    async def compare(batch: Sequence[Picture]) -> Mapping[UUID, Sequence[Finding]]:
        async with rt.database.reading() as connection:
            rows = await store.facts(connection, [picture.id for picture in batch])
        return {picture.id: _findings(rows.get(picture.id), picture) for picture in batch}

    async def repair(batch: Sequence[Picture]) -> None:
        """Do what the ticket's next event would have done."""
        async with rt.database.unit_of_work() as uow:
            sightings = [Sighting(picture, cause, uow.now) for picture in batch]
            await observe(uow, sightings, rt.settings.windows(), repair=True)

    ask = asking(
        rt.peers.intake,
        "StreamTickets",
        StreamTicketsRequest,
        lambda answer: from_ticket(answer.ticket, answer.sequence),
    )
    return [Owner("intake", ask, lambda picture: picture.id, compare, repair)]


def _findings(held: Row[Any] | None, owned: Picture) -> list[Finding]:
    if held is None:
        return MISSING
    if held.erased or held.sequence > owned.sequence:
        return []
    ours = {
        "number": held.number,
        "product": held.product,
        "submitter": held.submitter_id,
        "text": _hex(held.text_hash),
        "sequence": held.sequence,
    }
    theirs = {
        "number": owned.number,
        "product": owned.product,
        "submitter": owned.submitter_id,
        "text": _hex(owned.text_hash),
        "sequence": owned.sequence,
    }
    return differing(ours, theirs)


def _hex(hash: bytes | None) -> str:
    return bytes(hash).hex()[:16] if hash is not None else ""
