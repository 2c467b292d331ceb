"""The desk: the tickets and agents that one transaction holds, and what is decided about them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import Any
from uuid import UUID

from waybill_routing.domain.choice import heard, needs_place, urgency
from waybill_routing.domain.entities import (
    Agent,
    Assignment,
    Case,
    Change,
    Queue,
    Rule,
    Touched,
)
from waybill_routing.domain.errors import AlreadyAssigned, NoRoom, TicketClosed
from waybill_routing.domain.learning import Solved, solved
from waybill_routing.domain.rules import rule_for
from waybill_routing.domain.strategies import (
    Ask,
    Choice,
    Emphasis,
    Knowledge,
    Roster,
    choose,
    due,
    match,
)
from waybill_routing.domain.vacancies import Vacancy, vacancies
from waybill_routing.domain.words import Method, ReleaseReason, State, Strategy

_NOT_AGAIN = (ReleaseReason.BY_HAND, ReleaseReason.NOT_ACCEPTED)


class Desk:
    """Holds everything that is locked, decides in memory, and remembers each step it took."""

    def __init__(
        self,
        cases: Iterable[Case],
        agents: Iterable[Agent],
        *,
        queues: Mapping[str, Queue],
        rules: Sequence[Rule],
        now: datetime,
        weights: Mapping[Any, int] = MappingProxyType({}),
        knowledge: Knowledge | None = None,
        emphasis: Emphasis | None = None,
    ) -> None:
        """`rules` by position; `now` is when whatever is decided here happens.

        `weights` by priority: what a ticket that is given from now on counts for its agent.
        """
        self.cases = {case.id: case for case in cases}
        self.agents = {agent.id: agent for agent in agents}
        self.queues = queues
        self.rules = rules
        self.changes: list[Change] = []
        self.solved: list[Solved] = []
        self._now = now
        self._weights = weights
        self.knowledge = knowledge or Knowledge()
        self._emphasis = emphasis or Emphasis()
        self._waiting: dict[UUID, Queue] = {}
        self._ruled: dict[UUID, Rule] = {}
        self._cases_before = dict(self.cases)
        self._agents_before = dict(self.agents)

    def add(self, cases: Iterable[Case]) -> None:
        """More tickets that wait in a queue."""
        for case in cases:
            self.cases[case.id] = self._cases_before[case.id] = case
            self._waiting[case.id] = self.queues[case.assignment.queue]

    def queue_of(self, case: Case) -> Queue:
        """The queue it is in or was taken from; for a new ticket the one that the rules name."""
        if case.assignment.queue in self.queues:
            return self.queues[case.assignment.queue]
        rule = self._ruled[case.id] = rule_for(case.ticket, self.rules)
        return self.queues[rule.queue]

    def queue_of_team(self, teams: Iterable[str]) -> Queue | None:
        """The queue of the first team that has one."""
        for team in teams:
            if team in self.queues:
                return self.queues[team]
            for slug in sorted(self.queues):
                if self.queues[slug].team == team:
                    return self.queues[slug]
        return None

    def settle(self, case: Case, escalated_to: Queue | None = None) -> None:
        """Take over what is known of a ticket now, and do what follows from it."""
        before = self.cases[case.id]
        if done := solved(before, case, self._now):
            self.solved.append(done)
        self._put(case)
        state = case.assignment.state
        if case.ticket.closed:
            if state is not State.RELEASED:
                self.release(case.id, ReleaseReason.CLOSED, "the ticket was closed")
        elif escalated_to is not None:
            self.move(
                case.id, escalated_to, ReleaseReason.ESCALATED, f"escalated to {escalated_to.team}"
            )
        elif needs_place(before, case):
            self._waiting[case.id] = self.queue_of(case)

    def take(self, id: UUID, agent_id: UUID, method: Method, why: str) -> None:
        """An agent takes the ticket if nobody has it. `AlreadyAssigned`, `NoRoom`, `TicketClosed`.

        Who has it already has accepted it by this.
        """
        case = self.cases[id]
        if case.ticket.closed:
            raise TicketClosed
        owner = case.assignment.agent_id
        if owner == agent_id:
            self._put(heard(case, Touched(id, agent_id, self._now)))
            return
        if owner is not None:
            raise AlreadyAssigned(self.agents[owner])
        self._give(case, agent_id, self.queue_of(case), method, why)

    def hand_to(self, id: UUID, agent_id: UUID, why: str, *, accepted: bool = False) -> None:
        """The ticket goes to this agent, whoever has it. `NoRoom`, `TicketClosed`.

        `accepted` when they gave it to themselves.
        """
        case = self.cases[id]
        if case.ticket.closed:
            raise TicketClosed
        if case.assignment.agent_id == agent_id:
            return
        teams = self.agents[agent_id].teams
        queue = self.queue_of(case)
        if queue.team not in teams:
            queue = self.queue_of_team(teams) or queue
        self._give(case, agent_id, queue, Method.BY_HAND, why)
        if accepted:
            self._put(heard(self.cases[id], Touched(id, agent_id, self._now)))

    def move(self, id: UUID, queue: Queue, reason: ReleaseReason, why: str) -> None:
        """The ticket goes to another queue; an agent who is in that team too keeps it."""
        case = self.cases[id]
        if case.assignment.queue == queue.slug and case.assignment.state in (
            State.QUEUED,
            State.ASSIGNED,
        ):
            return
        owner = case.assignment.agent_id
        if owner is not None:
            agent = self.agents[owner]
            if queue.team in agent.teams:
                kept = f"{why}; {agent.name} is in that team too"
                self._assign(case, agent, queue, case.assignment.method or Method.AUTOMATIC, kept)
                return
            self.release(id, reason, why)
        self._waiting[id] = queue

    def give_back(
        self,
        id: UUID,
        why: str,
        reason: ReleaseReason = ReleaseReason.BY_HAND,
        *,
        until: datetime | None = None,
    ) -> None:
        """Whoever has the ticket gives it back to its queue.

        By hand, or not accepted: they are not given it again, `until` then at least.
        """
        case = self.cases[id]
        self.release(id, reason, why, until=until)
        self._waiting[id] = self.queue_of(case)

    def release(
        self, id: UUID, reason: ReleaseReason, why: str, *, until: datetime | None = None
    ) -> None:
        """Nobody has the ticket any more."""
        case = self.cases[id]
        was = case.assignment
        self._step(
            case,
            replace(
                was,
                state=State.RELEASED,
                agent_id=None,
                accepted_at=None,
                why=why,
                method=None,
                given_back_by=was.agent_id if reason in _NOT_AGAIN else None,
                given_back_until=until,
            ),
            reason=reason,
        )

    def vacancies(self) -> list[Vacancy]:
        """For what the agents at this desk have room."""
        return vacancies(self.agents.values(), self.queues.values())

    @property
    def weighed(self) -> list[UUID]:
        """What waits where more has to be known than tickets and agents."""
        return [id for id, queue in self._waiting.items() if queue.strategy is Strategy.SMART]

    @property
    def weighed_in(self) -> set[str]:
        """The teams of which more has to be known."""
        return {self._waiting[id].team for id in self.weighed}

    def place_waiting(self) -> None:
        """Give what waits to whoever has room, by its queue's strategy; the rest waits there.

        Queues with the strategy `smart` share their agents: all that waits in them is matched
        together. Otherwise the most urgent ticket chooses first.
        """
        asks = [
            Ask(case, self._waiting[case.id], self._weight(case))
            for case in sorted((self.cases[id] for id in self._waiting), key=urgency)
            if case.assignment.agent_id is None
        ]
        self._waiting.clear()
        if not asks:
            return
        roster = Roster(self.agents, self.knowledge.others)
        for together, group in groupby(
            (ask for ask in asks if ask.case.ticket.open),
            key=lambda ask: ask.queue.strategy is Strategy.SMART,
        ):
            if together:
                self._match(list(group), roster)
            else:
                for ask in group:
                    self._settle(choose(ask, roster))
        for ask in asks:
            if not ask.case.ticket.open:
                self._settle(Choice(ask, None, "the ticket is resolved"))

    def _match(self, asks: Sequence[Ask], roster: Roster) -> None:
        waiting = {ask.case.id: ask for ask in asks}
        while choices := match(
            list(waiting.values()), roster, self.knowledge, self._now, self._emphasis
        ):
            for choice in choices:
                del waiting[choice.ask.case.id]
                self._settle(choice)
        for ask in waiting.values():
            if not _waits(ask.case, ask.queue):
                self._enqueue(ask.case, ask.queue, roster.nobody(ask))

    def _settle(self, choice: Choice) -> None:
        case, queue = choice.ask.case, choice.ask.queue
        if choice.agent is not None:
            self._assign(case, choice.agent, queue, Method.AUTOMATIC, choice.why, choice)
        elif not _waits(case, queue):
            self._enqueue(case, queue, choice.why)

    def changed_cases(self) -> list[Case]:
        """What is to be written of the tickets."""
        return [case for id, case in self.cases.items() if case != self._cases_before[id]]

    def versions_before(self) -> dict[UUID, int]:
        """The versions that the tickets had when they were locked."""
        return {id: case.assignment.version for id, case in self._cases_before.items()}

    def changed_agents(self) -> list[Agent]:
        """What is to be written of the agents."""
        return [agent for id, agent in self.agents.items() if agent != self._agents_before[id]]

    def _give(self, case: Case, agent_id: UUID, queue: Queue, method: Method, why: str) -> None:
        agent = self.agents[agent_id]
        if case.ticket.open and not agent.fits(self._weight(case)):
            raise NoRoom(agent)
        self._assign(case, agent, queue, method, why)

    def _assign(
        self,
        case: Case,
        agent: Agent,
        queue: Queue,
        method: Method,
        why: str,
        choice: Choice | None = None,
    ) -> None:
        # Each a moment after the one before: of a batch, too, everybody has their turn.
        turn = self._now + timedelta(microseconds=len(self.changes))
        self.agents[agent.id] = replace(agent, last_assigned_at=turn)
        keeps = case.assignment.agent_id == agent.id
        asked_for = method in (Method.CLAIM, Method.NEXT)
        self._step(
            case,
            replace(
                case.assignment,
                state=State.ASSIGNED,
                agent_id=agent.id,
                team=queue.team,
                queue=queue.slug,
                why=why,
                method=method,
                given_back_by=None,
                given_back_until=None,
                accepted_at=case.assignment.accepted_at
                if keeps
                else (self._now if asked_for else None),
            ),
            choice=choice,
            queue=queue,
        )

    def _enqueue(self, case: Case, queue: Queue, why: str) -> None:
        if queue.strategy is Strategy.SMART:
            # Until sla has said when: what is not known to be due would be passed over.
            case = replace(case, due_at=due(case))
        self._step(
            case,
            replace(
                case.assignment,
                state=State.QUEUED,
                agent_id=None,
                team=queue.team,
                queue=queue.slug,
                why=why,
                method=None,
            ),
            queue=queue,
        )

    def _step(
        self,
        case: Case,
        to: Assignment,
        *,
        reason: ReleaseReason | None = None,
        choice: Choice | None = None,
        queue: Queue | None = None,
    ) -> None:
        rule = self._ruled.get(case.id)
        was = case.assignment
        after = replace(
            to,
            version=was.version + 1,
            since=self._now,
            waiting_since=was.waiting_since or case.ticket.opened_at or self._now,
        )
        self._put(replace(case, assignment=after))
        self.changes.append(
            Change(
                ticket_id=case.id,
                assignment=after,
                agent=None if after.agent_id is None else self.agents[after.agent_id],
                previous_agent=None if was.agent_id is None else self.agents[was.agent_id],
                previous_team=was.team,
                reason=reason,
                considered=() if choice is None else choice.considered,
                able=0 if choice is None else choice.able,
                queue=queue if choice or to.state is State.QUEUED else None,
                rule=rule if rule and queue and rule.queue == queue.slug else None,
            )
        )

    def _put(self, case: Case) -> None:
        """Replace a case; what its agents hold follows."""
        before = self.cases[case.id]
        fresh = case.holder != before.holder or case.ticket.priority != before.ticket.priority
        if case.holder is not None and fresh:
            case = replace(case, weight=self._weight(case))
        self.cases[case.id] = case
        if (before.holder, before.weight) != (case.holder, case.weight):
            self._count(before, -1)
            self._count(case, +1)

    def _count(self, case: Case, by: int) -> None:
        if case.holder is not None:
            agent = self.agents[case.holder]
            self.agents[agent.id] = replace(
                agent,
                open_tickets=agent.open_tickets + by,
                load=agent.load + by * case.weight,
            )

    def _weight(self, case: Case) -> int:
        return self._weights.get(case.ticket.priority, 1)


def _waits(case: Case, queue: Queue) -> bool:
    return (case.assignment.state, case.assignment.queue) == (State.QUEUED, queue.slug)
