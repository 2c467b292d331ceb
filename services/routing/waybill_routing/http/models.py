"""Bodies and answers."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.http import RequestModel, ResponseModel

from waybill_routing.domain import (
    Case,
    Method,
    SkillKind,
    State,
    Strategy,
)
from waybill_routing.store.ways import Waiting

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)]
"""A short name in lower case, such as `senior_support`."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must not name anything twice")
    return names


Slugs = Annotated[tuple[Slug, ...], Field(max_length=50), AfterValidator(_distinct)]
_Level = Annotated[int, Field(ge=0, le=4)]
_AtOnce = Annotated[int, Field(ge=1, le=100_000)]


def refuse_null(body: RequestModel) -> RequestModel:
    """What a body of a change names must have a value."""
    for name in body.model_fields_set:
        if getattr(body, name) is None and name not in getattr(body, "may_be_null", ()):
            raise PydanticCustomError(
                "null", "must not be null; leave it out to keep it", {"path": (name,)}
            )
    return body


class NewTeam(RequestModel):
    """A team to add; it gets a queue of the same name."""

    slug: Slug
    name: Text
    escalation_level: _Level = 0


class TeamChange(RequestModel):
    """What is to change about a team; what is left out stays."""

    name: Text | None = None
    escalation_level: _Level | None = None

    _whole = model_validator(mode="after")(refuse_null)


class NewQueue(RequestModel):
    """A queue to add: where tickets wait for a team, and how its agents are chosen."""

    slug: Slug
    team: Slug
    strategy: Strategy = Strategy.LEAST_LOADED
    needs: frozenset[SkillKind] = frozenset()
    """Of these kinds an agent must have the skills that a ticket speaks of."""
    at_once: _AtOnce | None = None
    """The most weight that one agent is given at once; null: as much as they can hold."""


class QueueChange(RequestModel):
    """What is to change about a queue; what is left out stays."""

    may_be_null: ClassVar[Collection[str]] = ("at_once",)

    team: Slug | None = None
    strategy: Strategy | None = None
    needs: frozenset[SkillKind] | None = None
    at_once: _AtOnce | None = None

    _whole = model_validator(mode="after")(refuse_null)


class ByHand(RequestModel):
    """To whom a ticket goes: an agent, or whoever of a team has room."""

    agent_id: UUID | None = None
    team: Slug | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "ByHand":
        if (self.agent_id is None) == (self.team is None):
            raise ValueError("must name either agent_id or team")
        return self


class TeamAnswer(ResponseModel):
    """A team."""

    slug: str
    name: str
    escalation_level: int
    version: int


class QueueAnswer(ResponseModel):
    """A queue and what waits in it."""

    slug: str
    team: str
    strategy: Strategy
    needs: list[SkillKind]
    at_once: int | None
    waiting: int
    oldest_since: datetime | None
    version: int

    @classmethod
    def of(cls, found: Waiting) -> "QueueAnswer":
        """The queue as REST shows one."""
        queue = found.queue
        return cls(
            slug=queue.slug,
            team=queue.team,
            strategy=queue.strategy,
            needs=sorted(queue.needs),
            at_once=queue.at_once,
            waiting=found.waiting,
            oldest_since=found.oldest_since,
            version=queue.version,
        )


class AssigneeAnswer(ResponseModel):
    """Who has a ticket."""

    id: UUID
    name: str


class AssignmentAnswer(ResponseModel):
    """Who has a ticket, or where it waits. Version 0: routing has not placed it yet."""

    ticket_id: UUID
    state: State
    agent: AssigneeAnswer | None
    team: str | None
    queue: str | None
    version: int
    since: datetime | None
    why: str
    method: Method | None
    unassigned_since: datetime | None

    @classmethod
    def of(cls, case: Case, name: Any) -> "AssignmentAnswer":
        """The assignment as REST shows one; `name` is that of the agent who has it."""
        held = case.assignment
        owner = held.agent_id
        agent = None if owner is None else AssigneeAnswer(id=owner, name=name)
        return cls(
            ticket_id=case.id,
            state=held.state,
            agent=agent,
            team=held.team or None,
            queue=held.queue or None,
            version=held.version,
            since=held.since,
            why=held.why,
            method=held.method,
            unassigned_since=None if agent else held.waiting_since,
        )
