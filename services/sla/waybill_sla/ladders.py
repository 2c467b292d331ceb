"""Ladders that admins write: what may stand in one, and who uses it."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import Duration, RequestModel
from waybill_chassis.problems import Conflict, NotFound, check_version, invalid_field

from waybill_sla.agreed import changing
from waybill_sla.domain.policy import Ladder, Rung
from waybill_sla.domain.words import Level, Priority, TargetKind, Trigger
from waybill_sla.kept_settings import SlaSettings
from waybill_sla.policies import DEFAULT, AlreadyThere, Name, Needed, TicketType
from waybill_sla.redating import redate
from waybill_sla.store import agreements as store
from waybill_sla.store.agreements import KeptLadder
from waybill_sla.store.calendars import change_alone
from waybill_sla.store.redatings import Scope

_LevelWord = StrEnum(  # type: ignore[misc]
    "_LevelWord", {level.name: level.slug for level in Level if level is not Level.NONE}
)
_TriggerWord = StrEnum(  # type: ignore[misc]
    "_TriggerWord", {one.name: one.value for one in Trigger if one is not Trigger.BY_HAND}
)

_ASKS = {
    "at_risk": {"target", "share"},
    "breached": {"target"},
    "unassigned": {"after"},
    "issue_repeated": {"count"},
}
"""What each trigger can be asked for, beside priority and type."""

_NO_WAIT = timedelta(0)
_NEEDS = {"unassigned": "after", "issue_repeated": "count"}


class InUse(Conflict):
    """A policy names this ladder."""

    title = "In use"


def _at(message: str, *path: str) -> PydanticCustomError:
    return PydanticCustomError("ladder", "{message}", {"message": message, "path": path})


class WhenBody(RequestModel):
    """What makes a rung fire."""

    trigger: _TriggerWord
    target: TargetKind | None = None
    priority: Priority | None = None
    type: TicketType | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    after: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=366))] | None = None
    count: Annotated[int, Field(ge=2, le=1000)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "WhenBody":
        asks = _ASKS[self.trigger]
        for field in ("target", "share", "after", "count"):
            if getattr(self, field) is not None and field not in asks:
                raise _at(f"is nothing that {self.trigger} can be asked for", field)
        needed = _NEEDS.get(self.trigger)
        if needed is not None and getattr(self, needed) is None:
            raise _at(f"is required with {self.trigger}", needed)
        return self


class RungBody(RequestModel):
    """A rung: when it fires, how far up it leads, and to which teams if not the level's own."""

    name: Name
    when: WhenBody
    level: _LevelWord
    teams: Annotated[tuple[Name, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _several(self) -> "RungBody":
        if self.level == Level.CROSS_DEPARTMENT.slug and len(set(self.teams)) < 2:
            raise _at("must name at least two teams for cross_department", "teams")
        if len(set(self.teams)) < len(self.teams):
            raise _at("must name each team once", "teams")
        return self


def _sensible(rungs: tuple[RungBody, ...]) -> tuple[RungBody, ...]:
    seen: set[str] = set()
    for position, rung in enumerate(rungs):
        if rung.name in seen:
            raise _at("must be a name of its own: the rungs' causes bear it", str(position), "name")
        seen.add(rung.name)
    for position, rung in enumerate(rungs):
        for other, one in enumerate(rungs):
            # Of two that fire together the first one is right.
            if _forestalls(one, rung) and (other < position or not _forestalls(rung, one)):
                raise _at(
                    f"must lead higher than {one.level}, where the rung {one.name} has led each "
                    "ticket by then: levels only rise, so this rung would never fire",
                    str(position),
                    "level",
                )
    return rungs


def _forestalls(one: RungBody, other: RungBody) -> bool:
    """Whether a rung fires whenever the other does, or before, and leads as high."""
    if one is other or Level[one.level.name] < Level[other.level.name]:
        return False
    first, then = one.when, other.when
    if first.priority not in (None, then.priority) or first.type not in (None, then.type):
        return False
    match str(first.trigger), str(then.trigger):
        case ("at_risk", "at_risk"):
            earlier = (first.share or 0) <= (then.share or 0)
        case ("at_risk" | "breached", "breached"):
            earlier = True
        case ("unassigned", "unassigned"):
            return (first.after or _NO_WAIT) <= (then.after or _NO_WAIT)
        case ("issue_repeated", "issue_repeated"):
            return (first.count or 0) <= (then.count or 0)
        case _:
            return False
    return earlier and first.target in (None, then.target)


class LadderBody(RequestModel):
    """All rungs. None leads to another, and none down: so a ladder cannot go round in a circle."""

    rungs: Annotated[tuple[RungBody, ...], Field(max_length=50), AfterValidator(_sensible)]


class NewLadder(LadderBody):
    """A ladder with its name."""

    name: Name


async def create(uow: UnitOfWork, name: str, rungs: Ladder, by: str) -> KeptLadder:
    """A ladder that is new; one that was removed takes up where it was."""
    await changing(uow, by)
    before = await store.ladder(uow.connection, name)
    if before is not None and not before.removed:
        raise AlreadyThere(f"There is a ladder {name} already: change it with PUT.")
    version = before.version + 1 if before else 1
    return await _put(uow, KeptLadder(name, version, rungs, False, uow.now, by))


async def change(
    uow: UnitOfWork,
    name: str,
    rungs: Ladder,
    by: str,
    expected_version: int | None,
    *,
    open_too: bool = True,
) -> tuple[KeptLadder, int]:
    """Other rungs; how many open clocks are gone through, to arm their timers anew.

    What has fired stays fired under its name: a rung that keeps it does not fire again.
    """
    await change_alone(uow.connection)
    await changing(uow, by)
    before = await found(uow, name)
    check_version(expected_version, before.version)
    if rungs == before.rungs:
        return before, 0
    kept = await _put(uow, KeptLadder(name, before.version + 1, rungs, False, uow.now, by))
    return kept, await redate(uow, Scope(ladder=name), by) if open_too else 0


async def remove(uow: UnitOfWork, name: str, by: str, expected_version: int | None) -> None:
    """Take a ladder away that no policy names; a clock whose older version does goes up default."""
    await changing(uow, by)
    before = await found(uow, name)
    check_version(expected_version, before.version)
    if name == DEFAULT:
        raise Needed("The default ladder is the one of all policies that name no other: it stays.")
    if users := await store.ladder_users(uow.connection, name):
        raise InUse(
            f"The ladder {name} is used by the policies {', '.join(users)}: "
            "give them another one first.",
            policies=users,
        )
    await store.remove_ladder(uow.connection, name)


async def found(uow: UnitOfWork, name: str) -> KeptLadder:
    """A ladder that may be used."""
    kept = await store.ladder(uow.connection, name)
    if kept is None or kept.removed:
        raise unknown(name)
    return kept


def unknown(name: str) -> NotFound:
    """There is none of this name."""
    return NotFound(f"There is no ladder {name}.")


async def checked(uow: UnitOfWork, body: LadderBody) -> Ladder:
    """The rungs of a body, whose shares are told by a warning; before anything is changed."""
    shares = (await uow.settings()).of(SlaSettings).warn_shares
    for position, rung in enumerate(body.rungs):
        if rung.when.share is not None and rung.when.share not in shares:
            right = ", ".join(str(share) for share in shares)
            raise invalid_field(
                f"rungs.{position}.when.share",
                f"must be one of the warn_shares, {right}: no warning tells of another",
            )
    return tuple(
        Rung(
            name=rung.name,
            trigger=Trigger(rung.when.trigger),
            level=Level[rung.level.name],
            target=rung.when.target,
            priority=rung.when.priority,
            type=rung.when.type,
            share=rung.when.share,
            after=rung.when.after,
            count=rung.when.count,
            teams=rung.teams,
        )
        for rung in body.rungs
    )


async def _put(uow: UnitOfWork, kept: KeptLadder) -> KeptLadder:
    await store.put_ladder(uow.connection, kept)
    return kept
