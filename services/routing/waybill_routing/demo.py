"""The demonstration: six agents, all written by us."""

from uuid import NAMESPACE_URL, uuid5

from waybill_chassis.causes import Origin, automation, request_cause
from waybill_chassis.database import UnitOfWork

from waybill_routing import usecases
from waybill_routing.domain import Agent, Presence, Skill, SkillKind
from waybill_routing.store import people

_AGENTS = (
    ("ana", "Ana Ferreira", ("support", "senior_support"), {"account": 4, "order": 3}),
    ("ben", "Ben Okafor", ("support",), {"order": 3}),
    ("chloe", "Chloe Martin", ("support", "senior_support"), {"complaint": 4}),
    ("deepak", "Deepak Rao", ("support", "tech_team"), {"technical": 5}),
    ("elif", "Elif Demir", ("support", "tech_team"), {"technical": 3, "account": 3}),
    ("femi", "Femi Adeyemi", ("support", "management"), {"complaint": 5}),
)
_CAPACITY = 200


async def seed(uow: UnitOfWork) -> None:
    """Add the agents that are not there yet; their ids are the same on every machine."""
    origin = Origin(automation("routing"), request_cause("seed"))
    for name, full_name, teams, skills in _AGENTS:
        email = f"{name}@example.com"
        if await people.by_email(uow.connection, email) is None:
            agent = Agent(
                id=uuid5(NAMESPACE_URL, f"mailto:{email}"),
                email=email,
                name=full_name,
                teams=teams,
                skills=tuple(Skill(SkillKind.TYPE, type, level) for type, level in skills.items()),
                capacity=_CAPACITY,
                presence=Presence.AVAILABLE,
                presence_since=uow.now,
            )
            await usecases.add_agent(uow, agent, origin)
