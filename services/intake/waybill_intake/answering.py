"""An answer goes into its ticket, or into the one that goes on with it once that is closed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import rules
from waybill_intake.domain.attachments import Owner
from waybill_intake.domain.conversation import closed_to_agents, follow_up, heir
from waybill_intake.domain.moves import require_open
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import ActorKind, LinkKind
from waybill_intake.store import messages
from waybill_intake.usecases import Opening, Person, Reception


class Elsewhere(Exception):
    """More tickets must be in hand before it can be said where an answer goes.

    They are to be taken together with the others, in the order of all ids: begin anew.
    """

    def __init__(self, ids: set[UUID]) -> None:
        super().__init__(f"{len(ids)} more tickets must be in hand")
        self.ids = ids


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes: into `ticket`, or into a new one that follows that."""

    ticket: Ticket
    new: bool = False


async def missing(docket: Docket, ids: Iterable[UUID]) -> set[UUID]:
    """What goes on with the closed ones of these tickets and is not in hand yet."""
    closed = [id for id in ids if (found := docket.find(id)) and not found.is_open]
    if not closed:
        return set()
    kin = await messages.kin(docket.uow.connection, closed)
    return {id for id in kin if docket.find(id) is None}


async def take(docket: Docket, ids: Iterable[UUID], answered: Iterable[UUID]) -> None:
    """Take these tickets, and for a batch of answers also all that goes on with the closed ones."""
    answered = list(answered)
    kin = await messages.kin(docket.uow.connection, answered) if answered else ()
    await docket.take([*ids, *kin], survivors=True)
    # Again only for what was opened in the moment before the lock.
    while more := await missing(docket, answered):
        await docket.take(more, survivors=True)


def place_of(
    docket: Docket, ticket: Ticket, by: ActorKind, may_enter: Callable[[Ticket], bool]
) -> Place:
    """Where the words of such a one go; `TicketIsClosed` for an agent's where that is nowhere.

    All that goes on with the ticket is in hand. `may_enter`: whether they may write in another
    ticket than the one that they have named.
    """
    if ticket.is_open:
        return Place(ticket)
    if ticket.erased_at is not None:
        # There is nobody any more whom another ticket could be for.
        require_open(ticket)

    def find(id: UUID) -> Ticket | None:
        found = docket.find(id)
        return found if found is not None and may_enter(found) else None

    agent = by is ActorKind.AGENT
    if (found := heir(ticket, find, follow_ups=not agent)) is not None:
        return Place(found)
    if agent:
        raise closed_to_agents(ticket, heir(ticket, find, follow_ups=True))
    return Place(ticket, new=True)


def opening(
    ticket: Ticket,
    body: str,
    origin: Origin,
    attachment_ids: tuple[UUID, ...] = (),
    owner: Owner | None = None,
) -> Opening:
    """The follow-up that an answer to a closed ticket opens, for the same person."""
    person = ticket.submitter
    return Opening(
        product=ticket.product,
        draft=follow_up(ticket, body, attachment_ids),
        # Who was erased has no address any more.
        person=(
            Person(email=person.email, name=person.name, tier=person.tier)
            if person is not None and person.email
            else None
        ),
        channel=ticket.channel,
        origin=origin,
        owner=owner,
    )


async def open_follow_up(docket: Docket, ticket: Ticket, opening: Opening) -> Ticket:
    """Open one follow-up.

    The product's rules for new tickets are not asked: nobody who answers can do anything for them.
    """
    return follow(docket, ticket, await Reception.prepare(docket, [opening], {}), opening)


def follow(docket: Docket, ticket: Ticket, reception: Reception, opening: Opening) -> Ticket:
    """Open a follow-up for which the reception is prepared, and link it to the closed ticket."""
    new = reception.open(opening)
    closed = docket.get(ticket.id)
    docket.note(rules.link(new, closed, LinkKind.FOLLOW_UP, docket.now), opening.origin)
    return docket.get(new.id)
