"""`/v1/sla/policies`, `/v1/sla/ladders`, and all of it at once as `/v1/sla/agreements`."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    DryRun,
    Instant,
    ResponseModel,
    RunOnce,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_sla import agreements, ladders, policies
from waybill_sla.agreements import Documents
from waybill_sla.domain.policy import Rung
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.http.calendars import CalendarView, shown
from waybill_sla.http.callers import Admin
from waybill_sla.http.named import Change, Kind, add_routes
from waybill_sla.ladders import LadderBody, NewLadder
from waybill_sla.policies import NewPolicy, PolicyBody
from waybill_sla.settings import Settings
from waybill_sla.store import agreements as store
from waybill_sla.store.agreements import KeptLadder, KeptPolicy

Redate = Annotated[
    bool, Query(description="Date the open clocks anew that have the policy or that it fits.")
]

Targets = dict[Priority, dict[TargetKind, timedelta]]


class PolicyVersionView(ResponseModel):
    """What a version of a policy says."""

    version: int
    targets: Targets
    calendar: str
    ladder: str
    changed_at: Instant
    changed_by: str


class PolicyView(PolicyVersionView):
    """A policy as it stands. `redating`: so many open clocks are dated anew by this change."""

    id: UUID
    name: str
    selector: dict[str, str]
    redating: int | None = None


class WholePolicyView(PolicyView):
    """A policy with all its versions, newest first."""

    versions: list[PolicyVersionView]


class RungView(ResponseModel):
    """A rung of a ladder."""

    name: str
    when: dict[str, Any]
    level: str
    teams: list[str]


class LadderView(ResponseModel):
    """A ladder as it stands. `redating`: so many open clocks are gone through for this change."""

    name: str
    version: int
    rungs: list[RungView]
    changed_at: Instant
    changed_by: str
    redating: int | None = None


class AgreementsView(ResponseModel):
    """What stands now. `redating`: so many open clocks are gone through for it."""

    calendars: list[CalendarView]
    ladders: list[LadderView]
    policies: list[PolicyView]
    redating: int


def _version(kept: KeptPolicy) -> dict[str, Any]:
    policy = kept.policy
    return {
        "version": policy.version,
        "targets": policy.targets,
        "calendar": policy.calendar,
        "ladder": policy.ladder,
        "changed_at": kept.changed_at,
        "changed_by": kept.changed_by,
    }


def _head(kept: KeptPolicy) -> dict[str, Any]:
    policy = kept.policy
    asked = {name: getattr(policy, name) for name in ("product", "type", "priority", "tier", "tag")}
    selector = {name: value for name, value in asked.items() if value is not None}
    return _version(kept) | {"id": policy.id, "name": policy.name, "selector": selector}


def _policy(kept: KeptPolicy, redating: int | None = None) -> PolicyView:
    return PolicyView(**_head(kept), redating=redating)


def _rung(rung: Rung) -> RungView:
    names = ("trigger", "target", "priority", "type", "share", "after", "count")
    when = {name: getattr(rung, name) for name in names}
    return RungView(
        name=rung.name,
        when={name: value for name, value in when.items() if value is not None},
        level=rung.level.slug,
        teams=list(rung.teams),
    )


def _ladder(kept: KeptLadder, redating: int | None = None) -> LadderView:
    return LadderView(
        name=kept.name,
        version=kept.version,
        rungs=[_rung(rung) for rung in kept.rungs],
        changed_at=kept.changed_at,
        changed_by=kept.changed_by,
        redating=redating,
    )


def _covers(caller: Principal, product: str | None) -> bool:
    return product is None or caller.can_see_product(product)


def router(rt: Runtime[Settings]) -> APIRouter:
    """Policies and ladders."""
    routes = APIRouter(tags=["agreements"])
    add_routes(routes, rt, POLICIES)
    add_routes(routes, rt, LADDERS)
    _add_all(routes, rt)
    return routes


def _add_all(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.post("/v1/sla/agreements", response_model=AgreementsView)
    async def agree(
        body: Documents,
        caller: Admin,
        once: RunOnce,
        redate: Redate = False,
        dry_run: DryRun = False,
    ) -> Response:
        """Write calendars, ladders and policies that may name one another: all of them, or none."""
        what = await agreements.written(body, rt.clock.now())

        async def effect(uow: UnitOfWork) -> Response:
            agreed = await agreements.agree(uow, body, what, caller.known_as, open_too=redate)
            return respond(
                AgreementsView(
                    calendars=[shown(kept) for kept in agreed.calendars],
                    ladders=[_ladder(kept) for kept in agreed.ladders],
                    policies=[_policy(kept) for kept in agreed.policies],
                    redating=agreed.redating,
                )
            )

        return await once(effect, keep=not dry_run)


async def _policies(
    connection: AsyncConnection, caller: Principal, after: str | None, most: int
) -> list[PolicyView]:
    """The policies in force, by name."""
    found = await store.kept_policies(
        connection, products=caller.readable_products, after=after, most=most
    )
    return [_policy(kept) for kept in found]


async def _read_policy(
    connection: AsyncConnection, caller: Principal, name: str
) -> WholePolicyView:
    """A policy with all its versions, and the version to send as `If-Match`."""
    found = await store.policy_versions(connection, name)
    current = found[0] if found and not found[0].removed else None
    if current is None or not _covers(caller, current.policy.product):
        raise policies.unknown(name)
    versions = [PolicyVersionView(**_version(kept)) for kept in found]
    return WholePolicyView(**_head(current), versions=versions)


async def _create_policy(uow: UnitOfWork, body: NewPolicy, _: None, to: Change) -> PolicyView:
    """A new policy, for clocks that start later; with `redate` for the open ones, too."""
    kept, concerned = await policies.create(uow, body, to.by, open_too=to.redate)
    return _policy(kept, concerned if to.redate else None)


async def _change_policy(
    uow: UnitOfWork, name: str, body: PolicyBody, _: None, to: Change
) -> PolicyView:
    """A new version, for clocks that start later; with `redate` for the open ones, too."""
    return _policy(*await policies.change(uow, name, body, to.by, to.version, open_too=to.redate))


async def _remove_policy(uow: UnitOfWork, name: str, to: Change) -> None:
    """Choose it for no ticket any more; without `redate` the clocks that have it keep it."""
    await policies.remove(uow, name, to.by, to.version, open_too=to.redate)


POLICIES = Kind(
    path="/v1/sla/policies",
    one="policy",
    many="policies",
    new=NewPolicy,
    body=PolicyBody,
    view=PolicyView,
    whole=WholePolicyView,
    page=_policies,
    read=_read_policy,
    create=_create_policy,
    change=_change_policy,
    remove=_remove_policy,
    redate=Redate,
)


async def _ladders(
    connection: AsyncConnection, _caller: Principal, after: str | None, most: int
) -> list[LadderView]:
    """All ladders, by name."""
    return [_ladder(kept) for kept in await store.kept_ladders(connection, after=after, most=most)]


async def _read_ladder(connection: AsyncConnection, _caller: Principal, name: str) -> LadderView:
    """A ladder, with the version to send as `If-Match`."""
    kept = await store.ladder(connection, name)
    if kept is None or kept.removed:
        raise ladders.unknown(name)
    return _ladder(kept)


async def _create_ladder(uow: UnitOfWork, body: NewLadder, _: None, to: Change) -> LadderView:
    """A new ladder: from now on policies may name it."""
    rungs = await ladders.checked(uow, body)
    return _ladder(await ladders.create(uow, body.name, rungs, to.by))


async def _change_ladder(
    uow: UnitOfWork, name: str, body: LadderBody, _: None, to: Change
) -> LadderView:
    """Replace its rungs; the timers of what is open are armed anew in the background."""
    rungs = await ladders.checked(uow, body)
    return _ladder(*await ladders.change(uow, name, rungs, to.by, to.version))


async def _remove_ladder(uow: UnitOfWork, name: str, to: Change) -> None:
    """Take it away, if no policy names it."""
    await ladders.remove(uow, name, to.by, to.version)


LADDERS = Kind(
    path="/v1/sla/ladders",
    one="ladder",
    many="ladders",
    new=NewLadder,
    body=LadderBody,
    view=LadderView,
    page=_ladders,
    read=_read_ladder,
    create=_create_ladder,
    change=_change_ladder,
    remove=_remove_ladder,
)
