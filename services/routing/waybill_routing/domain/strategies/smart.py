"""The strategy `smart`: several tickets and several agents are weighed against one another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from waybill_routing.domain.entities import Agent, Considered, Queue
from waybill_routing.domain.strategies.asked import (
    SHOWN,
    Ask,
    Choice,
    Knowledge,
    Profile,
)
from waybill_routing.domain.strategies.haste import Haste, Order, haste
from waybill_routing.domain.strategies.matching import NEVER, best_pairs
from waybill_routing.domain.strategies.roster import Roster
from waybill_routing.domain.words import SkillKind

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_FAIR_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Emphasis:
    """How much each part counts, in points; see docs/routing.md."""

    completion: float = 2.0
    """Twice the time until it is done costs so many times ln 2: pace and load."""
    skill: float = 0.1
    """A level above 3."""
    reserve: float = 0.3
    """Taking somebody whose other skills are wanted and scarce."""
    continuity: float = 3.0
    fairness: float = 0.3
    order: Order = field(default_factory=Order)


@dataclass(slots=True)
class _Kind:
    """Tickets of one profile, most urgent first, and who could have them."""

    asks: list[tuple[Ask, Haste]]
    parts: dict[UUID, dict[str, float]]
    able: dict[UUID, Agent]
    sums: dict[UUID, float]


def match(
    asks: Sequence[Ask],
    roster: Roster,
    knowledge: Knowledge,
    now: datetime,
    emphasis: Emphasis,
) -> list[Choice]:
    """The best tickets for those who have room, one for each of them.

    Whoever is left over can have none of the tickets that are: to be called again, with what the
    chosen ones hold by then, until nothing is returned.
    """
    profiles: dict[Profile, list[Ask]] = {}
    for ask in asks:
        profiles.setdefault(ask.profile, []).append(ask)
    scarcity = _Scarcity(roster, knowledge)
    kinds = [
        _kind(same, able, roster, knowledge, scarcity, now, emphasis)
        for same in profiles.values()
        if (able := roster.able(same[0]))
    ]
    agents = {id: agent for kind in kinds for id, agent in kind.able.items()}
    rows = [
        (kind, ask, quick)
        for kind in kinds
        # No more of a kind than there are agents can be served at once.
        for ask, quick in kind.asks[: len(agents)]
    ]
    columns = list(agents)
    scores = [
        [
            NEVER
            if id not in kind.sums
            else quick.points + kind.sums[id] + _continuity(ask, id, roster, knowledge, emphasis)
            for id in columns
        ]
        for kind, ask, quick in rows
    ]
    return [
        _choice(*rows[row], agents[columns[column]], len(asks), roster, knowledge, emphasis)
        for row, column in best_pairs(scores)
    ]


def _kind(
    same: Sequence[Ask],
    able: Sequence[Agent],
    roster: Roster,
    knowledge: Knowledge,
    scarcity: "_Scarcity",
    now: datetime,
    emphasis: Emphasis,
) -> _Kind:
    first = same[0]
    type = first.case.ticket.type
    gap = knowledge.times.seconds(type) / max(roster.places(first), 1)
    scale = knowledge.times.typical / 4
    quick = [(ask, haste(ask.case, gap, scale, now, emphasis.order)) for ask in same]
    quick.sort(key=lambda pair: (-pair[1].points, pair[0].case.id))
    parts = {}
    for agent in able:
        idle = (now - (agent.last_assigned_at or _LONG_AGO)).total_seconds()
        parts[agent.id] = {
            "pace": -emphasis.completion * math.log(knowledge.times.pace(agent.id, type).factor),
            "load": -emphasis.completion * math.log1p(agent.load),
            "skill": emphasis.skill * _level(first, agent.id, roster),
            "reserve": -emphasis.reserve * scarcity.of(agent, first),
            "fairness": emphasis.fairness * idle / (idle + _FAIR_SECONDS),
        }
    sums = {id: sum(each.values()) for id, each in parts.items()}
    return _Kind(quick, parts, {agent.id: agent for agent in able}, sums)


class _Scarcity:
    """How dear somebody is: for each of their types the work per skilled agent, over the idle."""

    def __init__(self, roster: Roster, knowledge: Knowledge) -> None:
        """Only where a queue insists on the type."""
        self._roster = roster
        self._times = knowledge.times
        self._dear: dict[tuple[str, str], float] = {}

    def of(self, agent: Agent, ask: Ask) -> float:
        """The sum over the other types that they know."""
        if SkillKind.TYPE not in ask.queue.needs:
            return 0.0
        return sum(
            self._price(skill.value, ask.queue)
            for skill in agent.skills
            if skill.kind is SkillKind.TYPE and skill.value != ask.case.ticket.type
        )

    def _price(self, type: str, queue: Queue) -> float:
        found = self._dear.get((queue.slug, type))
        if found is None:
            skilled = self._roster.skilled(SkillKind.TYPE, type)
            most = queue.at_once or math.inf
            agents = map(self._roster.one, skilled)
            idle = sum(1 for agent in agents if agent.room and agent.load < most)
            ready = len(self._roster.ready(queue.team))
            share = self._times.work(type) * ready / max(len(skilled), 1)
            found = self._dear[queue.slug, type] = share / max(idle, 1)
        return found


def _level(ask: Ask, id: UUID, roster: Roster) -> float:
    levels = [roster.skilled(*skill).get(id) for skill in ask.skills()]
    return float(sum(level - 3 for level in levels if level is not None))


def _continuity(
    ask: Ask, id: UUID, roster: Roster, knowledge: Knowledge, emphasis: Emphasis
) -> float:
    """For whoever knows them, and whoever stands in for one who does."""
    known = knowledge.familiar.get(ask.case.id, frozenset())
    absent = (roster.agents[one] for one in known if one in roster.agents)
    knows = id in known or any(agent.stand_in == id for agent in absent)
    return emphasis.continuity if knows else 0.0


def _choice(
    kind: _Kind,
    ask: Ask,
    quick: Haste,
    agent: Agent,
    waiting: int,
    roster: Roster,
    knowledge: Knowledge,
    emphasis: Emphasis,
) -> Choice:
    def considered(id: UUID) -> Considered:
        own = {
            "urgency": quick.points,
            **kind.parts[id],
            "continuity": _continuity(ask, id, roster, knowledge, emphasis),
        }
        return Considered(id, kind.able[id].name, sum(own.values()), own)

    ranked = sorted(
        map(considered, kind.able), key=lambda each: (each.agent_id != agent.id, -each.score)
    )
    why = _why(ask, quick, agent, ranked, waiting, knowledge)
    return Choice(ask, agent, why, tuple(ranked[:SHOWN]), len(ranked))


def _why(
    ask: Ask,
    quick: Haste,
    agent: Agent,
    ranked: Sequence[Considered],
    waiting: int,
    knowledge: Knowledge,
) -> str:
    """Such as `best of 6 with room in support: a fifth faster at technical, holds 3 of 200`."""
    team, type = ask.queue.team, ask.case.ticket.type
    chosen, others = ranked[0], ranked[1:]
    said = []
    if chosen.parts["continuity"]:
        said.append("knows the submitter or a linked ticket")
    pace = knowledge.times.pace(agent.id, type)
    if abs(pace.factor - 1) >= 0.05:
        percent = round(100 * abs(pace.factor - 1))
        said.append(f"{percent} % {'faster' if pace.factor < 1 else 'slower'} at {type}")
    said.append(f"holds {agent.load} of {agent.capacity}")
    best = f"best of {len(ranked)} with room" if others else "the only one with room"
    if others and max(other.score for other in others) > chosen.score:
        best = f"one of {len(ranked)} with room, best for all that wait together"
    first = f"; {quick}, first of {waiting} waiting" if waiting > 1 else ""
    return f"{best} in {team}: {', '.join(said)}{first}"
