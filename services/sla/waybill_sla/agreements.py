"""Calendars, ladders and policies that are written together, so that they may name one another."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import RequestModel
from waybill_chassis.problems import FieldError, Invalid, PreconditionFailed, Problem

from waybill_sla import calendars, ladders, policies
from waybill_sla.calendars import NewCalendar, Written
from waybill_sla.domain.policy import Ladder
from waybill_sla.ladders import NewLadder
from waybill_sla.policies import NewPolicy
from waybill_sla.store import agreements as store
from waybill_sla.store.agreements import KeptLadder, KeptPolicy
from waybill_sla.store.calendars import Kept, calendar, change_alone

_MOST = 200

K = TypeVar("K")

Version = Annotated[int, Field(ge=0, description="As it was read; 0 if there was none.")]


class CalendarDocument(NewCalendar):
    """A calendar; with `version` only if it still is as it was read."""

    version: Version | None = None


class LadderDocument(NewLadder):
    """A ladder; with `version` only if it still is as it was read."""

    version: Version | None = None


class PolicyDocument(NewPolicy):
    """A policy; with `version` only if it still is as it was read."""

    version: Version | None = None


class Documents(RequestModel):
    """What is to be there; what it leaves out stays. A document that is there already is replaced.

    A policy may name a calendar or a ladder that comes with it.
    """

    calendars: Annotated[tuple[CalendarDocument, ...], Field(max_length=_MOST)] = ()
    ladders: Annotated[tuple[LadderDocument, ...], Field(max_length=_MOST)] = ()
    policies: Annotated[tuple[PolicyDocument, ...], Field(max_length=_MOST)] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "Documents":
        for kind in ("calendars", "ladders", "policies"):
            names = [document.name for document in getattr(self, kind)]
            for position, name in enumerate(names):
                if name in names[:position]:
                    path = (kind, str(position), "name")
                    raise PydanticCustomError("agreements", "comes twice", {"path": path})
        return self


@dataclass(slots=True)
class Agreed:
    """What stands now of what was written, and how many open clocks are gone through for it."""

    calendars: list[Kept] = field(default_factory=list)
    ladders: list[KeptLadder] = field(default_factory=list)
    policies: list[KeptPolicy] = field(default_factory=list)
    redating: int = 0


async def written(documents: Documents, now: datetime) -> list[Written]:
    """The calendars with their holidays, which take a while: before a transaction begins."""
    return [await calendars.written(document, now) for document in documents.calendars]


async def agree(
    uow: UnitOfWork,
    documents: Documents,
    what: Iterable[Written],
    by: str,
    *,
    open_too: bool = False,
    to_see: bool = False,
) -> Agreed:
    """Write all of it, or raise one problem that names all that is wrong.

    With `open_too` the policies count for open clocks as well; calendars and ladders always do,
    unless it is only written `to_see` what it would be.
    """
    await change_alone(uow.connection)
    wrong, agreed = _Wrong(), Agreed()
    rungs: list[Ladder | None] = []
    # The settings are read before anything is changed.
    for place, ladder in enumerate(documents.ladders):
        rungs.append(None)
        with wrong.at("ladders", place):
            rungs[place] = await ladders.checked(uow, ladder)
    for place, (document, meant) in enumerate(zip(documents.calendars, what, strict=True)):
        with wrong.at("calendars", place):
            agreed.calendars.append(
                await _calendar(uow, document, meant, by, agreed, to_see=to_see)
            )
    for place, ladder in enumerate(documents.ladders):
        with wrong.at("ladders", place):
            # One whose rungs are refused is looked for by no policy in vain.
            agreed.ladders.append(
                await _ladder(uow, ladder, rungs[place] or (), by, agreed, to_see=to_see)
            )
    for place, policy in enumerate(documents.policies):
        with wrong.at("policies", place):
            agreed.policies.append(await _policy(uow, policy, by, agreed, open_too=open_too))
    wrong.tell()
    return agreed


async def _calendar(
    uow: UnitOfWork,
    document: CalendarDocument,
    what: Written,
    by: str,
    agreed: Agreed,
    *,
    to_see: bool,
) -> Kept:
    before = await calendar(uow.connection, document.name)
    if _is_new(document.version, before.version if before and not before.removed else 0):
        return await calendars.create(uow, document.name, what, by)
    return _counted(
        agreed,
        *await calendars.change(
            uow, document.name, what, by, document.version, open_too=not to_see
        ),
    )


async def _ladder(
    uow: UnitOfWork,
    document: LadderDocument,
    rungs: Ladder,
    by: str,
    agreed: Agreed,
    *,
    to_see: bool,
) -> KeptLadder:
    before = await store.ladder(uow.connection, document.name)
    if _is_new(document.version, before.version if before and not before.removed else 0):
        return await ladders.create(uow, document.name, rungs, by)
    return _counted(
        agreed,
        *await ladders.change(uow, document.name, rungs, by, document.version, open_too=not to_see),
    )


async def _policy(
    uow: UnitOfWork, document: PolicyDocument, by: str, agreed: Agreed, *, open_too: bool
) -> KeptPolicy:
    before = (await store.policy_versions(uow.connection, document.name))[:1]
    if _is_new(document.version, sum(one.policy.version for one in before if not one.removed)):
        return _counted(agreed, *await policies.create(uow, document, by, open_too=open_too))
    return _counted(
        agreed,
        *await policies.change(
            uow, document.name, document, by, document.version, open_too=open_too
        ),
    )


def _is_new(expected: int | None, current: int) -> bool:
    """Whether it is to be made, not changed. 412 if it is not as it was read."""
    if expected is not None and expected != current:
        raise PreconditionFailed(
            f"This is version {current} by now, not {expected}: read it again, then repeat."
            if current
            else "It was removed meanwhile: read it again, then repeat.",
            current_version=current,
        )
    return current == 0


def _counted(agreed: Agreed, kept: K, concerned: int) -> K:
    agreed.redating += concerned
    return kept


class _Wrong:
    """Collects what is wrong with documents, each with its place."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._errors: list[FieldError] = []

    @contextmanager
    def at(self, kind: str, place: int) -> Iterator[None]:
        """What is raised within is wrong with this document."""
        try:
            yield
        except Problem as problem:
            self._problems.append(problem)
            for error in problem.errors or [FieldError(field="", message=problem.detail)]:
                found = FieldError(
                    field=".".join(filter(None, (kind, str(place), error["field"]))),
                    message=error["message"],
                )
                if found not in self._errors:
                    self._errors.append(found)

    def tell(self) -> None:
        """Raise what was found: a stale version or a conflict before what is merely wrong."""
        if not self._problems:
            return
        first = min(self._problems, key=lambda problem: isinstance(problem, Invalid))
        raise type(first)(first.detail, errors=self._errors, **first.extra)
