"""How long tickets take, and how much faster or slower an agent is: learned from what was done.

Times are taken to be log-normal. An agent's mean is shrunk towards the team's of the same type, the
more so the less is known of them: empirical Bayes with the variances estimated by moments
(DerSimonian and Laird, 1986).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from waybill_routing.domain.entities import Case
from waybill_routing.domain.words import Status

MEMORY = 200.0
"""So many tickets of an agent and type count; of more the older ones fade."""
_PRIOR_SECONDS = 1800.0
_PRIOR_COUNT = 3.0
_PRIOR_SPREAD = 0.6
_LEAST_SECONDS = 1.0


def logarithm(seconds: float) -> float:
    """Of at least a second."""
    return math.log(max(seconds, _LEAST_SECONDS))


@dataclass(frozen=True, slots=True)
class Worked:
    """What was done of one type by one agent: how many, and sums of the logarithms of seconds."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, seconds: float) -> "Worked":
        """With one more ticket, which took so long."""
        kept = min(1.0, MEMORY / (self.count + 1.0))
        took = logarithm(seconds)
        return Worked(
            self.count * kept + 1.0, self.total * kept + took, self.squares * kept + took * took
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """How an agent does one type: `factor` 0.8 is a fifth faster than the team."""

    factor: float
    count: float


class Solved(NamedTuple):
    """An agent solved a ticket of a type so many seconds after they got it."""

    agent_id: UUID
    type: str
    seconds: float

    @property
    def log_seconds(self) -> float:
        """The natural logarithm, as it is summed up."""
        return logarithm(self.seconds)


Cells = Mapping[tuple[UUID, str], Worked]


def solved(before: Case, after: Case, now: datetime) -> Solved | None:
    """What this news says of how long tickets take: something when whoever has it solved it."""
    held, since = before.holder, before.assignment.since
    if held is None or since is None or after.ticket.status != Status.RESOLVED:
        return None
    return Solved(held, after.ticket.type, (now - since).total_seconds())


class HandlingTimes:
    """What can be expected, given what was done; worked out when it is first asked for."""

    def __init__(self, cells: Cells = MappingProxyType({})) -> None:
        """`cells` by agent and type."""
        self._cells = cells
        self._paces: dict[tuple[UUID, str], Pace] = {}
        self._seconds: dict[str, float] = {}

    def pace(self, agent_id: UUID, type: str) -> Pace:
        """How this agent does this type; 1 when nothing is known."""
        found = self._paces.get((agent_id, type))
        if found is None:
            found = self._paces[agent_id, type] = self._pace(agent_id, type)
        return found

    def seconds(self, type: str) -> float:
        """How long the team takes for a ticket of this type, on average."""
        found = self._seconds.get(type)
        if found is None:
            cell = self._types.get(type, Worked())
            mean = (cell.total + _PRIOR_COUNT * self._mean) / (cell.count + _PRIOR_COUNT)
            found = self._seconds[type] = math.exp(mean + self._within / 2)
        return found

    @cached_property
    def typical(self) -> float:
        """How many seconds a ticket of any type takes, on average."""
        return math.exp(self._mean + self._within / 2)

    def work(self, type: str) -> float:
        """The share of all work that this type is; 0 when nothing is known."""
        own = self._types.get(type)
        done = self._done
        return 0.0 if own is None or not done else own.count * self.seconds(type) / done

    def _pace(self, agent_id: UUID, type: str) -> Pace:
        cell = self._cells.get((agent_id, type))
        if cell is None or not cell.count:
            return Pace(1.0, 0.0)
        team = self._types[type]
        trust = self._between / (self._between + self._within / cell.count)
        return Pace(
            math.exp(trust * (cell.total / cell.count - team.total / team.count)), cell.count
        )

    @cached_property
    def _types(self) -> dict[str, Worked]:
        """Everybody's together, by type."""
        found: dict[str, Worked] = {}
        for (_, type), cell in self._cells.items():
            so_far = found.get(type, Worked())
            found[type] = Worked(
                so_far.count + cell.count,
                so_far.total + cell.total,
                so_far.squares + cell.squares,
            )
        return found

    @cached_property
    def _done(self) -> float:
        return sum(cell.count * self.seconds(type) for type, cell in self._types.items())

    @cached_property
    def _mean(self) -> float:
        count = sum(cell.count for cell in self._cells.values())
        total = sum(cell.total for cell in self._cells.values())
        prior = math.log(_PRIOR_SECONDS) - _PRIOR_SPREAD / 2
        return (total + _PRIOR_COUNT * prior) / (count + _PRIOR_COUNT)

    @cached_property
    def _within(self) -> float:
        """The variance among tickets of one agent and type."""
        spread = _PRIOR_COUNT * _PRIOR_SPREAD
        freedom = _PRIOR_COUNT
        for cell in self._cells.values():
            if cell.count > 1:
                spread += max(cell.squares - cell.total * cell.total / cell.count, 0.0)
                freedom += cell.count - 1
        return spread / freedom

    @cached_property
    def _between(self) -> float:
        """The variance among agents who do the same type; 0 when chance explains all of it."""
        spread = freedom = scale = 0.0
        squared: dict[str, float] = {}
        for (_, type), cell in self._cells.items():
            if cell.count:
                team = self._types[type]
                off = cell.total / cell.count - team.total / team.count
                spread += cell.count * off * off
                squared[type] = squared.get(type, 0.0) + cell.count * cell.count
                freedom += 1
        for type, squares in squared.items():
            count = self._types[type].count
            scale += count - squares / count
            freedom -= 1
        return 0.0 if scale <= 0 else max((spread - freedom * self._within) / scale, 0.0)
