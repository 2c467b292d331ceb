"""Finds what is like a ticket or a text; asks intake for a ticket that kb has not heard of."""

from waybill_chassis.auth import Principal
from waybill_chassis.lookup import ask_for_ticket, unknown_ticket
from waybill_chassis.problems import Unavailable
from waybill_chassis.service import Runtime

from waybill_kb.domain.tickets import Sibling
from waybill_kb.settings import Settings
from waybill_kb.store import tickets as store
from waybill_kb.usecases.tickets import similar


async def similar_to(
    rt: Runtime[Settings],
    name: str,
    *,
    reader: Principal,
    limit: int,
    product: str = "",
) -> list[tuple[Sibling, float, bool, bool]]:
    """Tickets like this one, of `product` (empty: of the ticket's own).

    A ticket that kb has not heard of is asked of intake; with intake away nothing is similar yet.
    `NotFound` when intake does not know it either, or the reader may not see its product.
    """
    async with rt.database.reading() as connection:
        known = await store.find(connection, name)
    text = language = ""
    if known is not None:
        ticket, of = known
    else:
        try:
            answer = await ask_for_ticket(
                rt.peers, name, timeout=rt.settings.intake_timeout_seconds
            )
        except Unavailable:
            return []
        ticket, of = None, answer.ticket.product
        text = f"{answer.ticket.title}\n{answer.ticket.description}"
        language = answer.ticket.language
    if not reader.can_see_product(of):
        raise unknown_ticket(name)
    async with rt.database.reading() as connection:
        return await similar(
            connection,
            now=rt.clock.now(),
            window=rt.settings.similar_window,
            ticket=ticket,
            text=text,
            language=language,
            products=readable(reader, product or of),
            limit=limit,
        )


def readable(reader: Principal, product: str) -> list[str] | None:
    """The products to look in: the one wanted, else all that the reader may see (None: any)."""
    if product:
        return [product] if reader.can_see_product(product) else []
    return reader.readable_products
