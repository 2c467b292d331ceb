"""The matching of tickets and agents: the best sum, nobody left beside what they could have."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waybill_routing.domain import (
    Agent,
    Assignment,
    Case,
    Desk,
    Presence,
    Queue,
    Rule,
    Skill,
    SkillKind,
    State,
    Strategy,
    Ticket,
)
from waybill_routing.domain.strategies import best_pairs
from waybill_routing.domain.strategies.matching import NEVER

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
TYPES = ("order", "account", "technical")

scores = st.one_of(st.just(NEVER), st.floats(-50, 90).map(lambda score: round(score, 3)))
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(scores, min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(tables)
def test_pairs_are_as_many_as_can_be_and_their_sum_is_the_highest(
    table: list[list[float]],
) -> None:
    """Against all there are."""
    found = best_pairs(table)
    assert len({row for row, _ in found}) == len({column for _, column in found}) == len(found)
    width = max(len(table), len(table[0]))
    most, best = 0, 0.0
    for order in permutations(range(width), len(table)):
        values = [
            row[column]
            for row, column in zip(table, order, strict=True)
            if column < len(row) and row[column] > NEVER
        ]
        if (len(values), sum(values)) > (most, best) or len(values) > most:
            most, best = len(values), sum(values)
    assert len(found) == most
    assert sum(table[row][column] for row, column in found) == pytest.approx(best)


def test_nothing_to_match_is_no_pair() -> None:
    """Neither rows nor columns."""
    assert best_pairs([]) == best_pairs([[]]) == best_pairs([[NEVER]]) == []


agents = st.lists(
    st.tuples(st.sets(st.sampled_from(TYPES)), st.integers(0, 3), st.integers(1, 4)), max_size=6
)
tickets = st.lists(
    st.tuples(st.sampled_from(TYPES), st.integers(0, 600), st.integers(-60, 300)), max_size=12
)


@given(agents, tickets, st.sampled_from(Strategy), st.sampled_from([None, 1, 2]))
def test_no_idle_agent_is_left_beside_a_ticket_that_they_could_have(
    people: list[tuple[set[str], int, int]],
    waiting: list[tuple[str, int, int]],
    strategy: Strategy,
    at_once: int | None,
) -> None:
    """Whatever the strategy; nobody gets more than they can hold, or what they do not know."""
    queue = Queue("support", "support", strategy, frozenset({SkillKind.TYPE}), at_once)
    desk = Desk(
        (),
        [
            Agent(
                id=UUID(int=number),
                email=f"{number}@example.com",
                name=f"Agent {number}",
                teams=("support",),
                skills=tuple(Skill(SkillKind.TYPE, type) for type in sorted(types)),
                capacity=capacity,
                presence=Presence.AVAILABLE,
                presence_since=NOW,
                load=min(load, capacity),
            )
            for number, (types, load, capacity) in enumerate(people)
        ],
        queues={"support": queue},
        rules=[Rule(UUID(int=1), 1_000_000, "support")],
        now=NOW,
    )
    desk.add(
        Case(
            Ticket(
                UUID(int=1000 + number),
                type=type,
                priority="medium",
                status="pending",
                opened_at=NOW - timedelta(minutes=waited),
            ),
            Assignment(state=State.QUEUED, team="support", queue="support", version=1),
            due_at=NOW + timedelta(minutes=left),
        )
        for number, (type, waited, left) in enumerate(waiting)
    )
    before = {id: agent.load for id, agent in desk.agents.items()}
    desk.place_waiting()
    left = {case.ticket.type for case in desk.cases.values() if case.holder is None}
    for agent in desk.agents.values():
        most = agent.capacity if at_once is None else min(agent.capacity, at_once)
        assert agent.load <= max(most, before[agent.id])
        if agent.load < most:
            assert not left & {skill.value for skill in agent.skills}
    for change in desk.changes:
        assert change.agent is not None
        assert change.considered[0].agent_id == change.agent.id
        known = {skill.value for skill in change.agent.skills}
        assert desk.cases[change.ticket_id].ticket.type in known
