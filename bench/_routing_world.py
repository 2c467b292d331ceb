"""Scenarios of the simulation of routing, read from a file, and what is drawn for a seed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import linprog

SCENARIOS = Path(__file__).parent / "scenarios"
DAY = 1440.0
MINUTE = 60.0


@dataclass(frozen=True)
class Class:
    """Tickets of one type: their share of all, and the minutes that an average agent takes."""

    share: float
    minutes: float


@dataclass(frozen=True)
class Target:
    """Tickets of one priority: their share, and within how many minutes somebody must begin."""

    share: float
    target: float


@dataclass(frozen=True)
class Shift:
    """A share of the agents works from an hour of the day for so many hours."""

    share: float
    start: float
    hours: float


@dataclass(frozen=True)
class Scenario:
    """What is simulated; see bench/scenarios/README.md."""

    name: str
    title: str
    agents: int
    classes: Mapping[str, Class]
    priorities: Mapping[str, Target]
    skills_each: int = 2
    skills: Sequence[Sequence[str]] = ()
    spread: float = 1.0
    pace: float = 0.2
    utilisation: Sequence[float] = (0.9, 0.95)
    tickets: int = 5000
    burst_every: float = 0.0
    burst_minutes: float = 0.0
    burst_factor: float = 1.0
    day_swing: float = 0.0
    shifts: Sequence[Shift] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A ticket: times are minutes, `work` those that an average agent takes."""

    at: float
    type: str
    priority: str
    due: float
    work: float


@dataclass(frozen=True)
class Drawn:
    """All that chance decides, the same for every policy."""

    scenario: Scenario
    skills: Sequence[tuple[str, ...]]
    paces: Sequence[Mapping[str, float]]
    levels: Sequence[Mapping[str, int]]
    """How good a lead takes each for: half true, half chance."""
    shifts: Sequence[Shift | None]
    arrivals: Sequence[Arrival] = field(repr=False)


def load(path: Path) -> Scenario:
    """A scenario from its file."""
    told: dict[str, Any] = yaml.safe_load(path.read_text())
    told["classes"] = {name: Class(**each) for name, each in told["classes"].items()}
    told["priorities"] = {name: Target(**each) for name, each in told["priorities"].items()}
    told["shifts"] = [Shift(**each) for each in told.get("shifts", ())]
    return Scenario(name=path.stem, **told)


def draw(scenario: Scenario, utilisation: float, seed: int) -> Drawn:
    """Agents and arrivals; `utilisation` is the share of what average agents could do at most."""
    paces, when, what, work, opinions = np.random.default_rng(seed).spawn(5)
    skills = _skills(scenario)
    shifts = list(_shifts(scenario))
    rate = utilisation * _most(scenario, skills, shifts)
    names, priorities = list(scenario.classes), list(scenario.priorities)
    types = what.choice(len(names), scenario.tickets, p=_shares(scenario.classes))
    haste = what.choice(len(priorities), scenario.tickets, p=_shares(scenario.priorities))
    sigma = math.sqrt(math.log1p(scenario.spread**2))
    length = np.exp(work.normal(-sigma * sigma / 2, sigma, scenario.tickets))
    arrivals = []
    for at, type, priority, factor in zip(
        _moments(scenario, rate, when), types, haste, length, strict=True
    ):
        kind, target = scenario.classes[names[type]], scenario.priorities[priorities[priority]]
        arrivals.append(
            Arrival(
                float(at),
                names[type],
                priorities[priority],
                float(at) + target.target,
                kind.minutes * float(factor),
            )
        )
    own = _paces(scenario, skills, paces)
    levels = [
        {
            name: _level(math.log(pace) + float(opinions.normal(0, 0.2)))
            for name, pace in each.items()
        }
        for each in own
    ]
    return Drawn(scenario, skills, own, levels, shifts, arrivals)


def _paces(
    scenario: Scenario, skills: Sequence[Sequence[str]], chance: np.random.Generator
) -> list[dict[str, float]]:
    """By how much longer each agent takes; of a class all who can do it are average together."""
    factors = np.exp(chance.normal(0, scenario.pace, (len(skills), len(scenario.classes))))
    for number, name in enumerate(scenario.classes):
        able = [agent for agent, own in enumerate(skills) if name in own]
        factors[:, number] *= np.mean(1 / factors[able, number])
    return [dict(zip(scenario.classes, map(float, row), strict=True)) for row in factors]


def _level(slower: float) -> int:
    return min(max(round(3 - slower / 0.2), 1), 5)


def _shares(parts: Mapping[str, Any]) -> Sequence[float]:
    total = sum(each.share for each in parts.values())
    return [each.share / total for each in parts.values()]


def _skills(scenario: Scenario) -> list[tuple[str, ...]]:
    """Who can do what: as the file says, else dealt by how much work each class is."""
    if scenario.skills:
        return [tuple(each) for each in scenario.skills]
    names = list(scenario.classes)
    work = np.array([each.share * each.minutes for each in scenario.classes.values()])
    wanted = work / work.sum() * scenario.skills_each * scenario.agents
    given = np.zeros(len(names))
    together = np.zeros((len(names), len(names)))
    dealt = []
    for _ in range(scenario.agents):
        own: list[int] = []
        for _ in range(min(scenario.skills_each, len(names))):
            # What is wanted most; of that, what has been together with the others least.
            lack = (wanted - given) / np.maximum(wanted, 1e-9) - 0.05 * together[own].sum(axis=0)
            lack[own] = -math.inf
            own.append(int(np.argmax(lack)))
            given[own[-1]] += 1
        together[np.ix_(own, own)] += 1
        dealt.append(tuple(names[each] for each in own))
    return dealt


def _shifts(scenario: Scenario) -> Iterator[Shift | None]:
    """Everybody's shift, dealt in turns so that every skill is there at any time."""
    if not scenario.shifts:
        yield from [None] * scenario.agents
        return
    given = [0.0] * len(scenario.shifts)
    total = sum(shift.share for shift in scenario.shifts)
    for number in range(1, scenario.agents + 1):
        lack = [
            shift.share / total * number - has
            for shift, has in zip(scenario.shifts, given, strict=True)
        ]
        chosen = int(np.argmax(lack))
        given[chosen] += 1
        yield scenario.shifts[chosen]


def _most(
    scenario: Scenario, skills: Sequence[Sequence[str]], shifts: Sequence[Shift | None]
) -> float:
    """Tickets a minute at which average agents are busy all the time: a fluid programme."""
    names = list(scenario.classes)
    pairs = [(agent, name) for agent, own in enumerate(skills) for name in own]
    rows, limits = [], []
    for name, share in zip(names, _shares(scenario.classes), strict=True):
        does = [-1.0 if own == name else 0.0 for _, own in pairs]
        rows.append([*does, share * scenario.classes[name].minutes])
        limits.append(0.0)
    for agent, shift in enumerate(shifts):
        rows.append([1.0 if own == agent else 0.0 for own, _ in pairs] + [0.0])
        limits.append(1.0 if shift is None else shift.hours * 60 / DAY)
    found = linprog([0.0] * len(pairs) + [-1.0], A_ub=rows, b_ub=limits)
    return float(-found.fun)


def _moments(scenario: Scenario, rate: float, chance: np.random.Generator) -> np.ndarray:
    """When tickets arrive: a Poisson process whose rate has bursts and a daily swing."""
    gaps = np.cumsum(chance.exponential(1 / rate, scenario.tickets))
    if not scenario.burst_every and not scenario.day_swing:
        return gaps
    clock = np.arange(0.0, gaps[-1] * 1.1 + DAY)
    height = 1 + scenario.day_swing * np.sin(2 * np.pi * (clock / DAY - 0.25))
    if scenario.burst_every:
        height[clock % scenario.burst_every < scenario.burst_minutes] *= scenario.burst_factor
    passed = np.concatenate([[0.0], np.cumsum(height / height.mean())])
    return np.interp(gaps, passed, np.arange(len(passed), dtype=float))
