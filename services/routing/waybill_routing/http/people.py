"""Bodies and answers about agents."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.http import Instant, RequestModel, ResponseModel
from waybill_chassis.http.hours import Exceptions, TimeZone, Weekday, Windows

from waybill_routing.domain import (
    Absence,
    Agent,
    Presence,
    Schedule,
    Skill,
    SkillKind,
    skill_fault,
)
from waybill_routing.http.models import Slugs, Text, refuse_null

_Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254, to_lower=True)
]
_Capacity = Annotated[
    int, Field(ge=0, le=100_000, description="What open tickets may weigh at once.")
]


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


def _each_once(skills: tuple[SkillBody, ...]) -> tuple[SkillBody, ...]:
    if len({(skill.kind, skill.value) for skill in skills}) < len(skills):
        raise ValueError("must not name any skill twice")
    return skills


class ShiftsBody(RequestModel):
    """When an agent works: windows by weekday, a day that is left out being free."""

    time_zone: TimeZone
    hours: dict[Weekday, Windows]
    exceptions: Exceptions = ()


class AbsenceBody(RequestModel):
    """An agent is not there; without `to` until further notice."""

    since: Instant = Field(alias="from")
    until: Instant | None = Field(default=None, alias="to")
    reason: Annotated[str, StringConstraints(max_length=200)] = ""
    stand_in: _Email | None = None

    @model_validator(mode="after")
    def _forward(self) -> "AbsenceBody":
        if self.until is not None and self.until <= self.since:
            raise PydanticCustomError("absence", "must be after from", {"path": ("to",)})
        return self


def _apart(absences: tuple[AbsenceBody, ...]) -> tuple[AbsenceBody, ...]:
    ordered = sorted(absences, key=lambda absence: absence.since)
    for one, two in pairwise(ordered):
        if one.until is None or two.since < one.until:
            raise ValueError(f"must be apart: one is not over at {two.since:%Y-%m-%dT%H:%M:%SZ}")
    return tuple(ordered)


_Skills = Annotated[tuple[SkillBody, ...], Field(max_length=100), AfterValidator(_each_once)]
_Absences = Annotated[tuple[AbsenceBody, ...], Field(max_length=200), AfterValidator(_apart)]


class NewAgent(RequestModel):
    """An agent to add."""

    email: _Email
    name: Text
    teams: Slugs = ("support",)
    skills: _Skills = ()
    capacity: _Capacity | None = None
    presence: Presence = Presence.OFFLINE
    shifts: ShiftsBody | None = None
    absences: _Absences = ()


class AgentChange(RequestModel):
    """What is to change about an agent; what is left out stays. Without shifts: always."""

    name: Text | None = None
    teams: Slugs | None = None
    skills: _Skills | None = None
    capacity: _Capacity | None = None
    presence: Presence | None = None
    shifts: ShiftsBody | None = None
    absences: _Absences | None = None

    @model_validator(mode="after")
    def _whole(self) -> "AgentChange":
        if "shifts" not in self.model_fields_set or self.shifts is not None:
            refuse_null(self)
        return self

    def changes(self) -> dict[str, Any]:
        """What it says, as the domain has it."""
        named = self.model_fields_set - {"presence"}
        return {name: _MADE.get(name, _same)(getattr(self, name)) for name in named}


class PresenceChange(RequestModel):
    """Whether the agent takes tickets from now on."""

    presence: Presence


class AbsencesChange(RequestModel):
    """All absences of an agent, in place of those they had."""

    absences: _Absences


def skills(bodies: tuple[SkillBody, ...]) -> tuple[Skill, ...]:
    """The skills they say."""
    return tuple(Skill(body.kind, body.value, body.level) for body in bodies)


def shifts(body: ShiftsBody | None) -> dict[str, Any] | None:
    """Shifts as they are kept."""
    if body is None:
        return None
    return body.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def absences(bodies: tuple[AbsenceBody, ...]) -> tuple[Absence, ...]:
    """The absences they say; who stands in is looked up by the address."""
    return tuple(
        Absence(body.since, body.until, body.reason, None, body.stand_in or "") for body in bodies
    )


def _same(value: Any) -> Any:
    return value


_MADE: dict[str, Any] = {"skills": skills, "shifts": shifts, "absences": absences}


class SkillAnswer(ResponseModel):
    """What an agent is good at."""

    kind: SkillKind
    value: str
    level: int


class AbsenceAnswer(ResponseModel):
    """When an agent is not there, and who stands in."""

    since: Instant = Field(serialization_alias="from")
    until: Instant | None = Field(serialization_alias="to")
    reason: str
    stand_in: str | None


class AgentAnswer(ResponseModel):
    """An agent. `on_duty`: on shift and not absent; `ready`: given tickets by the automation."""

    id: UUID
    email: str
    name: str
    teams: list[str]
    skills: list[SkillAnswer]
    capacity: int
    presence: Presence
    presence_since: datetime
    on_duty: bool
    ready: bool
    open_tickets: int
    load: int
    shifts: dict[str, Any] | None
    absences: list[AbsenceAnswer]
    version: int

    @classmethod
    def of(cls, agent: Agent, schedule: Schedule) -> "AgentAnswer":
        """The agent as REST shows one."""
        return cls(
            id=agent.id,
            email=agent.email,
            name=agent.name,
            teams=list(agent.teams),
            skills=[SkillAnswer.model_validate(skill) for skill in agent.skills],
            capacity=agent.capacity,
            presence=agent.presence,
            presence_since=agent.presence_since,
            on_duty=agent.on_duty,
            ready=agent.ready,
            open_tickets=agent.open_tickets,
            load=agent.load,
            shifts=None if schedule.shifts is None else dict(schedule.shifts),
            absences=[
                AbsenceAnswer(
                    since=one.begins,
                    until=one.ends,
                    reason=one.reason,
                    stand_in=one.stand_in_email or None,
                )
                for one in schedule.absences
            ],
            version=agent.version,
        )
