"""Clocks with all that belongs to them: a batch is read and written by one statement a table.

A clock's row is the lock of all that belongs to it: whoever changes segments, targets or timers
holds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.events import TraceContext

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ledger import Segment
from waybill_sla.domain.ticket import Repetition, SourceEvent, Ticket, Wait
from waybill_sla.domain.timing import Alarm, Timer
from waybill_sla.domain.words import (
    FollowUp,
    Level,
    Priority,
    Status,
    TargetKind,
    TargetState,
    TimerKind,
)

_FOLLOW_UPS = frozenset(kind.value for kind in FollowUp)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A clock as it was read, with its timers."""

    clock: Clock
    timers: tuple[Timer, ...] = ()


_STUBS = text(
    """
    INSERT INTO clocks (ticket_id)
    SELECT id FROM unnest(CAST(:ids AS uuid[])) AS i (id) ORDER BY id
    ON CONFLICT DO NOTHING
    """
)

_CLOCKS = "SELECT c.* FROM clocks AS c WHERE c.ticket_id = ANY (CAST(:ids AS uuid[]))"
_LOCK = text(f"{_CLOCKS} ORDER BY c.ticket_id FOR UPDATE")
_READ = text(f"{_CLOCKS} ORDER BY c.ticket_id")

# A timer that somebody has is his for now; a clock that a consumer has is left to the next round,
# for to wait for it while holding timers would be a deadlock.
_CLAIM = text(
    """
    WITH due AS (
        SELECT ticket_id FROM timers WHERE due_at <= :until
        ORDER BY due_at, id LIMIT :most FOR UPDATE SKIP LOCKED)
    SELECT c.* FROM clocks AS c WHERE c.ticket_id IN (SELECT ticket_id FROM due)
    FOR UPDATE OF c SKIP LOCKED
    """
)

_NEXT_DUE = text("SELECT min(due_at) FROM timers")

_SEGMENTS = text(
    """
    SELECT ticket_id, status, started_at, ended_at, event_id FROM segments
    WHERE ticket_id = ANY (CAST(:ids AS uuid[])) ORDER BY ticket_id, position
    """
)

_TARGETS = text(
    """
    SELECT ticket_id, kind, state, allowed, due_at, stopped_at, breached_at, breach_event_id,
           warned_share
    FROM targets WHERE ticket_id = ANY (CAST(:ids AS uuid[])) ORDER BY ticket_id, kind
    """
)

_TIMERS = text(
    """
    SELECT id, ticket_id, kind, name, share, due_at, stamp, armed_at, traceparent, tracestate
    FROM timers WHERE ticket_id = ANY (CAST(:ids AS uuid[]))
    """
)

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


_PICTURE = (
    "number",
    "product",
    "type",
    "priority",
    "status",
    "created_at",
    "status_since",
    "episode",
    "episode_since",
    "first_response_at",
    "resolved_at",
    "reopened_at",
    "reopenings",
    "submitter_id",
    "submitter_email",
    "tier",
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
)
_PUT_CLOCKS = _Table(
    "clocks",
    ("ticket_id",),
    (
        *_PICTURE,
        "intake_sequence",
        "unassigned_since",
        "routing_sequence",
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


async def lock(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Loaded]:
    """The clocks of these tickets, locked; a ticket nobody has spoken of gets a stub."""
    ordered = sorted(set(ids))
    locked = (await connection.execute(_LOCK, {"ids": ordered})).all()
    if len(locked) < len(ordered):
        known = {row.ticket_id for row in locked}
        await connection.execute(_STUBS, {"ids": [id for id in ordered if id not in known]})
        locked = (await connection.execute(_LOCK, {"ids": ordered})).all()
    return await _complete(connection, locked)


async def claim(connection: AsyncConnection, until: datetime, most: int) -> dict[UUID, Loaded]:
    """The clocks with timers due at `until` that nobody else has at hand, locked."""
    rows = (await connection.execute(_CLAIM, {"until": until, "most": most})).all()
    return await _complete(connection, rows) if rows else {}


async def next_due(connection: AsyncConnection) -> datetime | None:
    """When the next timer comes due."""
    moment: datetime | None = (await connection.execute(_NEXT_DUE)).scalar_one()
    return moment


async def clocks(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Clock]:
    """The clocks of these tickets, stubs included; unknown tickets are left out."""
    rows = (await connection.execute(_READ, {"ids": sorted(set(ids))})).all()
    return {id: loaded.clock for id, loaded in (await _complete(connection, rows)).items()}


async def _complete(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, Loaded]:
    ids = {"ids": [row.ticket_id for row in rows]}
    segments: dict[UUID, list[Segment]] = {}
    for row in (await connection.execute(_SEGMENTS, ids)).all():
        segments.setdefault(row.ticket_id, []).append(
            Segment(Status(row.status), row.started_at, row.ended_at, row.event_id)
        )
    targets: dict[UUID, list[Target]] = {}
    for row in (await connection.execute(_TARGETS, ids)).all():
        targets.setdefault(row.ticket_id, []).append(_target(row))
    timers: dict[UUID, list[Timer]] = {}
    for row in (await connection.execute(_TIMERS, ids)).all():
        timers.setdefault(row.ticket_id, []).append(_timer(row))
    return {
        row.ticket_id: Loaded(
            _clock(
                row,
                tuple(segments.get(row.ticket_id, ())),
                # Response before resolution, as everywhere.
                tuple(reversed(targets.get(row.ticket_id, ()))),
            ),
            tuple(timers.get(row.ticket_id, ())),
        )
        for row in rows
    }


def _target(row: Row[Any]) -> Target:
    return Target(
        TargetKind(row.kind),
        TargetState(row.state),
        row.allowed,
        row.due_at,
        row.stopped_at,
        row.breached_at,
        row.breach_event_id,
        row.warned_share,
    )


def _timer(row: Row[Any]) -> Timer:
    kind = FollowUp(row.kind) if row.kind in _FOLLOW_UPS else TimerKind(row.kind)
    return Timer(
        row.id,
        row.ticket_id,
        Alarm(kind, row.name, row.share, row.due_at, row.stamp),
        row.armed_at,
        TraceContext(row.traceparent, row.tracestate),
    )


def _clock(row: Row[Any], segments: tuple[Segment, ...], targets: tuple[Target, ...]) -> Clock:
    return Clock(
        ticket_id=row.ticket_id,
        ticket=_ticket(row) if row.intake_sequence is not None else None,
        wait=Wait(row.unassigned_since, row.routing_sequence)
        if row.routing_sequence is not None
        else None,
        repetition=Repetition(row.repeated_count, SourceEvent(**row.repeated_by))
        if row.repeated_count is not None
        else None,
        policy_id=row.policy_id,
        policy_version=row.policy_version or 0,
        segments=segments,
        targets=targets,
        level=Level(row.level),
        fired=frozenset(row.fired),
        followed_up=frozenset(row.followed_up),
        dated=row.dated,
        version=row.version,
        updated_at=row.updated_at,
    )


def _ticket(row: Row[Any]) -> Ticket:
    facts = {name: getattr(row, name) for name in _PICTURE}
    return Ticket(
        **facts
        | {
            "id": row.ticket_id,
            "priority": Priority(row.priority),
            "status": Status(row.status),
            "sequence": row.intake_sequence,
        }
    )


@dataclass(frozen=True, slots=True)
class Changed:
    """A clock that was changed, with what to arm and disarm."""

    before: Clock
    after: Clock
    arm: Sequence[Timer] = ()
    disarm: Sequence[UUID] = ()


async def save(connection: AsyncConnection, changes: Sequence[Changed]) -> None:
    """Write what has changed."""
    await _put(
        connection,
        _PUT_CLOCKS,
        [_clock_row(change.after) for change in changes if change.after != change.before],
    )
    await _put(
        connection,
        _PUT_SEGMENTS,
        [
            {
                "ticket_id": change.after.ticket_id,
                "position": position,
                "status": part.status,
                "started_at": part.started_at,
                "ended_at": part.ended_at,
                "event_id": part.event_id,
            }
            for change in changes
            for position, part in enumerate(change.after.segments)
            if part not in change.before.segments[position : position + 1]
        ],
    )
    await _put(
        connection,
        _PUT_TARGETS,
        [
            _target_row(change.after.ticket_id, target)
            for change in changes
            for target in change.after.targets
            if target not in change.before.targets
        ],
    )
    if gone := [id for change in changes for id in change.disarm]:
        await connection.execute(_DISARM, {"ids": gone})
    await _put(
        connection, _PUT_TIMERS, [_timer_row(timer) for change in changes for timer in change.arm]
    )


async def _put(
    connection: AsyncConnection, statement: Any, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        body = to_json(rows, timedelta_mode="iso8601").decode()
        await connection.execute(statement, {"rows": body})


def _clock_row(clock: Clock) -> dict[str, Any]:
    ticket = clock.ticket
    row = {name: getattr(ticket, name) for name in _PICTURE} if ticket else {}
    return row | {
        "ticket_id": clock.ticket_id,
        "intake_sequence": ticket and ticket.sequence,
        "unassigned_since": clock.wait and clock.wait.unassigned_since,
        "routing_sequence": clock.wait and clock.wait.sequence,
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
