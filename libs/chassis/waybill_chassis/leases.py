"""Shard leases: of several replicas exactly one works on a shard at a time.

A lease is a row with an owner, an expiry and an epoch that grows with each new owner. Locks of a
session would not do: a process that is frozen keeps its session, and with it the lock, for ever.
An owner that wakes late sees by its own monotonic clock that its lease has run out, and whatever
it writes after all is refused because the epoch has moved on.
"""

import time
from dataclasses import dataclass

from sqlalchemy import text

from waybill_chassis.database import Database

LEASE_SECONDS = 4.0
"""How long a shard stays with an owner that says nothing."""

RENEW_SECONDS = 1.0
"""How often an owner says that it lives."""

_CREATE = text(
    """
    INSERT INTO lease (kind, shard)
    SELECT :kind, generate_series(0, :shards - 1)
    ON CONFLICT DO NOTHING
    """
)

# Time is the database's, so that replicas whose clocks disagree still agree on who owns what.
_ANNOUNCE = text(
    """
    WITH gone AS (
        DELETE FROM lease_member
        WHERE kind = :kind AND owner <> :owner AND expires_at < clock_timestamp()
    ), here AS (
        INSERT INTO lease_member (kind, owner, expires_at)
        VALUES (:kind, :owner, clock_timestamp() + make_interval(secs => :seconds))
        ON CONFLICT (kind, owner) DO UPDATE SET expires_at = excluded.expires_at
    )
    SELECT 1 + count(*) FROM lease_member
    WHERE kind = :kind AND owner <> :owner AND expires_at >= clock_timestamp()
    """
)

_RENEW = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT shard, row_number() OVER (ORDER BY shard) <= :most AS kept FROM (
            SELECT shard FROM lease WHERE kind = :kind AND owner = :owner
            ORDER BY shard FOR UPDATE) AS held
    ), given_back AS (
        UPDATE lease SET owner = NULL, expires_at = NULL FROM mine
        WHERE lease.kind = :kind AND lease.shard = mine.shard AND NOT mine.kept
    )
    UPDATE lease SET expires_at = clock_timestamp() + make_interval(secs => :seconds) FROM mine
    WHERE lease.kind = :kind AND lease.shard = mine.shard AND mine.kept
    RETURNING lease.shard, lease.epoch
    """
)

_GIVE_BACK = text(
    "UPDATE lease SET owner = NULL, expires_at = NULL WHERE kind = :kind AND owner = :owner"
)

_LEAVE = text("DELETE FROM lease_member WHERE kind = :kind AND owner = :owner")

_TAKE = text(
    """
    UPDATE lease SET owner = :owner, epoch = epoch + 1,
           expires_at = clock_timestamp() + make_interval(secs => :seconds)
    WHERE (kind, shard) IN (
        SELECT kind, shard FROM lease
        WHERE kind = :kind AND (owner IS NULL OR expires_at < clock_timestamp())
        ORDER BY shard LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING shard, epoch
    """
)


@dataclass(frozen=True, slots=True)
class Held:
    """The shards held, each with its epoch, and the monotonic time until which that is sure."""

    epochs: dict[int, int]
    until: float

    def valid(self) -> bool:
        """Whether the leases are still ours by our own clock."""
        return bool(self.epochs) and time.monotonic() < self.until


NOTHING = Held({}, 0.0)


class Leases:
    """One replica's share of the shards of one kind of work."""

    def __init__(self, database: Database, *, kind: str, owner: str, shards: int) -> None:
        """`kind` names the work, such as `relay`; `owner` is unique to this process."""
        self._database = database
        self._names = {"kind": kind, "owner": owner}
        self._shards = shards
        self.held = NOTHING

    async def create(self) -> None:
        """Make the rows of the leases, once in the life of a database."""
        async with self._database.unit_of_work() as uow:
            await uow.execute(_CREATE, {"kind": self._names["kind"], "shards": self._shards})

    async def renew(self) -> Held:
        """Renew what we hold, give back what is above our fair share, take what is free."""
        # Counted from before the request: the answer may take its time.
        until = time.monotonic() + LEASE_SECONDS
        timed = self._names | {"seconds": LEASE_SECONDS}
        async with self._database.unit_of_work() as uow:
            members = (await uow.execute(_ANNOUNCE, timed)).scalar_one()
            share = -(-self._shards // members)
            kept = {
                row.shard: row.epoch for row in await uow.execute(_RENEW, timed | {"most": share})
            }
            if len(kept) < share:
                taken = await uow.execute(_TAKE, timed | {"most": share - len(kept)})
                kept |= {row.shard: row.epoch for row in taken}
        self.held = Held(kept, until)
        return self.held

    async def release(self) -> None:
        """Give everything back, so that others need not wait for it to expire."""
        self.held = NOTHING
        async with self._database.unit_of_work() as uow:
            await uow.execute(_GIVE_BACK, self._names)
            await uow.execute(_LEAVE, self._names)
