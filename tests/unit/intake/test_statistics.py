"""What tickets count for: sums that are kept up to date are those that are counted anew."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Problem
from waybill_intake.domain import merging, rules
from waybill_intake.domain.facts import Assignment, Sla
from waybill_intake.domain.moves import move
from waybill_intake.domain.statistics import (
    FLOW,
    KINDS,
    STATE,
    Counted,
    Lines,
    add,
    bin_of,
    changed,
    count,
)
from waybill_intake.domain.statistics_answers import named, slope, speed
from waybill_intake.domain.statistics_causes import correlation
from waybill_intake.domain.statistics_history import (
    History,
    after_answer,
    after_assignment,
    after_clock,
    after_escalation,
    after_fact,
    after_likeness,
)
from waybill_intake.domain.ticket import Actor, Draft, Fact, Merged, Submitter, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    MessageKind,
    Priority,
    Status,
    TicketType,
)

START = datetime(2026, 3, 29, 0, 7, 30, 500_000, tzinfo=UTC)
AGENTS = [Actor(ActorKind.AGENT, name, name, f"{name}@example.com") for name in ("ana", "ben")]
KIM = Submitter(new_id(), "kim@example.com", "Kim")
ACTORS = [*AGENTS, KIM.actor(), Actor(ActorKind.AUTOMATION, "intake")]
TAGS = [(), ("app",), ("app", "late")]


class Books:
    """Tickets with what is kept of them, and the sums that follow every change."""

    def __init__(self) -> None:
        self.now = START
        self.tickets: list[Ticket] = []
        self.histories: dict[Any, str] = {}
        self.counted: dict[Any, str] = {}
        self.merges: dict[Any, Any] = {}
        self.lines: Lines = {}

    def history(self, id: Any) -> History:
        """As the database gives it back."""
        stored = self.histories.get(id)
        return History.from_json(json.loads(stored)) if stored else History()

    def hear(self, id: Any, *afters: Callable[[History], History]) -> None:
        ticket = next(one for one in self.tickets if one.id == id)
        history = self.history(id)
        for after in afters:
            history = after(history)
        before = self.counted.get(id)
        add(self.lines, Counted(**json.loads(before)) if before else None, -1)
        now = count(ticket, history)
        add(self.lines, now)
        self.histories[id], self.counted[id] = to_json(history).decode(), to_json(now).decode()

    def note(self, facts: list[Fact], actor: Actor) -> None:
        for fact in facts:
            ids = [one.id for one in self.tickets]
            if fact.ticket.id in ids:
                self.tickets[ids.index(fact.ticket.id)] = fact.ticket
            else:
                self.tickets.append(fact.ticket)
            if isinstance(fact, Merged) and fact.merge is not None:
                self.merges[fact.ticket.id] = fact.merge
            self.hear(fact.ticket.id, partial(after_fact, fact=fact, actor=actor))

    def recounted(self) -> Lines:
        lines: Lines = {}
        for ticket in self.tickets:
            add(lines, count(ticket, self.history(ticket.id)))
        return changed(lines)

    def total(self, kind: str) -> dict[str, int]:
        values = [values for key, values in self.lines.items() if key[0] == kind]
        return named(kind, [sum(column) for column in zip(*values, strict=True)] or None)

    def do(self, what: str, draw: Callable[[Any], Any]) -> None:
        """Something that may happen; what the rules refuse does not."""
        self.now += timedelta(seconds=draw(st.sampled_from([0, 1, 59, 900, 7200, 90_000])))
        if what == "open" or not self.tickets:
            self.open(draw)
            return
        ticket, actor = draw(st.sampled_from(self.tickets)), draw(st.sampled_from(ACTORS))
        with suppress(Problem):
            self.note(self.facts(what, ticket, actor, draw), actor)

    def open(self, draw: Callable[[Any], Any]) -> None:
        draft = Draft(
            type=draw(st.sampled_from(TicketType)),
            title="t",
            description="d",
            tags=draw(st.sampled_from(TAGS)),
        )
        opened = rules.open_ticket(
            draft,
            id=new_id(),
            number=f"WB-{len(self.tickets)}",
            product=draw(st.sampled_from(["shop", "news"])),
            channel=Channel.API,
            submitter=KIM,
            by=ActorKind.SUBMITTER,
            default_priority=Priority.MEDIUM,
            at=self.now,
        )
        self.note([opened], KIM.actor())

    def facts(self, what: str, ticket: Ticket, actor: Actor, draw: Any) -> list[Fact]:
        at = self.now
        other = draw(st.sampled_from(self.tickets))
        match what:
            case "say":
                kind = draw(st.sampled_from(MessageKind))
                quick = draw(st.sampled_from(["", "hello"]))
                return rules.post(
                    ticket, id=new_id(), kind=kind, author=actor, body="b", at=at,
                    quick_reply_id=quick,
                )  # fmt: skip
            case "move":
                return [move(ticket, draw(st.sampled_from(Status)), actor.kind, at)]
            case "edit":
                fields = {
                    "type": draw(st.sampled_from(TicketType)),
                    "priority": draw(st.sampled_from(Priority)),
                    "product": draw(st.sampled_from(["shop", "news"])),
                    "tags": draw(st.sampled_from(TAGS)),
                }
                return [*rules.edit(ticket, fields, at, person=True)]
            case "rate":
                score = draw(st.integers(1, 5))
                return [rules.rate(ticket, score, "", at, timedelta(days=14))]
            case "merge":
                return merging.merge(ticket, other, at, id=new_id())
            case "undo" if ticket.merged_into:
                target = next(one for one in self.tickets if one.id == ticket.merged_into)
                merge = self.merges.get(ticket.id)
                return merging.undo(merge, ticket, target, at, timedelta(days=1))
            case "hear":
                heard = draw(st.lists(news, max_size=4))
                # Late, repeated, out of order.
                for _ in range(2):
                    self.hear(ticket.id, *draw(st.permutations(heard)))
        return []


def _held(sequence: int, agent: str, team: str, closed: bool) -> Callable[[History], History]:
    assignment = Assignment(sequence, agent and f"{agent}-id", agent, f"{agent}@x.com", team)
    held = assignment if agent else Assignment(sequence, team=team)
    return partial(after_assignment, assignment=held, closed=closed and not agent)


def _clock(sequence: int, state: str, hours: int) -> Callable[[History], History]:
    due = START + timedelta(hours=hours)
    sla = Sla(sequence, state, due, "running", due)
    return partial(after_clock, sla=sla)


# What an event says follows from its number: an event that is repeated says the same.
news: st.SearchStrategy[Callable[[History], History]] = st.one_of(
    st.integers(1, 6).map(
        lambda n: _held(n, ("", "ana", "ben")[n % 3], ("support", "tech_team")[n % 2], n == 6)
    ),
    st.integers(1, 5).map(lambda n: _clock(n, ("running", "met", "breached")[n % 3], n)),
    st.integers(1, 4).map(lambda n: partial(after_escalation, sequence=n)),
    st.sampled_from(["a", "b"]).map(lambda one: partial(after_likeness, older=one)),
    st.booleans().map(lambda found: partial(after_answer, found=found)),
)
happenings = st.sampled_from(
    ["open", "say", "say", "move", "move", "move", "edit", "rate", "merge", "undo", "hear", "hear"]
)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_sums_kept_up_to_date_are_those_counted_anew(data: st.DataObject) -> None:
    """After any history, to the digit; and they agree with the tickets as they stand."""
    books = Books()
    for what in data.draw(st.lists(happenings, max_size=30)):
        books.do(what, data.draw)
    assert changed(books.lines) == books.recounted()
    state, flow = books.total(STATE), books.total(FLOW)
    for status in Status:
        assert state[status] == sum(one.status is status for one in books.tickets)
    backlog = flow["opened"] - flow["left"] + flow["back"]
    waiting = (Status.RESOLVED, Status.CLOSED)
    assert backlog == sum(one.status not in waiting for one in books.tickets)
    assert flow["opened"] == len(books.tickets)
    assert flow["responded"] == sum(one.first_response_at is not None for one in books.tickets)


@given(st.lists(news, max_size=10), st.data())
def test_the_order_of_other_services_events_changes_nothing(
    heard: list[Callable[[History], History]], data: st.DataObject
) -> None:
    """Late, repeated, out of order: the same history."""
    straight, other = History(), History()
    for after in heard:
        straight = after(straight)
    for after in data.draw(st.permutations(heard + heard[: len(heard) // 2])):
        other = after(other)
    assert other == straight


@given(st.lists(st.integers(0, 10**7), min_size=1))
def test_a_quantile_is_off_by_less_than_its_class_is_wide(times: list[int]) -> None:
    """Within 5 % and a second; averages are exact."""
    histogram: dict[str, list[int]] = {}
    for seconds in times:
        sums = histogram.setdefault(str(bin_of(seconds)), [0, 0])
        sums[0] += 1
        sums[1] += seconds
    found = speed(histogram)
    assert found.average_seconds == sum(times) // len(times)
    for told, percent in ((found.median_seconds, 50), (found.p90_seconds, 90)):
        exact = sorted(times)[-(-len(times) * percent // 100) - 1]
        assert told is not None
        assert abs(told - exact) <= max(1, exact * 0.05)


def test_a_trend_and_a_correlation_follow_from_whole_numbers() -> None:
    """A straight line has its slope; scores that fall with the class correlate with -1."""
    assert slope([3, 5, 7, 9]) == 2.0
    assert slope([4]) is None
    assert correlation({"0": [2, 10, 50], "1": [2, 8, 32], "2": [2, 6, 18]}) == -1.0
    assert correlation({"0": [3, 9, 27]}) is None


def test_every_kind_has_its_names_once() -> None:
    """A number has one meaning."""
    assert all(len(set(names)) == len(names) for names in KINDS.values())
