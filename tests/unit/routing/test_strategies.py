"""How each strategy chooses, and what it says of it: pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill_routing.domain import (
    Agent,
    Assignment,
    Case,
    Change,
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
from waybill_routing.domain.learning import HandlingTimes, Worked
from waybill_routing.domain.strategies import Band, Knowledge, Order, haste

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def agent(number: int, *teams: str, **facts: Any) -> Agent:
    known = {
        "id": UUID(int=number),
        "email": f"{number}@example.com",
        "name": f"Agent {number}",
        "teams": teams or ("support",),
        "skills": (),
        "capacity": 10,
        "presence": Presence.AVAILABLE,
        "presence_since": NOW,
    }
    return Agent(**known | facts)


def skilled(*types: str, level: int = 3) -> tuple[Skill, ...]:
    return tuple(Skill(SkillKind.TYPE, type, level) for type in types)


def case(number: int, *, waited: timedelta = MINUTE, due: timedelta | None = None, **facts: Any):
    known = {"type": "order", "priority": "medium", "status": "pending"}
    ticket = Ticket(
        **{"id": UUID(int=number), "sequence": 1, "opened_at": NOW - waited} | known | facts
    )
    placed = Assignment(state=State.QUEUED, team="support", queue="support", version=1)
    return Case(ticket, placed, due_at=None if due is None else NOW + due)


def placed(
    strategy: Strategy,
    cases: Sequence[Case],
    agents: Sequence[Agent],
    *,
    knowledge: Knowledge | None = None,
    **queue: Any,
) -> list[Change]:
    """Who gets what."""
    desk = Desk(
        (),
        agents,
        queues={"support": Queue("support", "support", strategy, **queue)},
        rules=[Rule(UUID(int=1), 1_000_000, "support")],
        now=NOW,
        knowledge=knowledge,
    )
    desk.add(cases)
    desk.place_waiting()
    return [change for change in desk.changes if change.agent is not None]


def pairs(changes: Sequence[Change]) -> dict[int, int]:
    """The numbers of tickets and of those who have them."""
    return {change.ticket_id.int: change.agent.id.int for change in changes if change.agent}


def done(seconds: float, count: int) -> Worked:
    """So many tickets that took about so long."""
    worked = Worked()
    for each in range(count):
        worked = worked.plus(seconds * (1.5 if each % 2 else 1 / 1.5))
    return worked


def test_the_least_loaded_is_chosen_of_equals_the_one_who_waited_longest() -> None:
    """Then the lowest id; never who is away, off duty, full, in another team, or gave it back."""
    agents = [
        agent(1, presence=Presence.AWAY),
        agent(2, load=10),
        agent(3, "tech_team"),
        agent(4, load=3, last_assigned_at=NOW),
        agent(5, load=3, last_assigned_at=NOW - timedelta(hours=1)),
        agent(6, load=4),
        agent(7, on_duty=False),
    ]
    (change,) = placed(Strategy.LEAST_LOADED, [case(1)], agents)
    assert change.agent is not None
    assert change.agent.id == UUID(int=5)
    assert change.assignment.why == "least loaded of 4 available in support (3 of 10)"
    assert [(each.agent_id.int, each.score) for each in change.considered] == [
        (5, -3.0),
        (4, -3.0),
        (6, -4.0),
    ]
    assert pairs(placed(Strategy.LEAST_LOADED, [case(1)], [agent(9), agent(8)])) == {1: 8}


def test_in_turn_everybody_gets_one_before_anybody_gets_two() -> None:
    """Of a batch, too."""
    agents = [agent(number) for number in (1, 2, 3)]
    got = pairs(placed(Strategy.ROUND_ROBIN, [case(number) for number in range(1, 8)], agents))
    assert list(got.values()) == [1, 2, 3, 1, 2, 3, 1]


def test_the_most_skilled_is_chosen_then_the_one_with_more_room() -> None:
    """What a queue does not insist on is welcome, not needed."""
    agents = [
        agent(1, skills=skilled("order", level=5), load=9),
        agent(2, skills=skilled("order", level=5), load=2),
        agent(3, skills=skilled("account", level=5)),
    ]
    (change,) = placed(Strategy.EXPERTISE, [case(1)], agents)
    assert pairs([change]) == {1: 2}
    assert change.assignment.why == (
        "most skilled of 3 available in support (level 5, holds 2 of 10)"
    )


@pytest.mark.parametrize("strategy", Strategy)
def test_a_skill_that_the_queue_needs_is_never_done_without(strategy: Strategy) -> None:
    """It waits rather than going to the wrong person, and nobody compatible is left beside it."""
    agents = [agent(1, skills=skilled("account")), agent(2, skills=skilled("order", "account"))]
    needs = frozenset({SkillKind.TYPE})
    cases = [case(1), case(2, type="account"), case(3, type="complaint")]
    got = pairs(placed(strategy, cases, agents, needs=needs, at_once=1))
    assert got == {1: 2, 2: 1}


def test_smart_solves_several_tickets_and_agents_together() -> None:
    """The quick one at both goes where the other is slowest, though best at the first one too."""
    times = HandlingTimes(
        {
            (UUID(int=1), "order"): done(600, 50),
            (UUID(int=2), "order"): done(900, 50),
            (UUID(int=1), "account"): done(600, 50),
            (UUID(int=2), "account"): done(3600, 50),
        }
    )
    cases = [case(1), case(2, type="account")]
    changes = placed(
        Strategy.SMART, cases, [agent(1), agent(2)], knowledge=Knowledge(times), at_once=1
    )
    assert pairs(changes) == {1: 2, 2: 1}
    why = {change.ticket_id.int: change.assignment.why for change in changes}
    assert why[2].startswith("best of 2 with room in support: 59 % faster at account, holds 0 of")
    for change in changes:
        for each in change.considered:
            assert each.score == pytest.approx(sum(each.parts.values()))


def test_smart_weighs_load_and_who_knows_the_submitter() -> None:
    """Somebody who knows them goes before somebody with less to do, up to a point."""
    agents = [agent(1, load=2), agent(2)]
    knowledge = Knowledge(familiar={UUID(int=1): frozenset({UUID(int=1)})})
    assert pairs(placed(Strategy.SMART, [case(1)], agents)) == {1: 2}
    (change,) = placed(Strategy.SMART, [case(1)], agents, knowledge=knowledge)
    assert pairs([change]) == {1: 1}
    assert "knows the submitter" in change.assignment.why
    absent = [agent(1, on_duty=False, stand_in=UUID(int=3)), agent(2), agent(3, load=2)]
    assert pairs(placed(Strategy.SMART, [case(1)], absent, knowledge=knowledge)) == {1: 3}
    busy = [agent(1, load=8), agent(2)]
    assert pairs(placed(Strategy.SMART, [case(1)], busy, knowledge=knowledge)) == {1: 2}


def test_smart_gives_no_more_at_once_than_the_queue_says() -> None:
    """The rest waits where whoever is free first can have it."""
    cases = [case(number) for number in range(1, 6)]
    got = pairs(placed(Strategy.SMART, cases, [agent(1), agent(2)], at_once=1))
    assert sorted(got.values()) == [1, 2]


def test_who_is_not_at_the_desk_will_be_free_too() -> None:
    """What would press if one agent had to do it all does not among ten; others get nothing."""
    cases = [case(1, waited=50 * MINUTE, due=200 * MINUTE), case(2, due=60 * MINUTE)]
    knowledge = Knowledge(others=tuple(agent(number) for number in range(2, 11)))
    assert pairs(placed(Strategy.SMART, cases, [agent(1)], at_once=1)) == {2: 1}
    assert pairs(placed(Strategy.SMART, cases, [agent(1)], at_once=1, knowledge=knowledge)) == {
        1: 1
    }


def test_what_presses_comes_first_then_what_waited_longest_and_nothing_starves() -> None:
    """What is overdue waits for those that can still be saved, not for ever."""
    order = Order()
    cases = {
        "calm": case(1, waited=10 * MINUTE, due=300 * MINUTE),
        "pressing": case(2, waited=MINUTE, due=10 * MINUTE),
        "pressing more": case(3, waited=MINUTE, due=2 * MINUTE),
        "overdue": case(4, waited=25 * MINUTE, due=-5 * MINUTE),
        "forgotten": case(5, waited=300 * MINUTE, due=-270 * MINUTE),
        "late, low": case(6, waited=60 * MINUTE, due=-5 * MINUTE),
        "just come": case(7, waited=timedelta(0), due=300 * MINUTE),
    }
    ranked = {name: haste(each, 300.0, 300.0, NOW, order) for name, each in cases.items()}
    assert sorted(ranked, key=lambda name: -ranked[name].points) == [
        "forgotten",
        "pressing more",
        "pressing",
        "late, low",
        "calm",
        "overdue",
        "just come",
    ]
    assert ranked["pressing"].band is Band.PRESSING
    assert str(ranked["pressing"]) == "only 10 min left"
    assert str(ranked["forgotten"]) == "4 h overdue"


def test_what_is_learned_is_shrunk_to_the_team_where_it_is_thin() -> None:
    """One ticket says little, fifty say much; without differences among agents none is seen."""
    one, two, three = (UUID(int=number) for number in (1, 2, 3))
    times = HandlingTimes(
        {
            (one, "order"): done(600, 50),
            (two, "order"): done(1800, 50),
            (three, "order"): Worked().plus(600),
        }
    )
    assert times.pace(one, "order").factor < times.pace(three, "order").factor < 1
    assert times.pace(two, "order").factor == pytest.approx(1.7, abs=0.1)
    assert times.pace(one, "account").factor == 1
    assert 600 < times.seconds("order") < 1800
    same = HandlingTimes({(id, "order"): done(600, 50) for id in (one, two, three)})
    assert same.pace(one, "order").factor == 1
    assert same.work("order") == 1
