"""How what has changed is written: a batch at once, as one JSON text a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.store import outcomes, watching
from waybill_sla.store.clocks import PICTURE, Timer

_DISARM = text("DELETE FROM timers WHERE id = ANY (CAST(:ids AS uuid[]))")


class _Table(NamedTuple):
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def upsert(self) -> Any:
        """A whole batch as one JSON text; its keys are the columns."""
        columns = ", ".join((*self.key, *self.columns))
        changes = ", ".join(f"{column} = excluded.{column}" for column in self.columns)
        return text(
            f"INSERT INTO {self.name} ({columns}) SELECT {columns}"
            f" FROM json_populate_recordset(CAST(NULL AS {self.name}), CAST(:rows AS json))"
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changes}"
        )


_OWN = (
    "policy_id",
    "policy_version",
    "level",
    "fired",
    "followed_up",
    "dated",
    "version",
    "updated_at",
    "erased",
    "calendar_id",
    "calendar_version",
    "earlier_lines",
    "earlier_stood",
    "earlier_paused_since",
    "earlier_resolved_at",
    "dated_at",
    "datings",
)
_PUT_CLOCKS = _Table(
    "clocks",
    ("ticket_id",),
    (
        *PICTURE,
        "intake_sequence",
        "unassigned_since",
        "routing_sequence",
        "team",
        "agent",
        "repeated_count",
        "repeated_by",
        "state",
        *_OWN,
    ),
).upsert()
_PUT_SEGMENTS = _Table(
    "segments", ("ticket_id", "position"), ("status", "started_at", "ended_at", "event_id")
).upsert()
_PUT_TARGETS = _Table(
    "targets",
    ("ticket_id", "kind"),
    (
        "state",
        "allowed",
        "due_at",
        "stopped_at",
        "breached_at",
        "breach_event_id",
        "warned_share",
        "calendar_id",
        "calendar_version",
        "started_at",
        "round",
        "dropped_at",
        "reopening",
        "ran",
        "stood",
    ),
).upsert()
_PUT_DATINGS = _Table(
    "datings",
    ("ticket_id", "at", "position"),
    (
        "reason",
        "event_id",
        "policy_id",
        "policy_version",
        "calendar_id",
        "calendar_version",
        "priority",
        "type",
    ),
).upsert()
_PUT_TIMERS = _Table(
    "timers",
    ("id",),
    (
        "ticket_id",
        "kind",
        "name",
        "share",
        "due_at",
        "stamp",
        "armed_at",
        "traceparent",
        "tracestate",
    ),
).upsert()


@dataclass(frozen=True, slots=True)
class Changed:
    """A clock that was changed, with what to arm and disarm."""

    before: Clock
    after: Clock
    arm: Sequence[Timer] = ()
    disarm: Sequence[UUID] = ()


async def save(connection: AsyncConnection, changes: Sequence[Changed]) -> None:
    """Write what has changed."""
    kept = [(change.before, change.after, change.after.folded()) for change in changes]
    await _put(
        connection,
        _PUT_CLOCKS,
        [_clock_row(folded) for before, _, folded in kept if folded != before],
    )
    await _put(
        connection,
        _PUT_SEGMENTS,
        [row for before, after, _ in kept for row in _segment_rows(before, after)],
    )
    await _put(
        connection,
        _PUT_TARGETS,
        [
            _target_row(folded.ticket_id, target)
            for before, _, folded in kept
            for target in folded.targets
            if target not in before.targets
        ],
    )
    await _put(
        connection,
        _PUT_DATINGS,
        [
            {"ticket_id": after.ticket_id, "position": position, **asdict(dating)}
            for _, after, _ in kept
            for position, dating in enumerate(after.datings, after.datings_before)
        ],
    )
    if gone := [id for change in changes for id in change.disarm]:
        await connection.execute(_DISARM, {"ids": gone})
    await _put(
        connection, _PUT_TIMERS, [_timer_row(timer) for change in changes for timer in change.arm]
    )
    both = [(change.before, change.after) for change in changes]
    await outcomes.keep(connection, both)
    await watching.keep(connection, both)


async def _put(
    connection: AsyncConnection, statement: Any, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        body = to_json(rows, timedelta_mode="iso8601").decode()
        await connection.execute(statement, {"rows": body})


def _segment_rows(before: Clock, after: Clock) -> list[dict[str, Any]]:
    """The lines that are new or over; those before what was read stay as they are."""
    known = dict(enumerate(before.segments, before.earlier.lines))
    return [
        {
            "ticket_id": after.ticket_id,
            "position": position,
            "status": part.status,
            "started_at": part.started_at,
            "ended_at": part.ended_at,
            "event_id": part.event_id,
        }
        for position, part in enumerate(after.segments, after.earlier.lines)
        if position >= before.earlier.lines and part != known.get(position)
    ]


def _clock_row(clock: Clock) -> dict[str, Any]:
    ticket = clock.ticket
    row = {name: getattr(ticket, name) for name in PICTURE} if ticket else {}
    return row | {
        "ticket_id": clock.ticket_id,
        "intake_sequence": ticket and ticket.sequence,
        "unassigned_since": clock.wait and clock.wait.unassigned_since,
        "routing_sequence": clock.wait and clock.wait.sequence,
        "team": clock.wait and clock.wait.team,
        "agent": clock.wait and clock.wait.agent,
        "repeated_count": clock.repetition and clock.repetition.count,
        "repeated_by": clock.repetition and clock.repetition.event,
        "state": clock.state if clock.segments else None,
        "policy_id": clock.policy_id,
        "policy_version": clock.policy_version,
        "level": int(clock.level),
        "fired": sorted(clock.fired),
        "followed_up": sorted(clock.followed_up),
        "dated": clock.dated,
        "version": clock.version,
        "updated_at": clock.updated_at,
        "erased": clock.erased,
        "calendar_id": clock.calendar.id,
        "calendar_version": clock.calendar.version,
        "earlier_lines": clock.earlier.lines,
        "earlier_stood": clock.earlier.stood,
        "earlier_paused_since": clock.earlier.paused_since,
        "earlier_resolved_at": clock.earlier.resolved_at,
        "dated_at": clock.dated_at,
        "datings": clock.datings_before + len(clock.datings),
    }


def _target_row(ticket_id: UUID, target: Target) -> dict[str, Any]:
    return {
        "ticket_id": ticket_id,
        "kind": target.kind,
        "state": target.state,
        "allowed": target.allowed,
        "due_at": target.due_at,
        "stopped_at": target.stopped_at,
        "breached_at": target.breached_at,
        "breach_event_id": target.breach_event_id,
        "warned_share": target.warned_share,
        "calendar_id": target.calendar.id,
        "calendar_version": target.calendar.version,
        "started_at": target.started_at,
        "round": target.round,
        "dropped_at": target.dropped_at,
        "reopening": target.reopening,
        "ran": target.ran,
        "stood": target.stood,
    }


def _timer_row(timer: Timer) -> dict[str, Any]:
    alarm = timer.alarm
    return {
        "id": timer.id,
        "ticket_id": timer.ticket_id,
        "kind": alarm.kind,
        "name": alarm.name,
        "share": alarm.share,
        "due_at": alarm.due_at,
        "stamp": alarm.stamp,
        "armed_at": timer.armed_at,
        "traceparent": timer.armed_by.traceparent,
        "tracestate": timer.armed_by.tracestate,
    }
