"""Why a target was breached: a pure function of the ledger and of who had the ticket."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill_sla.domain.ledger import ALWAYS, Segment
from waybill_sla.domain.report import (
    Cause,
    Holding,
    Judgement,
    Staffing,
    TermChange,
    Verdict,
    joined,
    judge,
)
from waybill_sla.domain.words import Status, TargetKind

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    return START + hours * HOUR


def verdict(**more: Any) -> Verdict:
    """A target of ten hours that was breached."""
    facts: dict[str, Any] = {
        "ticket_id": UUID(int=1),
        "kind": TargetKind.RESOLUTION,
        "round": 0,
        "started_at": START,
        "allowed": 10 * HOUR,
        "due_at": at(10),
        "stopped_at": None,
        "breached": True,
        "calendar": ALWAYS,
    }
    return Verdict(**(facts | more))


RUNNING = (Segment(Status.PENDING, START, None, "opened"),)
ASKED_LATE = (
    Segment(Status.IN_PROGRESS, START, at(8), "opened"),
    Segment(Status.AWAITING_USER, at(8), at(20), "asked"),
    Segment(Status.IN_PROGRESS, at(20), None, "answered"),
)
ANA = Holding(at(1), "support", "ana@example.com")
QUEUED = Holding(START, "support", None)


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ({"holdings": [QUEUED, Holding(at(6), "support", "ana@example.com")]}, "waited_in_queue"),
        ({"holdings": []}, "waited_in_queue"),
        ({"holdings": [QUEUED, ANA]}, "waited_for_agent"),
        (
            {"holdings": [ANA, Holding(at(3), "tech", None), Holding(at(6), "support", None)]},
            "bounced_between_teams",
        ),
        ({"holdings": [ANA, Holding(at(6), "tech", None)]}, "waited_for_agent"),
        (
            {"holdings": [ANA], "segments": ASKED_LATE, "verdict": verdict(due_at=at(22))},
            "paused_late",
        ),
        (
            {
                "holdings": [QUEUED],
                "staffing": Staffing(teams={"support": [(at(0), at(4))], "tech": []}),
            },
            "outside_staffing",
        ),
        (
            {
                "holdings": [QUEUED, ANA],
                "staffing": Staffing(agents={"ana@example.com": [(at(0), at(2))]}),
            },
            "outside_staffing",
        ),
        (
            {"holdings": [ANA], "changes": [TermChange(at(48), at(10))]},
            "policy_changed",
        ),
        (
            {
                "holdings": [ANA],
                "changes": [TermChange(at(12), at(10))],
                "verdict": verdict(stopped_at=at(11)),
            },
            "policy_changed",
        ),
        ({"holdings": [ANA], "changes": [TermChange(at(12), at(10))]}, "waited_for_agent"),
    ],
)
def test_each_cause_has_a_reason_of_its_own(case: dict[str, Any], cause: str) -> None:
    """The first that holds of the special ones, else where most of the time was spent."""
    found = judge(
        case.get("verdict", verdict()),
        case.get("segments", RUNNING),
        case["holdings"],
        case.get("changes", ()),
        case.get("staffing", Staffing()),
    )
    assert found.cause == cause


def test_the_evidence_adds_up_to_the_time_that_there_was() -> None:
    """In the queue and with agents, pauses left out; with what else is known."""
    found = judge(
        verdict(due_at=at(22)),
        ASKED_LATE,
        [QUEUED, ANA, Holding(at(21), "tech", None)],
        (),
        Staffing(teams={"support": joined([(at(0), at(0.25)), (at(0.25), at(0.5))])}),
    )
    evidence = found.evidence
    assert evidence is not None
    assert evidence.waited_in_queue == 2 * HOUR
    assert evidence.waited_for_agent == 8 * HOUR
    assert evidence.outside_staffing == HOUR / 2
    assert (evidence.team_changes, evidence.before_last_team) == (1, 9 * HOUR)
    assert (evidence.first_pause_share, evidence.late_pauses) == (0.8, 1)


def test_who_had_it_when_it_was_decided_is_responsible() -> None:
    """At the deadline for a breach, at the end for what was met, whatever came after."""
    later = Holding(at(12), "tech", "ben@example.com")
    found = judge(verdict(stopped_at=at(14)), RUNNING, [ANA, later])
    assert (found.team, found.agent) == ("support", "ana@example.com")
    met = judge(verdict(breached=False, stopped_at=at(0.5)), RUNNING, [QUEUED, ANA])
    assert met == Judgement(met.verdict, "support", None)
    assert judge(verdict(), RUNNING, []).cause is Cause.WAITED_IN_QUEUE
