"""Decided targets as reports count them, written in the transaction that decides them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ledger import LookedBack
from waybill_sla.domain.report import Evidence, Judgement, TermChange, Verdict, judge, verdicts
from waybill_sla.domain.words import TargetKind
from waybill_sla.store.calendars import known
from waybill_sla.store.holdings import holdings, staffing
from waybill_sla.store.ledgers import whole

Key = tuple[UUID, str, int]
"""Of which ticket, which target, and which question of it."""

EVIDENCE = TypeAdapter(Evidence)

_PUT = text(
    """
    INSERT INTO outcomes
    SELECT * FROM json_populate_recordset(NULL::outcomes, CAST(:rows AS json))
    ON CONFLICT (ticket_id, kind, round) DO UPDATE SET
        started_at = excluded.started_at, allowed = excluded.allowed, due_at = excluded.due_at,
        stopped_at = excluded.stopped_at, breached = excluded.breached,
        calendar_id = excluded.calendar_id, calendar_version = excluded.calendar_version,
        product = excluded.product, type = excluded.type, priority = excluded.priority,
        team = excluded.team, agent = excluded.agent,
        cause = excluded.cause, evidence = excluded.evidence
    """
)
_TAKE_BACK = text(
    """
    DELETE FROM outcomes AS o
    USING json_to_recordset(CAST(:keys AS json)) AS k (ticket_id uuid, kind text, round integer)
    WHERE (o.ticket_id, o.kind, o.round) = (k.ticket_id, k.kind, k.round)
    """
)
_NAME_ANEW = text(
    """
    UPDATE outcomes AS o SET product = n.product, type = n.type, priority = n.priority
    FROM json_to_recordset(CAST(:tickets AS json)) AS n (
        id uuid, product text, type text, priority text)
    WHERE o.ticket_id = n.id
      AND (o.product, o.type, o.priority) IS DISTINCT FROM (n.product, n.type, n.priority)
    """
)
_OF = text(
    """
    SELECT ticket_id, kind, round, started_at, allowed, due_at, stopped_at, breached,
           calendar_id, calendar_version
    FROM outcomes WHERE ticket_id = ANY (CAST(:ids AS uuid[]))
    """
)
_PUT_CHANGES = text(
    """
    INSERT INTO term_changes
    SELECT * FROM json_populate_recordset(NULL::term_changes, CAST(:rows AS json))
    ON CONFLICT DO NOTHING
    """
)
_CHANGES = text(
    """
    SELECT ticket_id, kind, round, due_before, due_after FROM term_changes
    WHERE ticket_id = ANY (CAST(:ids AS uuid[])) ORDER BY ticket_id, at
    """
)


async def keep(connection: AsyncConnection, changes: Sequence[tuple[Clock, Clock]]) -> None:
    """Count what has been decided from the first to the second of each two clocks, and what not.

    A retracted breach counts no more; those of earlier questions stay.
    """
    await _keep_term_changes(connection, changes)
    decided: list[tuple[Clock, Verdict]] = []
    gone: list[Key] = []
    renamed: list[dict[str, Any]] = []
    for before, after in changes:
        had = {_key(one): one for one in verdicts(before)}
        has = {_key(one): one for one in verdicts(after)}
        decided += [(after, one) for key, one in has.items() if had.get(key) != one]
        gone += [key for key, one in had.items() if key not in has and not _stays(one, after)]
        if before.ticket is not None and _labels(before) != _labels(after):
            renamed.append({"id": after.ticket_id, **_labels(after)})
    if gone:
        await connection.execute(_TAKE_BACK, {"keys": _keys(gone)})
    if renamed:
        await connection.execute(_NAME_ANEW, {"tickets": to_json(renamed).decode()})
    await _put(connection, decided)


async def judge_anew(connection: AsyncConnection, clocks: Collection[Clock]) -> None:
    """Decide these clocks' targets again from all that is known now, those of the past too."""
    ids = [clock.ticket_id for clock in clocks]
    kept = (await connection.execute(_OF, {"ids": ids})).all()
    calendars = await known(connection, ((row.calendar_id, row.calendar_version) for row in kept))
    past: dict[UUID, list[Verdict]] = {}
    for row in kept:
        calendar = calendars[row.calendar_id, row.calendar_version]
        past.setdefault(row.ticket_id, []).append(
            Verdict(
                row.ticket_id,
                TargetKind(row.kind),
                row.round,
                row.started_at,
                row.allowed,
                row.due_at,
                row.stopped_at,
                row.breached,
                calendar,
            )
        )
    decided: list[tuple[Clock, Verdict]] = []
    gone: list[Key] = []
    for clock in clocks:
        now = {_key(one): one for one in verdicts(clock)}
        for one in past.get(clock.ticket_id, ()):
            if _stays(one, clock):
                now.setdefault(_key(one), one)
            elif _key(one) not in now:
                gone.append(_key(one))
        decided += [(clock, one) for one in now.values()]
    if gone:
        await connection.execute(_TAKE_BACK, {"keys": _keys(gone)})
    await _put(connection, decided)


async def _put(connection: AsyncConnection, decided: Sequence[tuple[Clock, Verdict]]) -> None:
    if not decided:
        return
    held = await holdings(connection, {clock.ticket_id for clock, _ in decided})
    breaches = [one for _, one in decided if one.breached]
    changed = await _term_changes(connection, {one.ticket_id for one in breaches})
    wholes = await whole(connection, [clock for clock, one in decided if one.breached])
    staffed = await staffing(
        connection,
        [one for breach in breaches for one in held.get(breach.ticket_id, ())],
        min((one.started_at for one in breaches), default=None),
        max((one.due_at for one in breaches), default=None),
    )
    rows = [
        _row(
            clock,
            judge(
                one,
                wholes.get(clock.ticket_id, clock).segments,
                held.get(one.ticket_id, ()),
                changed.get(_key(one), ()),
                staffed,
            ),
        )
        for clock, one in decided
    ]
    body = to_json(rows, timedelta_mode="iso8601").decode()
    await connection.execute(_PUT, {"rows": body})


async def _keep_term_changes(
    connection: AsyncConnection, changes: Iterable[tuple[Clock, Clock]]
) -> None:
    rows = [
        {
            "ticket_id": after.ticket_id,
            "kind": new.kind,
            "round": new.round,
            "at": after.updated_at,
            "due_before": due,
            "due_after": new.due_at,
        }
        for before, after in changes
        if _terms(before) != _terms(after) and before.segments
        for new in after.targets
        for old in before.targets
        if (old.kind, old.round) == (new.kind, new.round) and old.open
        and (due := _due_by_old_terms(old, after)) != new.due_at
    ]  # fmt: skip
    if rows:
        await connection.execute(_PUT_CHANGES, {"rows": to_json(rows).decode()})


def _due_by_old_terms(old: Target, after: Clock) -> datetime:
    """When a target would be due if only what happened had changed, not what was agreed."""
    try:
        return after.deadline(old)
    except LookedBack:
        return old.due_at


async def _term_changes(
    connection: AsyncConnection, ids: Iterable[UUID]
) -> Mapping[Key, list[TermChange]]:
    found: dict[Key, list[TermChange]] = {}
    wanted = list(ids)
    if wanted:
        for row in (await connection.execute(_CHANGES, {"ids": wanted})).all():
            change = TermChange(row.due_before, row.due_after)
            found.setdefault((row.ticket_id, row.kind, row.round), []).append(change)
    return found


def _stays(one: Verdict, clock: Clock) -> bool:
    """Whether it is about an earlier question than the clock is."""
    return any(one.kind is now.kind and one.round < now.round for now in clock.targets)


def _terms(clock: Clock) -> tuple[object, ...]:
    priority = clock.ticket.priority if clock.ticket else None
    calendar = (clock.calendar.id, clock.calendar.version)
    return (clock.policy_id, clock.policy_version, calendar, priority)


def _labels(clock: Clock) -> dict[str, str]:
    ticket = clock.ticket
    assert ticket is not None
    return {"product": ticket.product, "type": ticket.type, "priority": ticket.priority.value}


def _key(one: Verdict) -> Key:
    return (one.ticket_id, one.kind.value, one.round)


def _keys(keys: Iterable[Key]) -> str:
    names = ("ticket_id", "kind", "round")
    return to_json([dict(zip(names, key, strict=True)) for key in keys]).decode()


def _row(clock: Clock, judged: Judgement) -> dict[str, Any]:
    one = judged.verdict
    return _labels(clock) | {
        "ticket_id": one.ticket_id,
        "kind": one.kind,
        "round": one.round,
        "started_at": one.started_at,
        "allowed": one.allowed,
        "due_at": one.due_at,
        "stopped_at": one.stopped_at,
        "breached": one.breached,
        "calendar_id": one.calendar.id,
        "calendar_version": one.calendar.version,
        "team": judged.team,
        "agent": judged.agent,
        "cause": judged.cause,
        "evidence": judged.evidence,
    }
