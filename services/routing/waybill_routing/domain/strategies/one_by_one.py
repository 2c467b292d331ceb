"""Strategies that look at one ticket after the other: in turn, by load, by expertise."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from heapq import nsmallest
from typing import Any

from waybill_routing.domain.entities import Agent, Considered
from waybill_routing.domain.strategies.asked import SHOWN, Ask, Choice
from waybill_routing.domain.strategies.roster import Roster
from waybill_routing.domain.words import Strategy

_NEVER = datetime.min.replace(tzinfo=UTC)
_Parts = Mapping[str, float]


def choose(ask: Ask, roster: Roster) -> Choice:
    """Who gets this ticket by its queue's strategy; of equals who has waited longest for one."""
    able = roster.able(ask)
    if not able:
        return Choice(ask, None, roster.nobody(ask))
    parts, words = _STRATEGIES[ask.queue.strategy]

    def rank(agent: Agent) -> tuple[Any, ...]:
        score = sum(parts(ask, agent, roster).values())
        return -score, agent.last_assigned_at or _NEVER, agent.id

    best = nsmallest(SHOWN, able, rank)
    considered = [_considered(agent, parts(ask, agent, roster)) for agent in best]
    ready = len(roster.ready(ask.queue.team))
    why = words(ask, best[0], roster, f"of {ready} available in {ask.queue.team}")
    return Choice(ask, best[0], why, tuple(considered), len(able))


def _considered(agent: Agent, parts: _Parts) -> Considered:
    return Considered(agent.id, agent.name, sum(parts.values()), parts)


def _turn(_ask: Ask, _agent: Agent, _roster: Roster) -> _Parts:
    return {}


def _load(_ask: Ask, agent: Agent, _roster: Roster) -> _Parts:
    return {"load": -float(agent.load)}


def _skill(ask: Ask, agent: Agent, roster: Roster) -> _Parts:
    """Levels first; of the same level, the lesser share of their capacity."""
    share = agent.load / agent.capacity if agent.capacity else 1.0
    return {"skill": float(roster.level(ask, agent.id)), "load": -share}


def _next_in_turn(_ask: Ask, _best: Agent, _roster: Roster, of: str) -> str:
    return f"next in turn {of}"


def _least_loaded(_ask: Ask, best: Agent, _roster: Roster, of: str) -> str:
    return f"least loaded {of} ({best.load} of {best.capacity})"


def _most_skilled(ask: Ask, best: Agent, roster: Roster, of: str) -> str:
    level = roster.level(ask, best.id)
    return f"most skilled {of} (level {level}, holds {best.load} of {best.capacity})"


_STRATEGIES: Mapping[
    Strategy,
    tuple[Callable[[Ask, Agent, Roster], _Parts], Callable[[Ask, Agent, Roster, str], str]],
] = {
    Strategy.ROUND_ROBIN: (_turn, _next_in_turn),
    Strategy.LEAST_LOADED: (_load, _least_loaded),
    Strategy.EXPERTISE: (_skill, _most_skilled),
}
