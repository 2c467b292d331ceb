"""Which targets were met and which were breached, who had the ticket then, and why it came so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ledger import NO_TIME, Calendar, Ledger
from waybill_sla.domain.words import SegmentKind, Status, TargetKind, TargetState

LATE_SHARE = 0.75
"""Who asks the submitter only when this share of the time is used up asks late."""

MOSTLY = 0.5
"""What took this share of the time is what it was mostly spent on."""

Stretch = tuple[datetime, datetime]


class Cause(StrEnum):
    """Why a target was breached."""

    POLICY_CHANGED = "policy_changed"
    OUTSIDE_STAFFING = "outside_staffing"
    BOUNCED_BETWEEN_TEAMS = "bounced_between_teams"
    PAUSED_LATE = "paused_late"
    WAITED_IN_QUEUE = "waited_in_queue"
    WAITED_FOR_AGENT = "waited_for_agent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target of a ticket that is decided: reached in time, or not."""

    ticket_id: UUID
    kind: TargetKind
    round: int
    started_at: datetime
    allowed: timedelta
    due_at: datetime
    stopped_at: datetime | None
    breached: bool
    calendar: Calendar

    @property
    def decided_at(self) -> datetime:
        """When it was: for a breach its deadline."""
        return self.due_at if self.breached or self.stopped_at is None else self.stopped_at


@dataclass(frozen=True, slots=True)
class Holding:
    """Who had a ticket from `since` on, as routing told; without an agent it waited."""

    since: datetime
    team: str
    agent: str | None


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether an agent is at work since a moment, and in which teams, as routing told."""

    agent: str
    sequence: int
    since: datetime
    at_work: bool
    teams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TermChange:
    """What another policy, calendar or priority did to the due time of a target under way."""

    due_before: datetime
    due_after: datetime


@dataclass(frozen=True, slots=True)
class Staffing:
    """When whom of a team, or the agent, was at work; whom nobody knows anything of is left out."""

    teams: Mapping[str, Sequence[Stretch]] = field(default_factory=dict)
    agents: Mapping[str, Sequence[Stretch]] = field(default_factory=dict)

    def of(self, holding: Holding) -> Sequence[Stretch] | None:
        """When those were at work who could have done something, in order; None if unknown."""
        if holding.agent is not None:
            return self.agents.get(holding.agent)
        return self.teams.get(holding.team)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the time of a breached target went; all of it is working time while the clock ran."""

    waited_in_queue: timedelta
    waited_for_agent: timedelta
    outside_staffing: timedelta | None
    """Of both: while nobody of the team, or not the agent, was at work; None if unknown."""
    team_changes: int
    before_last_team: timedelta
    """What was used up when the last of the teams got the ticket."""
    first_pause_share: float | None
    """The share that was used up when the submitter was first asked something; None if never."""
    late_pauses: int
    due_before_change: datetime | None
    """When it was due by the terms before the first change; None if they stayed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with who had the ticket at that moment and, for a breach, its cause."""

    verdict: Verdict
    team: str
    agent: str | None
    cause: Cause | None = None
    evidence: Evidence | None = None


def verdicts(clock: Clock) -> list[Verdict]:
    """All targets of a clock that are decided, those of earlier questions that it still knows."""
    if clock.ticket is None:
        return []
    return [
        _verdict(clock, target)
        for target in (*clock.past, *clock.targets)
        if target.state in (TargetState.MET, TargetState.BREACHED)
    ]


def _verdict(clock: Clock, target: Target) -> Verdict:
    return Verdict(
        clock.ticket_id,
        target.kind,
        target.round,
        target.started_at or clock.started_at,
        target.allowed,
        target.due_at,
        target.stopped_at,
        target.state is TargetState.BREACHED,
        target.calendar,
    )


def judge(
    verdict: Verdict,
    segments: Ledger,
    holdings: Sequence[Holding],
    changes: Sequence[TermChange] = (),
    staffing: Staffing = Staffing(),
) -> Judgement:
    """Who had the ticket when it was decided, and why it was breached.

    `holdings` and `changes` in the order in which they came.
    """
    had = [one for one in holdings if one.since <= verdict.decided_at]
    team, agent = (had[-1].team, had[-1].agent) if had else ("", None)
    if not verdict.breached:
        return Judgement(verdict, team, agent)
    evidence = _evidence(verdict, segments, holdings, changes, staffing)
    return Judgement(verdict, team, agent, _cause(verdict, evidence, changes), evidence)


def _cause(verdict: Verdict, found: Evidence, changes: Sequence[TermChange]) -> Cause:
    """The first that holds of what has a reason of its own; else where most time was spent."""
    total = found.waited_in_queue + found.waited_for_agent
    if _by_terms(verdict, changes):
        return Cause.POLICY_CHANGED
    if found.outside_staffing and found.outside_staffing >= total * MOSTLY:
        return Cause.OUTSIDE_STAFFING
    if found.team_changes > 1 and found.before_last_team >= total * MOSTLY:
        return Cause.BOUNCED_BETWEEN_TEAMS
    queued = found.waited_in_queue > found.waited_for_agent
    if not queued and (found.first_pause_share or 0.0) >= LATE_SHARE:
        return Cause.PAUSED_LATE
    return Cause.WAITED_IN_QUEUE if queued else Cause.WAITED_FOR_AGENT


def _by_terms(verdict: Verdict, changes: Sequence[TermChange]) -> bool:
    """Whether it is due so early by a change: it was in time before, or lost most of its time."""
    if not changes:
        return False
    before = changes[0].due_before
    lost = before - changes[-1].due_after
    in_time = verdict.stopped_at is not None and verdict.stopped_at <= before
    return lost > NO_TIME and (in_time or lost >= (before - verdict.started_at) * MOSTLY)


def _evidence(
    verdict: Verdict,
    segments: Ledger,
    holdings: Sequence[Holding],
    changes: Sequence[TermChange],
    staffing: Staffing,
) -> Evidence:
    counted = _counted(verdict, segments)
    queue = agent = away = NO_TIME
    known = False
    for stretch, holding in _shared_out(counted, holdings, verdict.due_at):
        time = stretch[1] - stretch[0]
        if holding.agent is None:
            queue += time
        else:
            agent += time
        staffed = staffing.of(holding)
        if staffed is not None:
            known = True
            away += time - _overlap(stretch, staffed)
    moves = _moves(verdict, holdings)
    pauses = [
        _used(counted, part.started_at) / verdict.allowed
        for part in segments
        if part.status is Status.AWAITING_USER
        and verdict.started_at <= part.started_at <= verdict.due_at
    ]
    return Evidence(
        waited_in_queue=queue,
        waited_for_agent=agent,
        outside_staffing=away if known else None,
        team_changes=len(moves),
        before_last_team=_used(counted, moves[-1]) if moves else NO_TIME,
        first_pause_share=round(pauses[0], 4) if pauses else None,
        late_pauses=sum(share >= LATE_SHARE for share in pauses),
        due_before_change=changes[0].due_before if changes else None,
    )


def _counted(verdict: Verdict, segments: Ledger) -> list[Stretch]:
    """The stretches of working time in which the clock ran, up to the deadline."""
    start, end = verdict.started_at, verdict.due_at
    return [
        window
        for part in segments
        if part.kind is SegmentKind.RUNNING
        for window in verdict.calendar.windows(
            max(part.started_at, start), min(part.ended_at or end, end)
        )
    ]


def _shared_out(
    counted: Sequence[Stretch], holdings: Sequence[Holding], end: datetime
) -> list[tuple[Stretch, Holding]]:
    """The stretches, cut where somebody else got the ticket; before the first nobody had it."""
    found: list[tuple[Stretch, Holding]] = []
    spans = [
        *((one.since, after.since, one) for one, after in pairwise(holdings)),
        *((one.since, end, one) for one in holdings[-1:]),
    ]
    first = holdings[0].since if holdings else end
    nobody = Holding(first, holdings[0].team if holdings else "", None)
    at = 0
    for since, till in counted:
        if since < first:
            found.append(((since, min(till, first)), nobody))
        while at < len(spans) and spans[at][1] <= since:
            at += 1
        for begins, ends, holding in map(spans.__getitem__, range(at, len(spans))):
            if begins >= till:
                break
            if (start := max(since, begins)) < (stop := min(till, ends)):
                found.append(((start, stop), holding))
    return found


def _moves(verdict: Verdict, holdings: Sequence[Holding]) -> list[datetime]:
    """When the ticket went from one team to another before the deadline."""
    found, team = [], ""
    for holding in holdings:
        if holding.since > verdict.due_at:
            break
        if team and holding.team and holding.team != team and holding.since > verdict.started_at:
            found.append(holding.since)
        team = holding.team or team
    return found


def _used(counted: Sequence[Stretch], until: datetime) -> timedelta:
    return sum((min(end, until) - start for start, end in counted if start < until), NO_TIME)


def _overlap(stretch: Stretch, others: Sequence[Stretch]) -> timedelta:
    start, end = stretch
    return sum(
        (
            min(end, till) - max(start, since)
            for since, till in others
            if since < end and start < till
        ),
        NO_TIME,
    )


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same time without overlaps, in its order."""
    found: list[Stretch] = []
    for since, till in sorted(stretches):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], till))
        else:
            found.append((since, till))
    return found
