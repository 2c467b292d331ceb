"""The inbox: which events a service has taken in, written in the transaction of their effect.

An event is known by its source and id within its topic: what is internal by `ce_source` alone, for
each of those has one topic; what products write also by the topic, so that no product can pass
off its messages as another's. All groups of a service share the inbox: one topic, one group.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import text

from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event

KEPT = timedelta(days=8)
"""For how long an event is remembered: a day longer than the topics keep it."""

_PRUNED_AT_ONCE = 5000
_INTERNAL = ".events.v1"

E = TypeVar("E", bound=Event[Any])

# In the order of the key, so that two readers of the same events never deadlock. It gives back
# the places of the repeated ones: there are hardly ever any.
_ADMIT = text(
    """
    WITH i AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]))
            WITH ORDINALITY AS i (source, event_id, place)
    ), new AS (
        INSERT INTO inbox (source, event_id, received_at)
        SELECT source, event_id, :now FROM i ORDER BY source, event_id
        ON CONFLICT DO NOTHING
        RETURNING source, event_id
    )
    SELECT place FROM i LEFT JOIN new USING (source, event_id) WHERE new.event_id IS NULL
    """
)

_PRUNE = text(
    """
    DELETE FROM inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM inbox WHERE received_at < :before LIMIT :most
        FOR UPDATE SKIP LOCKED))
    """
)


def key_of(event: Event[Any]) -> tuple[str, str]:
    """By what a repetition of this event is known."""
    if event.topic.endswith(_INTERNAL):
        return event.source, event.id
    return f"{event.topic} {event.source}", event.id


async def admit(uow: UnitOfWork, events: Sequence[E]) -> list[E]:
    """Mark the events as handled by this transaction; those that were not yet, in their order.

    Waits for another transaction that marks the same ones, and goes by how it ends.
    """
    first: dict[tuple[str, str], E] = {}
    for event in events:
        first.setdefault(key_of(event), event)
    repeated = await uow.connection.execute(
        _ADMIT,
        {
            "now": uow.now,
            "sources": [source for source, _ in first],
            "ids": [id for _, id in first],
        },
    )
    known = {place for (place,) in repeated}
    return [event for place, event in enumerate(first.values(), 1) if place not in known]


async def prune(database: Database) -> int:
    """Forget the events that no topic holds any more; returns how many."""
    total = 0
    while True:
        async with database.unit_of_work() as uow:
            gone = await uow.execute(_PRUNE, {"before": uow.now - KEPT, "most": _PRUNED_AT_ONCE})
        total += gone.rowcount
        if gone.rowcount < _PRUNED_AT_ONCE:
            return total
