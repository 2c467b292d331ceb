"""The simulated desk: SimPy's events drive the `Desk` that the service runs."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import simpy
from _routing_world import DAY, MINUTE, Arrival, Drawn
from waybill_routing.domain import (
    Agent,
    Case,
    Desk,
    Method,
    Presence,
    Queue,
    ReleaseReason,
    Rule,
    Skill,
    SkillKind,
    Strategy,
    Ticket,
)
from waybill_routing.domain.learning import HandlingTimes, Worked
from waybill_routing.domain.strategies import Emphasis, Knowledge

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
LEARN_EVERY = 25
NEVER_FULL = 1_000_000


@dataclass(frozen=True)
class Policy:
    """How tickets find agents. `pull`: only whoever has nothing to do gets one.

    Without a strategy the simulation itself serves one queue, by arrival or by what is due first.
    """

    name: str
    strategy: Strategy | None
    pull: bool
    by_due: bool = False
    emphasis: Emphasis | None = None


POLICIES = (
    Policy("push, round robin", Strategy.ROUND_ROBIN, pull=False),
    Policy("push, least loaded", Strategy.LEAST_LOADED, pull=False),
    Policy("push, expertise", Strategy.EXPERTISE, pull=False),
    Policy("pooled, first come", None, pull=True),
    Policy("pooled, first due", None, pull=True, by_due=True),
    Policy("smart", Strategy.SMART, pull=True),
)


@dataclass
class Outcome:
    """What became of each ticket, in order of arrival, and what the decisions cost."""

    started: list[float]
    busy: float = 0.0
    present: float = 0.0
    decisions: list[float] = field(default_factory=list)
    beside: int = 0
    """How often an idle agent and a ticket that they could have remained side by side."""


def simulate(drawn: Drawn, policy: Policy, *, check: bool = False) -> Outcome:
    """Run one policy until every ticket is done."""
    model = _Model(drawn, policy, check)
    model.run()
    return model.outcome


class _Model:
    def __init__(self, drawn: Drawn, policy: Policy, check: bool) -> None:
        self.drawn, self.policy, self.check = drawn, policy, check
        self.env = simpy.Environment()
        self.outcome = Outcome([0.0] * len(drawn.arrivals))
        queue = Queue(
            "support",
            "support",
            policy.strategy or Strategy.LEAST_LOADED,
            needs=frozenset({SkillKind.TYPE}),
            at_once=1 if policy.pull else None,
        )
        self.queues = {"support": queue}
        self.rules = [Rule(UUID(int=1), 1_000_000, "support")]
        self.agents = {
            UUID(int=number): Agent(
                id=UUID(int=number),
                email=f"{number}@example.com",
                name=f"Agent {number}",
                teams=("support",),
                skills=tuple(Skill(SkillKind.TYPE, type, levels[type]) for type in skills),
                capacity=1 if policy.pull else NEVER_FULL,
                presence=Presence.AVAILABLE,
                presence_since=EPOCH,
            )
            for number, (skills, levels) in enumerate(zip(drawn.skills, drawn.levels, strict=True))
        }
        self.cases: dict[UUID, Case] = {}
        self.waiting: dict[str, dict[UUID, Case]] = {}
        self.piles: dict[UUID, deque[UUID]] = {id: deque() for id in self.agents}
        self.working: dict[UUID, UUID | None] = dict.fromkeys(self.agents)
        self.worked: dict[tuple[UUID, str], Worked] = {}
        self.knowledge = Knowledge()
        self.finished = 0

    def run(self) -> None:
        for id, shift in zip(self.agents, self.drawn.shifts, strict=True):
            if shift is not None:
                self.env.process(self.shift(id, shift.start * 60, shift.hours * 60))
        self.env.process(self.arrive())
        while self.finished < len(self.drawn.arrivals):
            if self.check and self.env.peek() > self.env.now:
                self.look()
            self.env.step()
        self.outcome.present = self.env.now * sum(
            1.0 if shift is None else shift.hours * 60 / DAY for shift in self.drawn.shifts
        )

    def arrive(self) -> Iterator[Any]:
        for number, arrival in enumerate(self.drawn.arrivals):
            yield self.env.timeout(max(arrival.at - self.env.now, 0.0))
            case = _case(number, arrival)
            with self.decision():
                desk = self.desk([Case(Ticket(case.id))])
                desk.settle(case)
                self.place(desk, [case])
            self.follow(desk)

    def shift(self, id: UUID, start: float, length: float) -> Iterator[Any]:
        """Comes and goes; whoever goes finishes what they are at and hands back the rest."""
        inside = start <= 0 < start + length
        if not inside:
            self.agents[id] = replace(self.agents[id], presence=Presence.OFFLINE)
            yield self.env.timeout(start)
        while True:
            self.agents[id] = replace(self.agents[id], presence=Presence.AVAILABLE)
            # Whoever comes at the same moment is there before the first one is served.
            yield self.env.timeout(0)
            self.serve(id)
            yield self.env.timeout(length)
            self.agents[id] = replace(self.agents[id], presence=Presence.OFFLINE)
            self.hand_back(id)
            yield self.env.timeout(DAY - length)

    def work(self, agent_id: UUID, id: UUID) -> Iterator[Any]:
        arrival = self.drawn.arrivals[id.int]
        self.outcome.started[id.int] = self.env.now
        took = arrival.work * self.drawn.paces[agent_id.int][arrival.type]
        yield self.env.timeout(took)
        self.outcome.busy += took
        self.finished += 1
        self.working[agent_id] = None
        self.learn(agent_id, arrival.type, took)
        case = self.cases.pop(id)
        closed = replace(case, ticket=replace(case.ticket, status="closed"))
        self.serve(agent_id, [case], [closed])

    def serve(self, agent_id: UUID, held: Sequence[Case] = (), news: Sequence[Case] = ()) -> None:
        """Somebody is free: what waits that they could have is looked at."""
        agent = self.agents[agent_id]
        could = [
            case for skill in agent.skills for case in self.waiting.get(skill.value, {}).values()
        ]
        desk = self.desk(held)
        for case in news:
            desk.settle(case)
        if could and agent.ready:
            with self.decision():
                desk.add(could)
                self.place(desk, could)
        self.follow(desk)
        self.start(agent_id)

    def hand_back(self, agent_id: UUID) -> None:
        ids = list(self.piles[agent_id])
        self.piles[agent_id].clear()
        for id in ids:
            desk = self.desk([self.cases[id]])
            desk.give_back(id, "their shift is over", ReleaseReason.AGENT_UNAVAILABLE)
            self.place(desk, [])
            self.follow(desk)

    def desk(self, cases: Sequence[Case]) -> Desk:
        return Desk(
            cases,
            self.agents.values(),
            queues=self.queues,
            rules=self.rules,
            now=self.now,
            knowledge=self.knowledge,
            emphasis=self.policy.emphasis,
        )

    def place(self, desk: Desk, cases: Sequence[Case]) -> None:
        if self.policy.strategy is None:
            # A place for the baseline is made here; what it leaves waits as it would with others.
            for case in sorted(cases, key=self.first):
                free = [agent for agent in desk.agents.values() if self.idle(agent, case)]
                if free:
                    best = min(free, key=lambda agent: agent.last_assigned_at or EPOCH)
                    desk.take(case.id, best.id, Method.AUTOMATIC, "")
        desk.place_waiting()

    def first(self, case: Case) -> float:
        arrival = self.drawn.arrivals[case.id.int]
        return arrival.due if self.policy.by_due else arrival.at

    def idle(self, agent: Agent, case: Case) -> bool:
        return (
            agent.ready
            and not agent.load
            and any(skill.value == case.ticket.type for skill in agent.skills)
        )

    @contextmanager
    def decision(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.outcome.decisions.append(time.perf_counter() - began)

    def follow(self, desk: Desk) -> None:
        """Take over what the desk decided, and let it happen."""
        self.agents = desk.agents
        for change in desk.changes:
            case = desk.cases[change.ticket_id]
            type = case.ticket.type
            if change.assignment.agent_id is not None:
                self.cases[case.id] = case
                self.waiting.get(type, {}).pop(case.id, None)
                self.piles[change.assignment.agent_id].append(case.id)
                self.start(change.assignment.agent_id)
            elif case.ticket.open:
                self.cases[case.id] = case
                self.waiting.setdefault(type, {})[case.id] = case

    def look(self) -> None:
        """Whether somebody idle is left beside a ticket that they could have."""
        self.outcome.beside += any(
            agent.ready
            and not agent.load
            and any(self.waiting.get(skill.value) for skill in agent.skills)
            for agent in self.agents.values()
        )

    def start(self, agent_id: UUID) -> None:
        if self.working[agent_id] is None and self.piles[agent_id] and self.agents[agent_id].ready:
            id = self.working[agent_id] = self.piles[agent_id].popleft()
            self.env.process(self.work(agent_id, id))

    def learn(self, agent_id: UUID, type: str, took: float) -> None:
        key = agent_id, type
        self.worked[key] = self.worked.get(key, Worked()).plus(took * MINUTE)
        if self.finished % LEARN_EVERY == 0:
            self.knowledge = Knowledge(HandlingTimes(dict(self.worked)))

    @property
    def now(self) -> datetime:
        return EPOCH + timedelta(minutes=self.env.now)


def _case(number: int, arrival: Arrival) -> Case:
    return Case(
        Ticket(
            id=UUID(int=number),
            type=arrival.type,
            priority=arrival.priority,
            status="pending",
            opened_at=EPOCH + timedelta(minutes=arrival.at),
            sequence=1,
        ),
        due_at=EPOCH + timedelta(minutes=arrival.due),
    )
