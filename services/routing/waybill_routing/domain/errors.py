"""What routing refuses."""

from waybill_chassis.problems import Conflict, Forbidden, NotFound

from waybill_routing.domain.entities import Agent


class AlreadyAssigned(Conflict):
    """Somebody else has the ticket."""

    title = "Already assigned"

    def __init__(self, winner: Agent) -> None:
        """`winner` has it."""
        super().__init__(
            f"{winner.name} has this ticket already.",
            assignee={"id": str(winner.id), "name": winner.name},
        )


class TicketClosed(Conflict):
    """A closed ticket is archived."""

    title = "Ticket closed"

    def __init__(self) -> None:
        """Nothing about it changes any more."""
        super().__init__("The ticket is closed: nobody can have it any more.")


class NoRoom(Conflict):
    """The agent holds as much as they can."""

    title = "No room"

    def __init__(self, agent: Agent) -> None:
        """`agent` is the one who is full."""
        weighing = f", which weigh {agent.load}," if agent.load != agent.open_tickets else ""
        super().__init__(
            f"{agent.name} has {agent.open_tickets} open tickets{weighing} and room for "
            f"{agent.capacity}: resolve or release one first.",
            open_tickets=agent.open_tickets,
            load=agent.load,
            capacity=agent.capacity,
        )


class NotAssigned(Conflict):
    """There is nobody to take the ticket from."""

    title = "Not assigned"

    def __init__(self) -> None:
        """Nobody has it."""
        super().__init__("Nobody has this ticket: there is nothing to release.")


class Taken(Conflict):
    """The name is in use."""

    title = "Already there"


class InUse(Conflict):
    """Something still hangs on it."""

    title = "In use"


class BuiltIn(Conflict):
    """It is always there."""

    title = "Built in"


class Unknown(NotFound):
    """There is no such team, queue or rule."""


class Overtaken(Exception):
    """What was locked is no longer all that is concerned: begin again."""


class NoAgent(Forbidden):
    """The caller's token is an agent's, and routing has no such agent."""

    title = "Not an agent here"

    def __init__(self, address: str) -> None:
        """`address` is what the token says."""
        super().__init__(
            f"No agent has the address {address}: an admin can add one with POST /v1/agents, or "
            "get a token whose e-mail is that of an agent."
        )


class NotYours(Forbidden):
    """Only some may change this."""


class UnknownAgent(NotFound):
    """No such agent."""

    def __init__(self, name: object) -> None:
        """`name` is the id asked for."""
        super().__init__(f"There is no agent {name}.")
