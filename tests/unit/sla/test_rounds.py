"""Targets that begin again: an answer to each later question, and news every so often."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_sla.domain import facts, timing
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.policy import Agreement, Policies, Policy, Rules, Rung
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import (
    BreachRetracted,
    TargetAtRisk,
    TargetBreached,
    TargetMet,
    Telling,
    TicketEscalated,
)
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import (
    Level,
    Priority,
    Status,
    TargetKind,
    TargetState,
    Trigger,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAIN = {TargetKind.RESPONSE: 24 * HOUR, TargetKind.RESOLUTION: 1000 * HOUR}
ASKING = PLAIN | {TargetKind.NEXT_RESPONSE: 4 * HOUR}
TELLING = PLAIN | {TargetKind.UPDATE: 8 * HOUR}
TARGETS = {
    Priority.URGENT: ASKING | TELLING,
    Priority.HIGH: ASKING,
    Priority.MEDIUM: TELLING,
    Priority.LOW: PLAIN,
}
AGREED = Agreement(
    Policies([Policy(UUID(int=1), 1, "default", TARGETS)]),
    (Rung("silent", Trigger.BREACHED, Level.TECH_TEAM, TargetKind.NEXT_RESPONSE),),
    Rules(),
)


class Life:
    """A ticket that is told of step by step, and what its clock says to it."""

    def __init__(self, priority: Priority) -> None:
        """Opened at the start."""
        self.ticket = Ticket(
            id=uuid4(),
            number="WB-1",
            product="demo",
            type="technical",
            priority=priority,
            status=Status.PENDING,
            created_at=START,
            status_since=START,
            episode=1,
            episode_since=START,
            first_response_at=None,
            resolved_at=None,
            reopened_at=None,
            reopenings=0,
            submitter_id="s",
            submitter_email="s@example.com",
            tier="",
            sequence=0,
        )
        self.clock = Clock(self.ticket.id)
        self.said: list[Telling] = []
        self.now = START
        self._tell(START)

    def _tell(self, at: datetime, **changes: object) -> None:
        self.ticket = replace(self.ticket, sequence=self.ticket.sequence + 1, **changes)
        self.now = max(self.now, at)
        hearing = Hearing(at, str(self.ticket.sequence), self.now, uuid4)
        outcome = facts.hear_ticket(self.clock, self.ticket, hearing, AGREED)
        self.clock, self.said = outcome.clock, [*self.said, *outcome.told]

    def written(self, by: str, at: datetime) -> None:
        first = self.ticket.first_response_at or (at if by == "agent" else None)
        self._tell(at, last_public_at=at, last_public_by=by, first_response_at=first)

    def moved(self, to: Status, at: datetime) -> None:
        changes: dict[str, object] = {"status": to, "status_since": at}
        if to is Status.RESOLVED:
            changes["resolved_at"] = at
        elif self.ticket.status is Status.RESOLVED and to is not Status.CLOSED:
            again = self.ticket.reopenings + 1
            changes |= {"resolved_at": None, "reopened_at": at, "reopenings": again}
        self._tell(at, **changes)

    def edited(self, priority: Priority, at: datetime) -> None:
        self._tell(at, priority=priority)

    def undone(self, at: datetime) -> None:
        """A merge is taken back: the status is as old as before it."""
        self._tell(at, status=Status.IN_PROGRESS, status_since=START)

    def until(self, now: datetime) -> None:
        """Fire what comes due by then."""
        self.now = max(self.now, now)
        while live := timing.due(self.clock, timing.wanted(self.clock, AGREED), AGREED, self.now):
            for alarm in live:
                assert alarm.due_at <= self.now
                outcome = timing.fire(self.clock, alarm, AGREED, self.now, uuid4())
                self.clock, self.said = outcome.clock, [*self.said, *outcome.told]

    def about(self, kind: TargetKind) -> list[Telling]:
        return [telling for telling in self.said if getattr(telling, "kind", None) is kind]

    def target(self, kind: TargetKind) -> Target | None:
        return next((one for one in self.clock.targets if one.kind is kind), None)


def names(tellings: list[Telling]) -> list[str]:
    return [type(telling).__name__ for telling in tellings]


def test_a_later_question_is_due_to_be_answered() -> None:
    """Not the one before the first response; the second while one waits moves nothing."""
    life = Life(Priority.HIGH)
    life.written("submitter", START + HOUR)
    life.written("agent", START + 2 * HOUR)
    assert life.target(TargetKind.NEXT_RESPONSE) is None
    life.written("submitter", START + 3 * HOUR)
    life.written("submitter", START + 4 * HOUR)
    asked = life.target(TargetKind.NEXT_RESPONSE)
    assert asked is not None
    assert (asked.started_at, asked.due_at) == (START + 3 * HOUR, START + 7 * HOUR)
    life.written("agent", START + 5 * HOUR)
    (met,) = life.about(TargetKind.NEXT_RESPONSE)
    assert isinstance(met, TargetMet)
    assert (met.elapsed, met.late) == (2 * HOUR, False)


def test_each_question_that_nobody_answers_is_a_cause_of_its_own() -> None:
    """The second breach is told, warned of and escalated like the first."""
    life = Life(Priority.HIGH)
    life.written("agent", START)
    for question in (START + HOUR, START + 20 * HOUR):
        life.written("submitter", question)
        life.until(question + 5 * HOUR)
        life.moved(Status.IN_PROGRESS, question + 6 * HOUR)
        life.written("agent", question + 6 * HOUR)
    assert (
        names(life.about(TargetKind.NEXT_RESPONSE))
        == [
            "TargetAtRisk",
            "TargetBreached",
            "TargetMet",
        ]
        * 2
    )
    assert len([one for one in life.said if isinstance(one, TicketEscalated)]) == 1
    assert len([cause for cause in life.clock.fired if cause.startswith("silent:")]) == 1


def test_a_question_waits_with_the_clock() -> None:
    """Asked in a pause its time begins when the clock resumes; resolving drops it."""
    life = Life(Priority.HIGH)
    life.written("agent", START)
    life.moved(Status.AWAITING_USER, START + HOUR)
    life.written("submitter", START + 50 * HOUR)
    asked = life.target(TargetKind.NEXT_RESPONSE)
    assert asked is not None
    assert (asked.state, asked.due_at) == (TargetState.PAUSED, START + 54 * HOUR)
    life.moved(Status.IN_PROGRESS, START + 51 * HOUR)
    asked = life.target(TargetKind.NEXT_RESPONSE)
    assert asked is not None
    assert (asked.state, asked.due_at) == (TargetState.RUNNING, START + 55 * HOUR)
    assert life.clock.paused(asked) == HOUR
    life.moved(Status.RESOLVED, START + 52 * HOUR)
    asked = life.target(TargetKind.NEXT_RESPONSE)
    assert asked is not None
    assert asked.state is TargetState.CANCELLED
    life.until(START + 99 * HOUR)
    assert life.about(TargetKind.NEXT_RESPONSE) == []


def test_an_answer_in_time_that_is_heard_late_takes_the_breach_back() -> None:
    """As for the first response."""
    life = Life(Priority.HIGH)
    life.written("agent", START)
    life.written("submitter", START + HOUR)
    life.until(START + 5 * HOUR)
    life.written("agent", START + 4 * HOUR)
    assert names(life.about(TargetKind.NEXT_RESPONSE)) == [
        "TargetAtRisk",
        "TargetBreached",
        "BreachRetracted",
        "TargetMet",
    ]


def test_news_is_due_every_so_often() -> None:
    """Each public word of an agent and each move begins the wait anew, a release does not."""
    life = Life(Priority.MEDIUM)
    life.moved(Status.IN_PROGRESS, START + 2 * HOUR)
    life.written("submitter", START + 3 * HOUR)
    update = life.target(TargetKind.UPDATE)
    assert update is not None
    assert update.due_at == START + 10 * HOUR
    life.until(START + 11 * HOUR)
    life.written("agent", START + 12 * HOUR)
    life.moved(Status.PENDING, START + 13 * HOUR)
    update = life.target(TargetKind.UPDATE)
    assert update is not None
    assert update.due_at == START + 20 * HOUR
    assert names(life.about(TargetKind.UPDATE)) == [
        "TargetMet",
        "TargetAtRisk",
        "TargetBreached",
        "TargetMet",
    ]


def test_a_policy_without_them_gives_them_up() -> None:
    """Another priority that has no such target ends an open one silently."""
    life = Life(Priority.HIGH)
    life.written("agent", START)
    life.written("submitter", START + HOUR)
    life.edited(Priority.LOW, START + 2 * HOUR)
    asked = life.target(TargetKind.NEXT_RESPONSE)
    assert asked is not None
    assert asked.state is TargetState.CANCELLED
    life.until(START + 20 * HOUR)
    assert life.about(TargetKind.NEXT_RESPONSE) == []


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["agent", "submitter", "await", "work", "release", "resolve", "edit", "close", "undo"]
        ),
        st.integers(0, 300),
        st.integers(0, 3),
    ),
    max_size=16,
)


@given(STEPS, st.lists(st.integers(0, 5000), max_size=16))
@settings(max_examples=1500, deadline=None)
def test_every_round_has_one_story(steps: list[Step], delays: list[int]) -> None:
    """Warned of with rising shares, then breached or met; taken back only after a breach."""
    life, at = Life(Priority.URGENT), START
    for number, (step, minutes, which) in enumerate(steps):
        at += timedelta(minutes=minutes)
        late = timedelta(minutes=delays[number] if number < len(delays) else 0)
        status = life.ticket.status
        life.until(at + late)
        before = len(life.said)
        if status is Status.CLOSED:
            if step == "undo":
                life.undone(at)
            else:
                life._tell(at)
                assert life.said[before:] == []
        elif step in ("agent", "submitter"):
            life.written(step, at)
        elif step == "edit":
            life.edited(list(Priority)[which], at)
        elif step == "await" and status is Status.IN_PROGRESS:
            life.moved(Status.AWAITING_USER, at)
        elif step == "work" and status is not Status.IN_PROGRESS:
            life.moved(Status.IN_PROGRESS, at)
        elif step == "release" and status is Status.IN_PROGRESS:
            life.moved(Status.PENDING, at)
        elif step == "resolve" and status is not Status.RESOLVED:
            life.moved(Status.RESOLVED, at)
        elif step == "close":
            life.moved(Status.CLOSED, at)
    life.until(life.now + 50 * HOUR)
    for kind in (TargetKind.NEXT_RESPONSE, TargetKind.UPDATE):
        breach: TargetBreached | None = None
        for telling in life.about(kind):
            match telling:
                case TargetBreached():
                    # A solution drops an open question, breached or not: then this is another.
                    assert breach is None or breach.at < telling.at
                    assert telling.at <= telling.detected_at
                    breach = telling
                case BreachRetracted():
                    assert breach is not None
                    assert telling.breach_event_id == breach.id
                    breach = None
                case TargetMet():
                    assert breach is None or telling.late or breach.at < telling.due_at
                    assert breach is not None or not telling.late
                    breach = None
                case TargetAtRisk():
                    assert telling.share in Rules().shares
