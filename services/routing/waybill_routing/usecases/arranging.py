"""Teams and queues: added, changed, and taken away when nothing hangs on them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from waybill_chassis.database import UnitOfWork
from waybill_chassis.problems import check_version, invalid_field

from waybill_routing.domain import InUse, Queue, Taken, Team, Unknown
from waybill_routing.store import ways


async def add_team(uow: UnitOfWork, team: Team) -> Team:
    """A new team with a queue of the same name."""
    if not await ways.insert_team(uow, team):
        raise Taken(f"There is a team {team.slug} already.")
    if not await ways.insert_queue(uow, Queue(slug=team.slug, team=team.slug)):
        raise Taken(f"There is a queue {team.slug} already.")
    return team


async def change_team(
    uow: UnitOfWork,
    slug: str,
    *,
    name: str | None,
    escalation_level: int | None,
    expected: int | None,
) -> Team:
    """What is None stays."""
    was = await _team(uow, slug, expected)
    now = replace(
        was,
        name=was.name if name is None else name,
        escalation_level=was.escalation_level if escalation_level is None else escalation_level,
    )
    if now != was:
        now = replace(now, version=was.version + 1)
        await ways.update_team(uow, now)
    return now


async def remove_team(uow: UnitOfWork, slug: str, *, expected: int | None) -> None:
    """Take away a team that nobody is in and nothing goes to, with its queues."""
    await _team(uow, slug, expected)
    if members := await ways.members(uow, slug):
        raise InUse(
            f"{', '.join(members)} belong to {slug}: change their teams first.", members=members
        )
    for queue in (await ways.ways(uow.connection))[0].values():
        if queue.team == slug:
            await remove_queue(uow, queue.slug, expected=None)
    await ways.delete_team(uow, slug)


async def add_queue(uow: UnitOfWork, queue: Queue) -> Queue:
    """A new queue, to which rules may lead from now on."""
    await _check_team(uow, queue.team)
    if not await ways.insert_queue(uow, queue):
        raise Taken(f"There is a queue {queue.slug} already.")
    return queue


async def change_queue(
    uow: UnitOfWork, slug: str, change: Mapping[str, Any], *, expected: int | None
) -> Queue:
    """What `change` does not name stays.

    No ticket changes teams by it: a queue that goes to another team must be empty.
    """
    was = await _queue(uow, slug, expected)
    now = replace(was, **change)
    if now == was:
        return was
    if now.team != was.team:
        await _check_team(uow, now.team)
        await _check_empty(uow, slug, f"make another queue for {now.team}, or move them first")
    now = replace(now, version=was.version + 1)
    await ways.update_queue(uow, now)
    return now


async def remove_queue(uow: UnitOfWork, slug: str, *, expected: int | None) -> None:
    """Take away a queue that no rule leads to and that has no tickets."""
    await _queue(uow, slug, expected)
    _, rules = await ways.ways(uow.connection)
    if leading := [rule.name for rule in rules if rule.queue == slug]:
        raise InUse(
            f"The rules {', '.join(leading)} lead to {slug}: change them first.", rules=leading
        )
    await _check_empty(
        uow, slug, "close them, or move each with PUT /v1/tickets/{id}/assignment first"
    )
    await ways.delete_queue(uow, slug)


async def _check_empty(uow: UnitOfWork, slug: str, right: str) -> None:
    if number := await ways.held_in(uow, [slug]):
        raise InUse(f"{number} open tickets belong to {slug}: {right}.", open_tickets=number)


async def _check_team(uow: UnitOfWork, slug: str) -> None:
    if not await ways.known_teams(uow, [slug]):
        raise invalid_field("team", f"must be a team that there is, not {slug}")


async def _team(uow: UnitOfWork, slug: str, expected: int | None) -> Team:
    team = await ways.lock_team(uow, slug)
    if team is None:
        raise unknown("team", slug)
    check_version(expected, team.version)
    return team


async def _queue(uow: UnitOfWork, slug: str, expected: int | None) -> Queue:
    queue = await ways.lock_queue(uow, slug)
    if queue is None:
        raise unknown("queue", slug)
    check_version(expected, queue.version)
    return queue


def unknown(kind: str, name: str) -> Unknown:
    """There is none of this name."""
    return Unknown(f"There is no {kind} {name}.")
