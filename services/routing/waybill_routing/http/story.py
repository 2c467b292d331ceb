"""Why a ticket is with whom it is: each decision in words and in numbers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from waybill_chassis.http import ResponseModel

from waybill_routing.domain import Case, Method, ReleaseReason, State, Strategy
from waybill_routing.http.models import AssigneeAnswer, AssignmentAnswer

MOST_SHOWN = 50
"""The last decisions of a ticket that are shown."""


class RuleAsked(ResponseModel):
    """The rule that led to the queue, as it was then."""

    id: UUID
    name: str
    version: int


class Candidate(ResponseModel):
    """An agent who could have had it: the score is the sum of its parts, the highest wins."""

    agent: AssigneeAnswer
    score: float
    parts: dict[str, float]


class DecisionAnswer(ResponseModel):
    """One step. `version` is that of the assignment after it.

    `strategy` and `queue_version` are there when the automation chose or found nobody; of the
    `able` ones who could have had it the best are named, the chosen one first.
    """

    version: int
    state: State
    agent: AssigneeAnswer | None
    team: str | None
    queue: str | None
    method: Method | None
    reason: ReleaseReason | None
    why: str
    cause_id: str
    rule: RuleAsked | None
    strategy: Strategy | None
    queue_version: int | None
    able: int
    candidates: list[Candidate]
    decided_at: datetime

    @classmethod
    def of(cls, row: Any, names: Mapping[UUID, str]) -> "DecisionAnswer":
        """A step as REST shows one."""
        rule = None
        if row.rule_id is not None:
            rule = RuleAsked(id=row.rule_id, name=row.rule_name, version=row.rule_version)
        return cls(
            version=row.version,
            state=State(row.state),
            agent=None if row.agent_id is None else _agent(row.agent_id, names),
            team=row.team or None,
            queue=row.queue or None,
            method=row.method,
            reason=row.reason,
            why=row.why,
            cause_id=row.cause,
            rule=rule,
            strategy=row.strategy,
            queue_version=row.queue_version,
            able=row.able,
            candidates=[
                Candidate(
                    agent=_agent(UUID(one["agent"]), names),
                    score=one["score"],
                    parts=one["parts"],
                )
                for one in row.considered
            ],
            decided_at=row.decided_at,
        )


class AssignmentStory(AssignmentAnswer):
    """Who has a ticket, since when they have it in hand, and how it came to that."""

    accepted_at: datetime | None
    decisions: list[DecisionAnswer]

    @classmethod
    def told(
        cls, case: Case, name: Any, rows: Sequence[Any], names: Mapping[UUID, str]
    ) -> "AssignmentStory":
        """The newest decision first."""
        return cls(
            **dict(AssignmentAnswer.of(case, name)),
            accepted_at=case.assignment.accepted_at,
            decisions=[DecisionAnswer.of(row, names) for row in rows],
        )


def _agent(id: UUID, names: Mapping[UUID, str]) -> AssigneeAnswer:
    return AssigneeAnswer(id=id, name=names.get(id, ""))
