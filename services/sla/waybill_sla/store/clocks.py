"""Clocks with all that belongs to them: a batch is read and written by one statement a table.

A clock's row is the lock of all that belongs to it: whoever changes segments, targets or timers
holds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.events import NO_TRACE, TraceContext

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ledger import Calendar, Earlier, Segment
from waybill_sla.domain.ticket import Repetition, SourceEvent, Ticket, Wait
from waybill_sla.domain.timing import Alarm
from waybill_sla.domain.words import (
    FollowUp,
    Level,
    Priority,
    Status,
    TargetKind,
    TargetState,
    TimerKind,
)
from waybill_sla.store.calendars import Key, known
from waybill_sla.store.ledgers import segment

_FOLLOW_UPS = frozenset(kind.value for kind in FollowUp)


@dataclass(frozen=True, slots=True)
class Timer:
    """An alarm that is armed: since when, by what happened then, and from where in a trace."""

    id: UUID
    ticket_id: UUID
    alarm: Alarm
    armed_at: datetime
    armed_by: TraceContext = NO_TRACE


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

_SEGMENTS = text(
    """
    SELECT s.ticket_id, s.status, s.started_at, s.ended_at, s.event_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:lines AS integer[])) AS w (id, lines)
    JOIN segments AS s ON s.ticket_id = w.id AND s.position >= w.lines
    ORDER BY s.ticket_id, s.position
    """
)

_TARGETS = text(
    """
    SELECT ticket_id, kind, state, allowed, due_at, stopped_at, breached_at, breach_event_id,
           warned_share, calendar_id, calendar_version, started_at, round, dropped_at, reopening,
           ran, stood
    FROM targets WHERE ticket_id = ANY (CAST(:ids AS uuid[])) ORDER BY ticket_id, kind
    """
)

_TIMERS = text(
    """
    SELECT id, ticket_id, kind, name, share, due_at, stamp, armed_at, traceparent, tracestate
    FROM timers WHERE ticket_id = ANY (CAST(:ids AS uuid[]))
    """
)

PICTURE = (
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
    "last_public_at",
    "last_public_by",
    "submitter_id",
    "submitter_email",
    "tier",
    "tags",
)


async def lock(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Loaded]:
    """The clocks of these tickets, locked; a ticket nobody has spoken of gets a stub."""
    ordered = sorted(set(ids))
    locked = (await connection.execute(_LOCK, {"ids": ordered})).all()
    if len(locked) < len(ordered):
        known = {row.ticket_id for row in locked}
        await connection.execute(_STUBS, {"ids": [id for id in ordered if id not in known]})
        locked = (await connection.execute(_LOCK, {"ids": ordered})).all()
    return await complete(connection, locked)


async def clocks(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Clock]:
    """The clocks of these tickets, stubs included; unknown tickets are left out."""
    rows = (await connection.execute(_READ, {"ids": sorted(set(ids))})).all()
    return {id: loaded.clock for id, loaded in (await complete(connection, rows)).items()}


async def complete(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, Loaded]:
    """Clocks with all that belongs to them, from their rows."""
    if not rows:
        return {}
    ids = {"ids": [row.ticket_id for row in rows]}
    segments: dict[UUID, list[Segment]] = {}
    lines = ids | {"lines": [row.earlier_lines for row in rows]}
    for row in (await connection.execute(_SEGMENTS, lines)).all():
        segments.setdefault(row.ticket_id, []).append(segment(row))
    targets: dict[UUID, list[Target]] = {}
    dated = (await connection.execute(_TARGETS, ids)).all()
    made = await known(
        connection, ((row.calendar_id, row.calendar_version) for row in (*rows, *dated))
    )
    for row in dated:
        targets.setdefault(row.ticket_id, []).append(_target(row, made))
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
                made,
            ),
            tuple(timers.get(row.ticket_id, ())),
        )
        for row in rows
    }


def _target(row: Row[Any], calendars: Mapping[Key, Calendar]) -> Target:
    return Target(
        TargetKind(row.kind),
        TargetState(row.state),
        row.allowed,
        row.due_at,
        row.stopped_at,
        row.breached_at,
        row.breach_event_id,
        row.warned_share,
        calendars[row.calendar_id, row.calendar_version],
        row.started_at,
        row.round,
        row.dropped_at,
        row.reopening,
        row.ran,
        row.stood,
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


def _clock(
    row: Row[Any],
    segments: tuple[Segment, ...],
    targets: tuple[Target, ...],
    calendars: Mapping[Key, Calendar],
) -> Clock:
    return Clock(
        ticket_id=row.ticket_id,
        ticket=_ticket(row) if row.intake_sequence is not None else None,
        wait=Wait(row.unassigned_since, row.routing_sequence, row.team or "", row.agent)
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
        erased=row.erased,
        calendar=calendars[row.calendar_id, row.calendar_version],
        earlier=Earlier(
            row.earlier_lines,
            row.earlier_stood,
            row.earlier_paused_since,
            row.earlier_resolved_at,
        ),
        datings_before=row.datings,
        dated_at=row.dated_at,
    )


def _ticket(row: Row[Any]) -> Ticket:
    facts = {name: getattr(row, name) for name in PICTURE}
    return Ticket(
        **facts
        | {
            "id": row.ticket_id,
            "priority": Priority(row.priority),
            "status": Status(row.status),
            "sequence": row.intake_sequence,
            "tags": tuple(row.tags or ()),
        }
    )
