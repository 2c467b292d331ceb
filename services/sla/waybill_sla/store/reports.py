"""Reports: decided targets counted, and the breaches one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.report import Cause, Evidence
from waybill_sla.domain.report_answers import By, Counted, Opened
from waybill_sla.domain.watching import Scope
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.store.narrowing import asked, narrowed
from waybill_sla.store.outcomes import EVIDENCE

# Counted once for the groups with their causes, and once for the intervals.
_DECIDED = """
    SELECT kind, {by} AS key, width_bucket(due_at, CAST(:marks AS timestamptz[])) AS part,
           breached, cause, count(*) AS targets, grouping(cause) AS of_parts
    FROM outcomes
    WHERE due_at >= :start AND due_at < :end AND {narrowed}
    GROUP BY GROUPING SETS ((kind, key, breached, cause), (kind, part, breached))
    """
_OPEN = """
    SELECT t.kind, {by} AS key, width_bucket(t.due_at, CAST(:marks AS timestamptz[])) AS part,
           count(*) AS targets
    FROM targets AS t JOIN clocks AS c USING (ticket_id)
    WHERE t.state IN ('running', 'at_risk', 'paused')
      AND t.due_at >= :start AND t.due_at < :end AND {narrowed}
    GROUP BY 1, 2, 3
    """
_BREACHES = text(
    f"""
    SELECT o.ticket_id, c.number, o.product, o.type, o.priority, o.kind, o.round,
           o.team, o.agent, o.started_at, o.due_at, o.stopped_at, o.allowed, o.cause, o.evidence
    FROM outcomes AS o JOIN clocks AS c USING (ticket_id)
    WHERE o.breached AND o.due_at >= :start AND o.due_at < :end AND {narrowed("o")}
      AND (CAST(:causes AS text[]) IS NULL OR o.cause = ANY (CAST(:causes AS text[])))
      AND (CAST(:after_due AS timestamptz) IS NULL
           OR (o.due_at, o.ticket_id, o.kind, o.round) < (
               CAST(:after_due AS timestamptz), CAST(:after_id AS uuid), CAST(:after_kind AS text),
               CAST(:after_round AS integer)))
    ORDER BY o.due_at DESC, o.ticket_id DESC, o.kind DESC, o.round DESC
    LIMIT :most
    """
)

Place = tuple[datetime, UUID, str, int]


@dataclass(frozen=True, slots=True)
class Breach:
    """A target that was breached, with its cause and the evidence for it; None until judged."""

    ticket_id: UUID
    number: str
    product: str
    type: str
    priority: Priority
    target: TargetKind
    round: int
    team: str
    agent: str | None
    started_at: datetime
    due_at: datetime
    stopped_at: datetime | None
    allowed: timedelta
    cause: Cause | None
    evidence: Evidence | None

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return (self.due_at, self.ticket_id, self.target.value, self.round)


async def count(
    connection: AsyncConnection, scope: Scope, by: By, marks: Sequence[int]
) -> tuple[list[Counted], list[Opened]]:
    """The decided and the open targets due between the first and the last of `marks`."""
    times = [datetime.fromtimestamp(mark, UTC) for mark in marks]
    question = {**asked(scope), "start": times[0], "end": times[-1], "marks": times[:-1]}
    decided = text(_DECIDED.format(by=by.value, narrowed=narrowed("outcomes")))
    waiting = text(_OPEN.format(by=f"c.{by.value}", narrowed=narrowed("c", kind_of="t")))
    return (
        [
            Counted(
                TargetKind(row.kind),
                None if row.of_parts else row.key or None,
                row.part - 1 if row.of_parts else None,
                row.breached,
                Cause(row.cause) if row.cause else None,
                row.targets,
            )
            for row in (await connection.execute(decided, question)).all()
        ],
        [
            Opened(TargetKind(row.kind), row.key or None, row.part - 1, row.targets)
            for row in (await connection.execute(waiting, question)).all()
        ],
    )


async def breaches(
    connection: AsyncConnection,
    scope: Scope,
    causes: Sequence[Cause],
    span: tuple[int, int],
    *,
    after: Place | None,
    most: int,
) -> list[Breach]:
    """The breaches of targets that were due in a span, the latest first."""
    due, id, kind, round = after or (None, None, None, None)
    rows = await connection.execute(
        _BREACHES,
        {
            **asked(scope),
            "causes": [cause.value for cause in causes] or None,
            "start": datetime.fromtimestamp(span[0], UTC),
            "end": datetime.fromtimestamp(span[1], UTC),
            "after_due": due,
            "after_id": id,
            "after_kind": kind,
            "after_round": round,
            "most": most,
        },
    )
    return [_breach(row) for row in rows.all()]


def _breach(row: Row[Any]) -> Breach:
    found = dict(row._mapping) | {
        "priority": Priority(row.priority),
        "target": TargetKind(row.kind),
        "cause": Cause(row.cause) if row.cause else None,
        "evidence": EVIDENCE.validate_python(row.evidence) if row.evidence else None,
    }
    del found["kind"]
    return Breach(**found)
