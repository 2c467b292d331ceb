"""What was agreed: policies and the ladder."""

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
    SELECT p.id, v.version, p.name, v.targets, p.version = v.version AS current,
           p.product, p.type, p.priority, p.tier,
           v.calendar, c.id AS calendar_id, c.version AS calendar_version
    FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
        JOIN calendars AS c ON c.name = v.calendar
    ORDER BY p.name, v.version DESC
    """
)

_LADDER = text("SELECT rungs FROM ladders WHERE name = 'default'")

_DURATIONS: TypeAdapter[Targets] = TypeAdapter(dict[Priority, dict[TargetKind, timedelta]])
_WAIT: TypeAdapter[timedelta | None] = TypeAdapter(timedelta | None)


async def policies(connection: AsyncConnection) -> list[Policy]:
    """All versions of all policies, those of one name together, newest first."""
    return [_policy(row) for row in (await connection.execute(_POLICIES)).all()]


def _policy(row: Any) -> Policy:
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
        calendar=row.calendar,
    )


async def ladder(connection: AsyncConnection) -> Ladder:
    """The escalation ladder."""
    rungs = (await connection.execute(_LADDER)).scalar_one()
    return tuple(
        Rung(
            name=rung["name"],
            trigger=Trigger(rung["trigger"]),
            level=Level[rung["level"].upper()],
            target=TargetKind(rung["target"]) if "target" in rung else None,
            priority=Priority(rung["priority"]) if "priority" in rung else None,
            share=rung.get("share"),
            after=_WAIT.validate_python(rung.get("after")),
            count=rung.get("count"),
        )
        for rung in rungs
    )


async def agreement(connection: AsyncConnection, rules: Rules) -> Agreement:
    """All that decides what a fact means."""
    rows = (await connection.execute(_POLICIES)).all()
    keys = {row.calendar: (row.calendar_id, row.calendar_version) for row in rows}
    made = await known(connection, keys.values())
    return Agreement(
        Policies(_policy(row) for row in rows),
        await ladder(connection),
        rules,
        {name: made[key] for name, key in keys.items()},
    )
