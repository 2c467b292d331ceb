"""Who could have a ticket at all: ready, in the team, skilled, with room."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from waybill_routing.domain.entities import Agent
from waybill_routing.domain.strategies.asked import Ask, Profile
from waybill_routing.domain.words import SkillKind


class Roster:
    """The agents at a desk by team and skill; what they hold is read from `agents` each time."""

    def __init__(self, agents: Mapping[UUID, Agent], others: Iterable[Agent] = ()) -> None:
        """`agents` may change what they hold, not their teams, skills or presence.

        `others` are not at the desk: nothing is given to them, but they will be free, too.
        """
        self.agents = agents
        self._others = {agent.id: agent for agent in others if agent.id not in agents}
        self._teams: dict[str, list[UUID]] = {}
        self._levels: dict[tuple[SkillKind, str], dict[UUID, int]] = {}
        self._qualified: dict[Profile, list[UUID]] = {}
        for agent in (*agents.values(), *self._others.values()):
            if agent.ready:
                for team in agent.teams:
                    self._teams.setdefault(team, []).append(agent.id)
                for skill in agent.skills:
                    self._levels.setdefault((skill.kind, skill.value), {})[agent.id] = skill.level

    def one(self, id: UUID) -> Agent:
        """An agent, at the desk or not."""
        return self.agents.get(id) or self._others[id]

    def ready(self, team: str) -> list[UUID]:
        """Everybody of the team who is given tickets."""
        return self._teams.get(team, [])

    def skilled(self, kind: SkillKind, value: str) -> Mapping[UUID, int]:
        """The levels of those who have this skill."""
        return self._levels.get((kind, value), {})

    def qualified(self, ask: Ask) -> list[UUID]:
        """Those of the team with every skill that its queue asks for, room or not."""
        profile = ask.profile
        found = self._qualified.get(profile)
        if found is None:
            needed = [self.skilled(*skill) for skill in ask.skills() if skill[0] in ask.queue.needs]
            found = self._qualified[profile] = [
                id
                for id in self.ready(ask.queue.team)
                if id != ask.case.assignment.given_back_by
                and all(id in levels for levels in needed)
            ]
        return found

    def able(self, ask: Ask) -> list[Agent]:
        """The qualified ones who have room for it now."""
        return [
            agent
            for id in self.qualified(ask)
            if (agent := self.agents.get(id)) and agent.fits(ask.weight) and not _enough(agent, ask)
        ]

    def places(self, ask: Ask) -> int:
        """How many tickets the qualified ones work on at once."""
        most = ask.queue.at_once
        capacities: Iterable[int] = (self.one(id).capacity for id in self.qualified(ask))
        return sum(each if most is None else min(each, most) for each in capacities)

    def level(self, ask: Ask, id: UUID) -> int:
        """The sum of the agent's levels in what the ticket speaks of."""
        return sum(self.skilled(*skill).get(id, 0) for skill in ask.skills())

    def nobody(self, ask: Ask) -> str:
        """Why it waits, in words."""
        team = ask.queue.team
        present = self.ready(team)
        if not present:
            return f"nobody in {team} is available"
        for kind, value in ask.skills():
            if kind in ask.queue.needs and not any(
                id in self.skilled(kind, value) for id in present
            ):
                return f"nobody available in {team} has the skill {kind} {value}"
        back = ask.case.assignment.given_back_by
        if back in present and self.one(back).fits(ask.weight):
            return f"given back, and nobody else in {team} has room"
        return f"none of {len(present)} available in {team} has room"


def _enough(agent: Agent, ask: Ask) -> bool:
    """Whether they hold what the queue gives to one at once."""
    most = ask.queue.at_once
    return most is not None and agent.load > 0 and agent.load + ask.weight > most
