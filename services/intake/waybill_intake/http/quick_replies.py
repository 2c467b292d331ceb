"""A quick reply with a ticket's values filled in, as kb renders it."""

from dataclasses import dataclass

from waybill.kb.v1.service_pb2 import RenderQuickReplyRequest
from waybill_chassis.auth import Principal
from waybill_chassis.problems import Invalid, NotFound, Problem, Unavailable, invalid_field
from waybill_chassis.service import Runtime

from waybill_intake import bodies
from waybill_intake.domain.ticket import Ticket
from waybill_intake.http.callers import see
from waybill_intake.settings import Settings

_MOST_BODY = 20_000


@dataclass(frozen=True, slots=True)
class Said:
    """What an agent says, and the quick reply that it is from."""

    body: str
    quick_reply_id: str = ""


async def words(
    rt: Runtime[Settings], caller: Principal, id_or_number: str, given: bodies.Words
) -> Said | Problem:
    """The words themselves, or those of the quick reply; what is wrong where there are none.

    No connection is held while kb is asked. A problem is given, not raised: a request that was
    done once is answered as it was then, though kb be away now.
    """
    if given.body is not None:
        return Said(given.body, given.quick_reply_id or "")
    if given.quick_reply_id is None:
        return invalid_field("body", "is required, unless a quick_reply_id is given")
    try:
        async with rt.database.reading() as connection:
            ticket = (await see(connection, caller, id_or_number)).ticket
        return await _rendered(rt, caller, ticket, given.quick_reply_id)
    except Problem as problem:
        return problem


async def _rendered(
    rt: Runtime[Settings], caller: Principal, ticket: Ticket, quick_reply_id: str
) -> Said:
    kb = rt.peers.kb
    request = RenderQuickReplyRequest(
        quick_reply_id=quick_reply_id,
        values=_values(ticket, caller),
        language=ticket.language,
        product=ticket.product,
    )
    try:
        answer = await kb.ask(
            kb.stub.RenderQuickReply, request, timeout=rt.settings.quick_reply_timeout_seconds
        )
    except NotFound:
        raise invalid_field(
            "quick_reply_id", f"is unknown: {ticket.product} has no quick reply {quick_reply_id}"
        ) from None
    except Invalid as problem:
        raise invalid_field(
            "quick_reply_id", f"cannot be filled in: {problem.detail} Send the text as body."
        ) from None
    except Unavailable:
        raise Unavailable(
            "The knowledge base does not answer, so that the quick reply cannot be filled in: "
            "send the text yourself, as body.",
            peer="kb",
        ) from None
    body = answer.body.strip()
    if not 0 < len(body) <= _MOST_BODY:
        raise invalid_field(
            "quick_reply_id", f"gives a text that is empty or longer than {_MOST_BODY} characters"
        )
    return Said(body, answer.quick_reply_id or quick_reply_id)


def _values(ticket: Ticket, caller: Principal) -> dict[str, str]:
    """What a quick reply can speak of. Nobody is greeted where a ticket is for nobody."""
    values = {
        "number": ticket.number,
        "title": ticket.title,
        "product": ticket.product,
        "type": ticket.type.value,
        "priority": ticket.priority.value,
        "status": ticket.status.value,
        "external_ref": ticket.external_ref,
        "order_refs": ", ".join(ticket.order_refs),
        "agent_name": caller.name or "",
    }
    if (person := ticket.submitter) is not None:
        values |= {
            "submitter_name": person.name or person.email,
            "submitter_email": person.email,
        }
    # Without a value the gap stays open, and kb says which one that is.
    return {name: value for name, value in values.items() if value}
