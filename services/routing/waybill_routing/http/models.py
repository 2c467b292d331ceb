"""Bodies and answers."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.http import RequestModel, ResponseModel

from waybill_routing.domain import (
    Agent,
    Case,
    Method,
    Presence,
    Priority,
    Skill,
    SkillKind,
    State,
    Strategy,
    TicketType,
    skill_fault,
)
from waybill_routing.store.ways import Waiting

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)]
"""A short name in lower case, such as `senior_support`."""

_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254, to_lower=True)
]
_Capacity = Annotated[
    int, Field(ge=0, le=100_000, description="What open tickets may weigh at once.")
]


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must not name anything twice")
    return names


_Slugs = Annotated[tuple[Slug, ...], Field(max_length=50), AfterValidator(_distinct)]


def _each_once(skills: tuple["SkillBody", ...]) -> tuple["SkillBody", ...]:
    if len({(skill.kind, skill.value) for skill in skills}) < len(skills):
        raise ValueError("must not name any skill twice")
    return skills


class SkillBody(RequestModel):
    """What an agent is good at: a type, a tag, a product or a language."""

    kind: SkillKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=63, to_lower=True)]
    level: Annotated[int, Field(ge=1, le=5, description="5 knows it best.")] = 3

    @model_validator(mode="after")
    def _known(self) -> "SkillBody":
        if fault := skill_fault(self.kind, self.value):
            raise PydanticCustomError("skill", "{message}", {"message": fault, "path": ("value",)})
        return self

    def skill(self) -> Skill:
        """The skill it says."""
        return Skill(self.kind, self.value, self.level)


_Skills = Annotated[tuple[SkillBody, ...], Field(max_length=100), AfterValidator(_each_once)]


class NewAgent(RequestModel):
    """An agent to add."""

    email: _Email
    name: _Text
    teams: _Slugs = ("support",)
    skills: _Skills = ()
    capacity: _Capacity | None = None
    presence: Presence = Presence.OFFLINE


class AgentChange(RequestModel):
    """What is to change about an agent; what is left out stays."""

    name: _Text | None = None
    teams: _Slugs | None = None
    skills: _Skills | None = None
    capacity: _Capacity | None = None


class PresenceChange(RequestModel):
    """Whether the agent takes tickets from now on."""

    presence: Presence


class NewTeam(RequestModel):
    """A team to add; it gets a queue of the same name."""

    slug: Slug
    name: _Text
    escalation_level: Annotated[int, Field(ge=0, le=4)] = 0


class NewRule(RequestModel):
    """A rule to add: such tickets go to this queue. What is left out matches anything."""

    queue: Slug
    position: Annotated[int, Field(ge=0, lt=1_000_000, description="The lowest one wins.")] = 100
    product: Slug | None = None
    type: TicketType | None = None
    priority: Priority | None = None

    @model_validator(mode="after")
    def _says_when(self) -> "NewRule":
        if self.product is None and self.type is None and self.priority is None:
            raise ValueError("must name at least one of product, type, priority")
        return self


class ByHand(RequestModel):
    """To whom a ticket goes: an agent, or whoever of a team has room."""

    agent_id: UUID | None = None
    team: Slug | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "ByHand":
        if (self.agent_id is None) == (self.team is None):
            raise ValueError("must name either agent_id or team")
        return self


class SkillAnswer(ResponseModel):
    """What an agent is good at."""

    kind: SkillKind
    value: str
    level: int


class AgentAnswer(ResponseModel):
    """An agent."""

    id: UUID
    email: str
    name: str
    teams: list[str]
    skills: list[SkillAnswer]
    capacity: int
    presence: Presence
    presence_since: datetime
    on_duty: bool
    open_tickets: int
    load: int
    version: int

    @classmethod
    def of(cls, agent: Agent) -> "AgentAnswer":
        """The agent as REST shows one."""
        return cls.model_validate(agent)


class TeamAnswer(ResponseModel):
    """A team."""

    slug: str
    name: str
    escalation_level: int


class QueueAnswer(ResponseModel):
    """A queue and what waits in it."""

    slug: str
    team: str
    strategy: Strategy
    waiting: int
    oldest_since: datetime | None

    @classmethod
    def of(cls, found: Waiting) -> "QueueAnswer":
        """The queue as REST shows one."""
        queue = found.queue
        return cls(
            slug=queue.slug,
            team=queue.team,
            strategy=queue.strategy,
            waiting=found.waiting,
            oldest_since=found.oldest_since,
        )


class RuleAnswer(ResponseModel):
    """A rule."""

    id: UUID
    position: int
    queue: str
    product: list[str]
    type: list[str]
    priority: list[str]


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
