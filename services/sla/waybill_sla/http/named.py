"""Documents that have a name and versions: the same routes for each kind of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, Generic, Protocol, TypeVar

from fastapi import APIRouter, Depends, Path
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    Limit,
    Page,
    RequestModel,
    RequiredVersion,
    ResponseModel,
    RunOnce,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_sla.http.callers import Admin, Reader
from waybill_sla.settings import Settings


class View(Protocol):
    """How a document is shown: by its name and version, among other things."""

    @property
    def name(self) -> str:
        """Which one it is."""
        ...

    @property
    def version(self) -> int:
        """What is to be sent as `If-Match`."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """By whom, of which version if they say, and whether for what is open, too."""

    by: str
    version: int | None = None
    redate: bool = False


async def _nothing(_body: Any) -> None:
    pass


async def _no() -> bool:
    return False


Never = Annotated[bool, Depends(_no)]
"""Nobody is asked whether what is open is to be dated anew."""

V = TypeVar("V", bound=ResponseModel)


@dataclass(frozen=True, slots=True)
class Kind(Generic[V]):
    """A kind of documents. What the functions say of themselves describes the routes."""

    path: str
    one: str
    many: str
    new: type[RequestModel]
    body: type[RequestModel]
    view: type[V]
    page: Callable[[AsyncConnection, Principal, str | None, int], Awaitable[list[V]]]
    read: Callable[[AsyncConnection, Principal, str], Awaitable[V]]
    create: Callable[[UnitOfWork, Any, Any, Change], Awaitable[V]]
    change: Callable[[UnitOfWork, str, Any, Any, Change], Awaitable[V]]
    remove: Callable[[UnitOfWork, str, Change], Awaitable[None]]
    whole: type[ResponseModel] | None = None
    """What one of them is shown as, if not as in the list."""
    prepare: Callable[[Any], Awaitable[Any]] = _nothing
    """What is worked out of a body before the transaction begins."""
    redate: Any = Never


def add_routes(routes: APIRouter, rt: Runtime[Settings], kind: Kind[Any]) -> None:
    """List, create, read, replace and remove them; each write only of the version that was read."""
    names = Cursor[str](f"sla {kind.many}", str)
    one = f"{kind.path}/{{{kind.one}}}"
    name_in_path = Annotated[str, Path(alias=kind.one, max_length=63, examples=["office"])]

    async def list_(caller: Reader, limit: Limit = 50, cursor: CursorParam = None) -> Response:
        async with rt.database.reading() as connection:
            found = await kind.page(connection, caller, names.decode(cursor), limit + 1)
        return respond(
            names.page(found, limit, position=lambda shown: shown.name, item=lambda shown: shown)
        )

    async def create(
        body: Any, caller: Admin, once: RunOnce, redate: bool = False, dry_run: DryRun = False
    ) -> Response:
        prepared = await kind.prepare(body)

        async def effect(uow: UnitOfWork) -> Response:
            change = Change(caller.known_as, redate=redate)
            shown: View = await kind.create(uow, body, prepared, change)
            return respond(
                shown,
                status=201,
                version=shown.version,
                headers={"Location": f"{kind.path}/{shown.name}"},
            )

        return await once(effect, keep=not dry_run)

    async def read(caller: Reader, name: str) -> Response:
        async with rt.database.reading() as connection:
            shown: View = await kind.read(connection, caller, name)
        return respond(shown, version=shown.version)

    async def change(
        name: str,
        body: Any,
        caller: Admin,
        version: RequiredVersion,
        redate: bool = False,
        dry_run: DryRun = False,
    ) -> Response:
        prepared = await kind.prepare(body)
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            asked = Change(caller.known_as, version, redate)
            shown: View = await kind.change(uow, name, body, prepared, asked)
        return respond(shown, version=shown.version)

    async def remove(
        name: str,
        caller: Admin,
        version: RequiredVersion,
        redate: bool = False,
        dry_run: DryRun = False,
    ) -> Response:
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await kind.remove(uow, name, Change(caller.known_as, version, redate))
        return Response(status_code=204)

    # The framework reads from the annotations what a request holds.
    for named in (read, change, remove):
        named.__annotations__["name"] = name_in_path
    for dated in (create, change, remove):
        dated.__annotations__["redate"] = kind.redate
    create.__annotations__["body"] = kind.new
    change.__annotations__["body"] = kind.body

    def add(method: str, path: str, word: str, way: Any, said: Any, view: Any, status: int) -> None:
        routes.add_api_route(
            path,
            way,
            methods=[method],
            name=f"{way.__name__.rstrip('_')}_{word}",
            description=getdoc(said),
            response_model=view,
            status_code=status,
        )

    listed = Page.__class_getitem__(kind.view)
    add("GET", kind.path, kind.many, list_, kind.page, listed, 200)
    add("POST", kind.path, kind.one, create, kind.create, kind.view, 201)
    add("GET", one, kind.one, read, kind.read, kind.whole or kind.view, 200)
    add("PUT", one, kind.one, change, kind.change, kind.view, 200)
    add("DELETE", one, kind.one, remove, kind.remove, None, 204)
