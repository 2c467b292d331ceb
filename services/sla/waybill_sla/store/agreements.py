"""Policies and ladders as people write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.policy import Ladder, Policy
from waybill_sla.store.agreed import policy_of, rungs_of

_VERSIONS = text(
    """
    SELECT p.id, v.version, p.name, v.targets, p.version = v.version AND NOT p.removed AS current,
           p.product, p.type, p.priority, p.tier, p.tag, p.removed, v.calendar, v.ladder,
           v.created_at, v.created_by
    FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
    WHERE p.name = :name ORDER BY v.version DESC
    """
)
_POLICIES = text(
    """
    SELECT p.id, v.version, p.name, v.targets, true AS current,
           p.product, p.type, p.priority, p.tier, p.tag, p.removed, v.calendar, v.ladder,
           v.created_at, v.created_by
    FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id AND v.version = p.version
    WHERE NOT p.removed AND (CAST(:after AS text) IS NULL OR p.name > CAST(:after AS text))
        AND (CAST(:products AS text[]) IS NULL OR p.product IS NULL
            OR p.product = ANY (CAST(:products AS text[])))
    ORDER BY p.name LIMIT :most
    """
)
_PUT = text(
    """
    INSERT INTO policies (id, name, version, product, type, priority, tier, tag, created_at)
    VALUES (:id, :name, :version, :product, :type, :priority, :tier, :tag, :now)
    ON CONFLICT (name) DO UPDATE SET version = excluded.version, product = excluded.product,
        type = excluded.type, priority = excluded.priority, tier = excluded.tier,
        tag = excluded.tag, removed = false
    """
)
_PUT_VERSION = text(
    """
    INSERT INTO policy_versions (
        policy_id, version, targets, calendar, ladder, created_at, created_by)
    VALUES (:id, :version, CAST(:targets AS jsonb), :calendar, :ladder, :now, :by)
    """
)
_REMOVE = text("UPDATE policies SET removed = true WHERE name = :name")
_SAME = text(
    """
    SELECT name FROM policies
    WHERE NOT removed AND name <> :name AND product IS NOT DISTINCT FROM :product
        AND type IS NOT DISTINCT FROM :type AND priority IS NOT DISTINCT FROM :priority
        AND lower(tier) IS NOT DISTINCT FROM lower(:tier) AND tag IS NOT DISTINCT FROM :tag
    """
)
_CALENDARS = text("SELECT name FROM calendars WHERE NOT removed ORDER BY name")

_LADDER_FIELDS = "SELECT name, version, rungs, removed, updated_at, updated_by FROM ladders"
_LADDER = text(f"{_LADDER_FIELDS} WHERE name = :name")
_LADDERS = text(
    f"""
    {_LADDER_FIELDS}
    WHERE NOT removed AND (CAST(:after AS text) IS NULL OR name > CAST(:after AS text))
    ORDER BY name LIMIT :most
    """
)
_PUT_LADDER = text(
    """
    INSERT INTO ladders (name, version, rungs, updated_at, updated_by)
    VALUES (:name, :version, CAST(:rungs AS jsonb), :now, :by)
    ON CONFLICT (name) DO UPDATE SET version = excluded.version, rungs = excluded.rungs,
        removed = false, updated_at = excluded.updated_at, updated_by = excluded.updated_by
    """
)
_REMOVE_LADDER = text("UPDATE ladders SET removed = true WHERE name = :name")
_LADDER_USERS = text(
    """
    SELECT p.name FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
        AND v.version = p.version
    WHERE NOT p.removed AND v.ladder = :name ORDER BY p.name
    """
)


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A version of a policy, and who wrote it when."""

    policy: Policy
    removed: bool
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class KeptLadder:
    """A ladder as it stands."""

    name: str
    version: int
    rungs: Ladder
    removed: bool
    changed_at: datetime
    changed_by: str


async def policy_versions(connection: AsyncConnection, name: str) -> list[KeptPolicy]:
    """All versions of a policy, newest first, even if it was removed."""
    return [_kept(row) for row in (await connection.execute(_VERSIONS, {"name": name})).all()]


async def kept_policies(
    connection: AsyncConnection, *, products: Sequence[str] | None, after: str | None, most: int
) -> list[KeptPolicy]:
    """Those in force, by name; with `products`, those for other products are left out."""
    rows = await connection.execute(
        _POLICIES,
        {"products": None if products is None else list(products), "after": after, "most": most},
    )
    return [_kept(row) for row in rows.all()]


def _kept(row: Any) -> KeptPolicy:
    return KeptPolicy(policy_of(row), row.removed, row.created_at, row.created_by)


async def put_policy(connection: AsyncConnection, kept: KeptPolicy) -> None:
    """Keep a new version, which is the current one from now on."""
    policy = kept.policy
    await connection.execute(
        _PUT,
        _selector(policy)
        | {"now": kept.changed_at, "name": policy.name, "id": policy.id, "version": policy.version},
    )
    await connection.execute(
        _PUT_VERSION,
        {
            "id": policy.id,
            "version": policy.version,
            "targets": to_json(policy.targets, timedelta_mode="iso8601").decode(),
            "calendar": policy.calendar,
            "ladder": policy.ladder,
            "now": kept.changed_at,
            "by": kept.changed_by,
        },
    )


async def remove_policy(connection: AsyncConnection, name: str) -> None:
    """No ticket gets it from now on."""
    await connection.execute(_REMOVE, {"name": name})


async def same_selector(connection: AsyncConnection, policy: Policy) -> str | None:
    """The name of another policy that asks for the same."""
    found = await connection.execute(_SAME, _selector(policy) | {"name": policy.name})
    name: str | None = found.scalar_one_or_none()
    return name


async def calendar_names(connection: AsyncConnection) -> list[str]:
    """The calendars that may be used."""
    return list((await connection.execute(_CALENDARS)).scalars())


def _selector(policy: Policy) -> dict[str, Any]:
    return {
        "product": policy.product,
        "type": policy.type,
        "priority": policy.priority,
        "tier": policy.tier,
        "tag": policy.tag,
    }


async def ladder(connection: AsyncConnection, name: str) -> KeptLadder | None:
    """A ladder, even if it was removed."""
    row = (await connection.execute(_LADDER, {"name": name})).first()
    return None if row is None else _kept_ladder(row)


async def kept_ladders(
    connection: AsyncConnection, *, after: str | None, most: int
) -> list[KeptLadder]:
    """All that may be used, by name."""
    rows = await connection.execute(_LADDERS, {"after": after, "most": most})
    return [_kept_ladder(row) for row in rows.all()]


def _kept_ladder(row: Any) -> KeptLadder:
    return KeptLadder(
        row.name, row.version, rungs_of(row.rungs), row.removed, row.updated_at, row.updated_by
    )


async def put_ladder(connection: AsyncConnection, kept: KeptLadder) -> None:
    """Keep it as it is now."""
    rungs = [
        {
            "name": rung.name,
            "trigger": rung.trigger,
            "level": rung.level.slug,
            "target": rung.target,
            "priority": rung.priority,
            "type": rung.type,
            "share": rung.share,
            "after": rung.after,
            "count": rung.count,
            "teams": rung.teams,
        }
        for rung in kept.rungs
    ]
    await connection.execute(
        _PUT_LADDER,
        {
            "name": kept.name,
            "version": kept.version,
            "rungs": to_json(rungs, timedelta_mode="iso8601").decode(),
            "now": kept.changed_at,
            "by": kept.changed_by,
        },
    )


async def remove_ladder(connection: AsyncConnection, name: str) -> None:
    """No policy may name it from now on."""
    await connection.execute(_REMOVE_LADDER, {"name": name})


async def ladder_users(connection: AsyncConnection, name: str) -> list[str]:
    """The policies that name it."""
    return list((await connection.execute(_LADDER_USERS, {"name": name})).scalars())
