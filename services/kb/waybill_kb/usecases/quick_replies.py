"""Quick replies: writing and rendering them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id

from waybill_kb.domain.articles import check_may_write
from waybill_kb.domain.quick_replies import (
    Body,
    NameTaken,
    QuickReply,
    QuickReplyUnknown,
    body_in,
    check_text,
    rendered,
    usable_for,
)
from waybill_kb.store import quick_replies as store


async def create(
    uow: UnitOfWork,
    *,
    name: str,
    title: str,
    bodies: Sequence[Body],
    products: Sequence[str],
    author: Principal,
    id: UUID | None = None,
) -> QuickReply:
    """Write a new quick reply; `NameTaken` when another one has its name."""
    check_may_write(products, author)
    for number, body in enumerate(bodies):
        check_text(body.text, f"bodies.{number}.text")
    reply = QuickReply(
        id=id or new_id(),
        name=name,
        title=title,
        bodies=tuple(bodies),
        products=tuple(products),
        version=1,
        created_at=uow.now,
        updated_at=uow.now,
    )
    if not await store.insert(uow, reply):
        raise NameTaken(f"There is a quick reply {name} already.")
    return reply


async def render(
    connection: AsyncConnection,
    id_or_name: str,
    *,
    values: Mapping[str, str],
    language: str,
    product: str,
) -> tuple[QuickReply, str]:
    """A quick reply with its gaps filled."""
    reply = await store.find(connection, id_or_name)
    if reply is None or not usable_for(reply, product):
        raise QuickReplyUnknown(f"There is no quick reply {id_or_name}.")
    return reply, rendered(body_in(reply, language).text, values)
