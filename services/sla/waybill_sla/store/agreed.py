"""What was agreed: policies and the ladder."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.policy import Agreement, Ladder, Policies, Policy, Rules, Rung, Targets
from waybill_sla.domain.words import Level, Priority, TargetKind, Trigger
from waybill_sla.store.calendars import known

_POLICIES = text(
    """
    SELECT p.id, v.version, p.name, v.targets, p.version = v.version AND NOT p.removed AS current,
           p.product, p.type, p.priority, p.tier, p.tag, v.ladder,
           v.calendar, c.id AS calendar_id, c.version AS calendar_version
    FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
        JOIN calendars AS c ON c.name = v.calendar
    ORDER BY p.name, v.version DESC
    """
)

_STAMP = text(
    """
    SELECT (SELECT version FROM settings WHERE scope = :scope) AS agreed,
        (SELECT sum(version) FROM calendars) AS calendars,
        (SELECT count(*) FROM calendars WHERE removed) AS removed
    """
)

Stamp = tuple[int | None, int, int]
"""Another one means that something was changed."""

_LADDERS = text("SELECT name, rungs FROM ladders WHERE NOT removed")

_DURATIONS: TypeAdapter[Targets] = TypeAdapter(dict[Priority, dict[TargetKind, timedelta]])
_WAIT: TypeAdapter[timedelta | None] = TypeAdapter(timedelta | None)


async def stamp(connection: AsyncConnection, scope: str) -> Stamp:
    """What has the same value only if policies, ladders and calendars are the same.

    The version of the settings of `scope` tells of policies and ladders.
    """
    row = (await connection.execute(_STAMP, {"scope": scope})).one()
    return row.agreed, row.calendars, row.removed


async def policies(connection: AsyncConnection) -> list[Policy]:
    """All versions of all policies, those of one name together, newest first."""
    return [policy_of(row) for row in (await connection.execute(_POLICIES)).all()]


def policy_of(row: Any) -> Policy:
    """A version of a policy from its row."""
    return Policy(
        id=row.id,
        version=row.version,
        name=row.name,
        targets=_DURATIONS.validate_python(row.targets),
        current=row.current,
        product=row.product,
        type=row.type,
        priority=row.priority and Priority(row.priority),
        tier=row.tier,
        tag=row.tag,
        ladder=row.ladder,
        calendar=row.calendar,
    )


async def ladders(connection: AsyncConnection) -> dict[str, Ladder]:
    """All escalation ladders by name."""
    rows = (await connection.execute(_LADDERS)).all()
    return {row.name: rungs_of(row.rungs) for row in rows}


def rungs_of(rungs: Iterable[Mapping[str, Any]]) -> Ladder:
    """A ladder as it is kept; what a rung does not ask for is null or left out."""
    return tuple(
        Rung(
            name=rung["name"],
            trigger=Trigger(rung["trigger"]),
            level=Level[rung["level"].upper()],
            target=TargetKind(rung["target"]) if rung.get("target") else None,
            priority=Priority(rung["priority"]) if rung.get("priority") else None,
            type=rung.get("type"),
            share=rung.get("share"),
            after=_WAIT.validate_python(rung.get("after")),
            count=rung.get("count"),
            teams=tuple(rung.get("teams") or ()),
        )
        for rung in rungs
    )


async def agreement(connection: AsyncConnection, rules: Rules) -> Agreement:
    """All that decides what a fact means."""
    rows = (await connection.execute(_POLICIES)).all()
    keys = {row.calendar: (row.calendar_id, row.calendar_version) for row in rows}
    made = await known(connection, keys.values())
    named = await ladders(connection)
    return Agreement(
        Policies(policy_of(row) for row in rows),
        named["default"],
        rules,
        {name: made[key] for name, key in keys.items()},
        named,
    )
