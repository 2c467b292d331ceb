"""Policies that admins write: what may stand in one, and what a change of one leads to."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import Duration, RequestModel
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Conflict, NotFound, check_version, invalid_field

from waybill_sla.agreed import changing
from waybill_sla.domain.policy import Policy
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.redating import redate
from waybill_sla.store import agreements as store
from waybill_sla.store.agreements import KeptPolicy
from waybill_sla.store.calendars import change_alone
from waybill_sla.store.redatings import Scope

DEFAULT = "default"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Time = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=366))]


class TicketType(StrEnum):
    """What kind of ticket it is."""

    TECHNICAL = "technical"
    ACCOUNT = "account"
    ORDER = "order"
    PRODUCT_INQUIRY = "product_inquiry"
    COMPLAINT = "complaint"
    SUGGESTION = "suggestion"


class AlreadyThere(Conflict):
    """There is a policy of this name."""

    title = "Already there"


class Needed(Conflict):
    """Every ticket needs a policy, so the default one stays."""

    title = "Needed"


class SelectorBody(RequestModel):
    """Which tickets it is for; what is left out is asked of none."""

    product: Slug | None = None
    type: TicketType | None = None
    priority: Priority | None = None
    tier: Annotated[_Word, AfterValidator(str.lower)] | None = None
    tag: _Word | None = None


def _sensible(targets: Mapping[TargetKind, timedelta]) -> Mapping[TargetKind, timedelta]:
    for kind in (TargetKind.RESPONSE, TargetKind.RESOLUTION):
        if kind not in targets:
            raise _at(kind, "is required")
    if targets[TargetKind.RESPONSE] > targets[TargetKind.RESOLUTION]:
        raise _at(TargetKind.RESPONSE, "must not be longer than the time for the resolution")
    return targets


def _at(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("policy", "{message}", {"message": message, "path": (field,)})


class PolicyBody(RequestModel):
    """What a policy says: working time by priority and target."""

    selector: SelectorBody = SelectorBody()
    targets: dict[Priority, Annotated[dict[TargetKind, _Time], AfterValidator(_sensible)]]
    calendar: Name = "always"
    ladder: Name = "default"

    @model_validator(mode="after")
    def _complete(self) -> "PolicyBody":
        needed = [self.selector.priority] if self.selector.priority else list(Priority)
        for priority in needed:
            if priority not in self.targets:
                raise PydanticCustomError(
                    "policy",
                    "is required: the policy is for tickets of this priority, too",
                    {"path": ("targets", priority.value)},
                )
        return self


class NewPolicy(PolicyBody):
    """A policy with its name."""

    name: Name


async def create(
    uow: UnitOfWork, body: NewPolicy, by: str, *, open_too: bool
) -> tuple[KeptPolicy, int]:
    """A policy that is new; one that was removed takes up where it was.

    With `open_too` the open clocks that it fits are dated anew by it: how many are gone through.
    """
    if open_too:
        await change_alone(uow.connection)
    calendars = await store.calendar_names(uow.connection)
    await changing(uow, by)
    before = await store.policy_versions(uow.connection, body.name)
    if before and not before[0].removed:
        raise AlreadyThere(f"There is a policy {body.name} already: change it with PUT.")
    last = before[0].policy if before else None
    policy = _made(body, body.name, last.id if last else new_id(), last.version if last else 0)
    kept = await _put(uow, policy, calendars, by)
    return kept, await redate(uow, Scope(policy_id=policy.id), by) if open_too else 0


async def change(
    uow: UnitOfWork,
    name: str,
    body: PolicyBody,
    by: str,
    expected_version: int | None,
    *,
    open_too: bool,
) -> tuple[KeptPolicy, int]:
    """Another version of it, for clocks that start later; with `open_too` for those that are open.

    How many of these are gone through, as they have it or as it fits them, is the second answer.
    """
    if open_too:
        await change_alone(uow.connection)
    calendars = await store.calendar_names(uow.connection)
    await changing(uow, by)
    before = (await found(uow, name))[0]
    check_version(expected_version, before.policy.version)
    policy = _made(body, name, before.policy.id, before.policy.version)
    if name == DEFAULT and any(policy.selector):
        raise invalid_field("selector", "must be empty: the default policy is for all others")
    if replace(policy, version=before.policy.version) == before.policy:
        kept = before
    else:
        kept = await _put(uow, policy, calendars, by)
    concerned = await redate(uow, Scope(policy_id=policy.id), by) if open_too else 0
    return kept, concerned


async def remove(
    uow: UnitOfWork, name: str, by: str, expected_version: int | None, *, open_too: bool
) -> None:
    """Choose it for no ticket any more; with `open_too` not for the clocks that have it either."""
    if open_too:
        await change_alone(uow.connection)
    await changing(uow, by)
    before = (await found(uow, name))[0]
    check_version(expected_version, before.policy.version)
    if name == DEFAULT:
        raise Needed("The default policy is for all tickets that no other fits: it stays.")
    await store.remove_policy(uow.connection, name)
    if open_too:
        await redate(uow, Scope(policy_id=before.policy.id), by)


async def found(uow: UnitOfWork, name: str) -> list[KeptPolicy]:
    """All versions of a policy, newest first."""
    versions = await store.policy_versions(uow.connection, name)
    if not versions or versions[0].removed:
        raise unknown(name)
    return versions


def unknown(name: str) -> NotFound:
    """There is none of this name."""
    return NotFound(f"There is no policy {name}.")


def _made(body: PolicyBody, name: str, id: UUID, version: int) -> Policy:
    selector = body.selector
    return Policy(
        id=id,
        version=version + 1,
        name=name,
        targets=body.targets,
        product=selector.product,
        type=selector.type,
        priority=selector.priority,
        tier=selector.tier,
        tag=selector.tag,
        calendar=body.calendar,
        ladder=body.ladder,
    )


async def _put(uow: UnitOfWork, policy: Policy, calendars: list[str], by: str) -> KeptPolicy:
    if policy.calendar not in calendars:
        raise invalid_field("calendar", f"must be one of {', '.join(calendars)}")
    ladder = await store.ladder(uow.connection, policy.ladder)
    if ladder is None or ladder.removed:
        raise invalid_field("ladder", f"must be the name of a ladder; there is no {policy.ladder}")
    if other := await store.same_selector(uow.connection, policy):
        raise invalid_field("selector", f"must differ from that of the policy {other}")
    kept = KeptPolicy(policy, False, uow.now, by)
    await store.put_policy(uow.connection, kept)
    return kept
