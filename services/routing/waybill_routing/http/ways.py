"""Teams, and the queues in which tickets wait for them."""

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    ExpectedVersion,
    Limit,
    Page,
    RequiredVersion,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Queue, Team
from waybill_routing.http.models import (
    NewQueue,
    NewTeam,
    QueueAnswer,
    QueueChange,
    TeamAnswer,
    TeamChange,
)
from waybill_routing.settings import Settings
from waybill_routing.store import ways
from waybill_routing.usecases.arranging import unknown

_TEAMS = Cursor[tuple[str]]("teams", tuple[str])
_QUEUES = Cursor[tuple[str]]("queues", tuple[str])
_ADMIN = [require("admin")]
_AGENT = [require("agent")]


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes of teams and queues."""
    routes = APIRouter(tags=["teams and queues"])
    _add_teams(routes, rt)
    _add_queues(routes, rt)
    return routes


def _add_teams(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get("/v1/teams", dependencies=_AGENT)
    async def teams(limit: Limit = 50, cursor: CursorParam = None) -> Page[TeamAnswer]:
        """Teams by slug."""
        after = _TEAMS.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await ways.team_page(connection, after=after and after[0], limit=limit + 1)
        return _TEAMS.page(
            rows, limit, position=lambda team: (team.slug,), item=TeamAnswer.model_validate
        )

    @routes.post("/v1/teams", status_code=201, response_model=TeamAnswer, dependencies=_ADMIN)
    async def add_team(body: NewTeam, once: RunOnce, dry_run: DryRun = False) -> Response:
        """Add a team, with a queue of the same name."""

        async def effect(uow: UnitOfWork) -> Response:
            team = await usecases.add_team(uow, Team(body.slug, body.name, body.escalation_level))
            return _team(team, status=201, location=f"/v1/teams/{team.slug}")

        return await once(effect, keep=not dry_run)

    @routes.get("/v1/teams/{team}", response_model=TeamAnswer, dependencies=_AGENT)
    async def one_team(team: str) -> Response:
        """A team, with the version to send as `If-Match`."""
        async with rt.database.reading() as connection:
            found = await ways.team(connection, team)
        if found is None:
            raise unknown("team", team)
        return _team(found)

    @routes.patch("/v1/teams/{team}", response_model=TeamAnswer, dependencies=_ADMIN)
    async def edit_team(
        team: str, body: TeamChange, expected: ExpectedVersion, dry_run: DryRun = False
    ) -> Response:
        """Change its name or how high it stands."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            return _team(
                await usecases.change_team(
                    uow,
                    team,
                    name=body.name,
                    escalation_level=body.escalation_level,
                    expected=expected,
                )
            )

    @routes.delete("/v1/teams/{team}", status_code=204, dependencies=_ADMIN)
    async def remove_team(
        team: str, expected: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Take a team and its queues away; 409 while agents, rules or tickets belong to it."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await usecases.remove_team(uow, team, expected=expected)
        return Response(status_code=204)


def _add_queues(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get("/v1/queues", dependencies=_AGENT)
    async def queues(limit: Limit = 50, cursor: CursorParam = None) -> Page[QueueAnswer]:
        """Queues by slug, with how many open tickets wait in each and since when."""
        after = _QUEUES.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await ways.queue_page(connection, after=after and after[0], limit=limit + 1)
        return _QUEUES.page(
            rows, limit, position=lambda row: (row.queue.slug,), item=QueueAnswer.of
        )

    @routes.post("/v1/queues", status_code=201, response_model=QueueAnswer, dependencies=_ADMIN)
    async def add_queue(body: NewQueue, once: RunOnce, dry_run: DryRun = False) -> Response:
        """Add a queue; rules lead tickets to it."""

        async def effect(uow: UnitOfWork) -> Response:
            queue = await usecases.add_queue(uow, Queue(**dict(body)))
            return await _queue(uow, queue, status=201, location=f"/v1/queues/{queue.slug}")

        return await once(effect, keep=not dry_run)

    @routes.get("/v1/queues/{queue}", response_model=QueueAnswer, dependencies=_AGENT)
    async def one_queue(queue: str) -> Response:
        """A queue, with the version to send as `If-Match`."""
        async with rt.database.reading() as connection:
            found = await ways.queue(connection, queue)
        if found is None:
            raise unknown("queue", queue)
        return respond(QueueAnswer.of(found), version=found.queue.version)

    @routes.patch("/v1/queues/{queue}", response_model=QueueAnswer, dependencies=_ADMIN)
    async def edit_queue(
        queue: str, body: QueueChange, expected: ExpectedVersion, dry_run: DryRun = False
    ) -> Response:
        """Change how its agents are chosen, or whose it is; 409 for another team while it is used.

        Tickets that wait in it are given by the new strategy from now on.
        """
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            found = await usecases.change_queue(
                uow, queue, body.model_dump(exclude_unset=True), expected=expected
            )
            return await _queue(uow, found)

    @routes.delete("/v1/queues/{queue}", status_code=204, dependencies=_ADMIN)
    async def remove_queue(
        queue: str, expected: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Take a queue away; 409 while rules lead to it or tickets belong to it."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await usecases.remove_queue(uow, queue, expected=expected)
        return Response(status_code=204)


def _team(team: Team, *, status: int = 200, location: str | None = None) -> Response:
    return respond(
        TeamAnswer.model_validate(team), status=status, version=team.version, location=location
    )


async def _queue(
    uow: UnitOfWork, queue: Queue, *, status: int = 200, location: str | None = None
) -> Response:
    found = await ways.queue(uow.connection, queue.slug)
    assert found is not None
    return respond(QueueAnswer.of(found), status=status, version=queue.version, location=location)
