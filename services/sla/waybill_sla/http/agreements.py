"""`/v1/sla/policies`, `/v1/sla/ladders`, and all of it at once as `/v1/sla/agreements`."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    Instant,
    Limit,
    Page,
    RequiredVersion,
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
from waybill_sla.http.callers import Admin, Name, Reader
from waybill_sla.ladders import LadderBody, NewLadder
from waybill_sla.policies import NewPolicy, PolicyBody
from waybill_sla.settings import Settings
from waybill_sla.store import agreements as store
from waybill_sla.store.agreements import KeptLadder, KeptPolicy

_NAMES = Cursor[str]("sla agreements", str)

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
    _add_policies(routes, rt)
    _add_ladders(routes, rt)
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


def _add_policies(routes: APIRouter, rt: Runtime[Settings]) -> None:
    path = "/v1/sla/policies"

    @routes.get(path, response_model=Page[PolicyView])
    async def list_policies(
        caller: Reader, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """The policies in force, by name."""
        async with rt.database.reading() as connection:
            found = await store.kept_policies(
                connection,
                products=caller.readable_products,
                after=_NAMES.decode(cursor),
                most=limit + 1,
            )
        return respond(
            _NAMES.page(found, limit, position=lambda kept: kept.policy.name, item=_policy)
        )

    @routes.post(path, response_model=PolicyView, status_code=201)
    async def create_policy(
        body: NewPolicy,
        caller: Admin,
        once: RunOnce,
        redate: Redate = False,
        dry_run: DryRun = False,
    ) -> Response:
        """A new policy, for clocks that start later; with `redate` for the open ones, too."""

        async def effect(uow: UnitOfWork) -> Response:
            kept, concerned = await policies.create(uow, body, caller.known_as, open_too=redate)
            return respond(
                _policy(kept, concerned if redate else None),
                status=201,
                version=kept.policy.version,
                headers={"Location": f"{path}/{kept.policy.name}"},
            )

        return await once(effect, keep=not dry_run)

    @routes.get(path + "/{policy}", response_model=WholePolicyView)
    async def read_policy(caller: Reader, policy: Name) -> Response:
        """A policy with all its versions, and the version to send as `If-Match`."""
        async with rt.database.reading() as connection:
            found = await store.policy_versions(connection, policy)
        current = found[0] if found and not found[0].removed else None
        if current is None or not _covers(caller, current.policy.product):
            raise policies.unknown(policy)
        versions = [PolicyVersionView(**_version(kept)) for kept in found]
        return respond(
            WholePolicyView(**_head(current), versions=versions), version=current.policy.version
        )

    @routes.put(path + "/{policy}", response_model=PolicyView)
    async def change_policy(
        policy: Name,
        body: PolicyBody,
        caller: Admin,
        version: RequiredVersion,
        redate: Redate = False,
        dry_run: DryRun = False,
    ) -> Response:
        """A new version, for clocks that start later; with `redate` for the open ones, too."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            kept, concerned = await policies.change(
                uow, policy, body, caller.known_as, version, open_too=redate
            )
        return respond(_policy(kept, concerned), version=kept.policy.version)

    @routes.delete(path + "/{policy}", status_code=204)
    async def remove_policy(
        caller: Admin,
        policy: Name,
        version: RequiredVersion,
        redate: Redate = False,
        dry_run: DryRun = False,
    ) -> Response:
        """Choose it for no ticket any more; without `redate` the clocks that have it keep it."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await policies.remove(uow, policy, caller.known_as, version, open_too=redate)
        return Response(status_code=204)


def _add_ladders(routes: APIRouter, rt: Runtime[Settings]) -> None:
    path = "/v1/sla/ladders"

    @routes.get(path, response_model=Page[LadderView])
    async def list_ladders(
        _caller: Reader, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """All ladders, by name."""
        async with rt.database.reading() as connection:
            found = await store.kept_ladders(
                connection, after=_NAMES.decode(cursor), most=limit + 1
            )
        return respond(_NAMES.page(found, limit, position=lambda kept: kept.name, item=_ladder))

    @routes.post(path, response_model=LadderView, status_code=201)
    async def create_ladder(
        body: NewLadder, caller: Admin, once: RunOnce, dry_run: DryRun = False
    ) -> Response:
        """A new ladder: from now on policies may name it."""

        async def effect(uow: UnitOfWork) -> Response:
            rungs = await ladders.checked(uow, body)
            kept = await ladders.create(uow, body.name, rungs, caller.known_as)
            return respond(
                _ladder(kept),
                status=201,
                version=kept.version,
                headers={"Location": f"{path}/{kept.name}"},
            )

        return await once(effect, keep=not dry_run)

    @routes.get(path + "/{ladder}", response_model=LadderView)
    async def read_ladder(_caller: Reader, ladder: Name) -> Response:
        """A ladder, with the version to send as `If-Match`."""
        async with rt.database.reading() as connection:
            kept = await store.ladder(connection, ladder)
        if kept is None or kept.removed:
            raise ladders.unknown(ladder)
        return respond(_ladder(kept), version=kept.version)

    @routes.put(path + "/{ladder}", response_model=LadderView)
    async def change_ladder(
        ladder: Name,
        body: LadderBody,
        caller: Admin,
        version: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Replace its rungs; the timers of what is open are armed anew in the background."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            rungs = await ladders.checked(uow, body)
            kept, concerned = await ladders.change(uow, ladder, rungs, caller.known_as, version)
        return respond(_ladder(kept, concerned), version=kept.version)

    @routes.delete(path + "/{ladder}", status_code=204)
    async def remove_ladder(
        caller: Admin, ladder: Name, version: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Take it away, if no policy names it."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await ladders.remove(uow, ladder, caller.known_as, version)
        return Response(status_code=204)
