"""For what tickets agents have room, so that no more of them are held than can be given away."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from waybill_routing.domain.entities import Agent, Queue
from waybill_routing.domain.words import SkillKind, Strategy

Skills = Mapping[SkillKind, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Vacancy:
    """Agents of a team have room for `places` tickets.

    `queue` None is any of the team's. `skills` are all that they have of a kind that the queue
    needs. `only` is set when it is one agent alone. `smart` queues are served by what is due and
    by what has waited longest.
    """

    team: str
    places: int
    queue: str | None = None
    only: UUID | None = None
    skills: Skills = field(default_factory=dict)
    smart: bool = False


def vacancies(agents: Iterable[Agent], queues: Iterable[Queue]) -> list[Vacancy]:
    """Where there is room. Those who differ in a needed skill are told apart: each finds theirs."""
    teams: dict[str, list[Agent]] = {}
    for agent in agents:
        if agent.ready and agent.room:
            for team in agent.teams:
                teams.setdefault(team, []).append(agent)
    ways: dict[str, list[Queue]] = {}
    for queue in queues:
        ways.setdefault(queue.team, []).append(queue)
    found = []
    for team, free in sorted(teams.items()):
        own = ways.get(team, [])
        if any(_special(queue) for queue in own):
            found += [each for queue in own for each in _of(queue, free)]
        else:
            found.append(Vacancy(team, sum(agent.room for agent in free), only=_alone(free)))
    return found


def _special(queue: Queue) -> bool:
    return bool(queue.needs) or queue.at_once is not None or queue.strategy is Strategy.SMART


def _of(queue: Queue, free: Iterable[Agent]) -> Iterable[Vacancy]:
    alike: dict[tuple[tuple[SkillKind, tuple[str, ...]], ...], list[Agent]] = {}
    for agent in free:
        if queue.at_once is None or agent.load < queue.at_once:
            skills = tuple(
                (
                    kind,
                    tuple(sorted(skill.value for skill in agent.skills if skill.kind is kind)),
                )
                for kind in sorted(queue.needs)
            )
            alike.setdefault(skills, []).append(agent)
    for skills, same in alike.items():
        yield Vacancy(
            queue.team,
            sum(_places(agent, queue) for agent in same),
            queue=queue.slug,
            only=_alone(same),
            skills=dict(skills),
            smart=queue.strategy is Strategy.SMART,
        )


def _places(agent: Agent, queue: Queue) -> int:
    return agent.room if queue.at_once is None else min(agent.room, queue.at_once - agent.load)


def _alone(agents: list[Agent]) -> UUID | None:
    return agents[0].id if len(agents) == 1 else None
