"""`GET/PUT /v1/<service>/settings`, and the same for each product where a service has such."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import ValidationError
from starlette.responses import Response

from waybill_chassis import stored_settings, validation
from waybill_chassis.auth import Principal
from waybill_chassis.database import Database
from waybill_chassis.http.callers import Caller, require
from waybill_chassis.http.rendering import respond
from waybill_chassis.http.versions import RequiredVersion
from waybill_chassis.problems import Forbidden, NotFound, check_version
from waybill_chassis.stored_settings import Stored
from waybill_chassis.validation import Instant, RequestModel, ResponseModel

M = TypeVar("M", bound=RequestModel)

Product = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", examples=["demo"])]
DryRun = Annotated[
    bool, Query(description="Check it and answer as if it were done; nothing is changed.")
]


class SettingsView(ResponseModel, Generic[M]):
    """What is in force, and what of it was set by whom; the rest are defaults."""

    settings: M
    given: dict[str, Any]
    version: int
    changed_at: Instant | None
    changed_by: str | None


@dataclass(frozen=True, slots=True)
class PerProduct:
    """The settings that each product has."""

    model: type[RequestModel]
    products_may: Collection[str] = field(default_factory=tuple)
    """The fields that a product's own token may set; everything else is for admins."""


def settings_routes(
    database: Database,
    service: str,
    model: type[RequestModel],
    per_product: PerProduct | None = None,
) -> APIRouter:
    """The routes of a service's settings; `model` has a default for each field."""
    routes = APIRouter(tags=["settings"])
    path = f"/v1/{service}/settings"
    view = SettingsView.__class_getitem__(model)

    @routes.get(path, response_model=view, dependencies=[require("agent")])
    async def read_settings() -> Response:
        """What is in force, with the version to send as `If-Match`."""
        return await _read(database, model, "")

    async def change_settings(
        body: RequestModel, caller: Caller, version: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Replace what is set; what is left out is as the environment says again."""
        return await _change(database, service, "", body, caller, version, None, dry_run=dry_run)

    # The framework reads the body's fields from the annotation.
    change_settings.__annotations__["body"] = model
    routes.put(path, response_model=view, dependencies=[require("admin")])(change_settings)
    if per_product is not None:
        _add_product(routes, database, service, per_product)
    return routes


def _add_product(
    routes: APIRouter, database: Database, service: str, per_product: PerProduct
) -> None:
    path = f"/v1/{service}/settings/{{product}}"
    view = SettingsView.__class_getitem__(per_product.model)

    @routes.get(path, response_model=view, dependencies=[require("agent", "service")])
    async def read_product_settings(product: Product, caller: Caller) -> Response:
        """What is in force for a product, for those who work on it and for itself."""
        _see(caller, product)
        return await _read(database, per_product.model, product)

    async def change_product_settings(
        product: Product,
        body: RequestModel,
        caller: Caller,
        version: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Replace what is set for a product; its own token replaces only what is its to set."""
        _see(caller, product)
        only = None if caller.has("admin") else per_product.products_may
        return await _change(
            database, service, product, body, caller, version, only, dry_run=dry_run
        )

    change_product_settings.__annotations__["body"] = per_product.model
    routes.put(path, response_model=view, dependencies=[require("admin", "service")])(
        change_product_settings
    )


def _see(caller: Principal, product: str) -> None:
    """Raise `NotFound` for a product that is not the caller's."""
    if not caller.can_see_product(product):
        raise NotFound(f"There is no product {product} that your token covers.")


async def _read(database: Database, model: type[RequestModel], scope: str) -> Response:
    async with database.reading() as connection:
        stored = await stored_settings.read_document(connection, scope)
    return _shown(database, model, scope, stored)


async def _change(
    database: Database,
    service: str,
    scope: str,
    body: RequestModel,
    caller: Principal,
    version: int | None,
    only: Collection[str] | None,
    *,
    dry_run: bool,
) -> Response:
    model = type(body)
    document: dict[str, Any] = json.loads(body.model_dump_json(exclude_unset=True))
    try:
        stored_settings.fitting(model, document, database.settings.defaults)
    except ValidationError as error:
        raise validation.invalid(error) from None
    async with database.unit_of_work(keep=not dry_run) as uow:
        before = await stored_settings.lock(uow, scope)
        check_version(version, before.version)
        if only is not None:
            document = _own(before, document, only)
        if document == before.document:
            return _shown(database, model, scope, before)
        by = caller.known_as
        after = await stored_settings.write(uow, scope, before, document, by)
    if dry_run:
        return _shown(database, model, scope, after)
    database.settings.forget()
    stored_settings.log_change(service, scope, before, after)
    return _shown(database, model, scope, after)


def _own(before: Stored, document: dict[str, Any], only: Collection[str]) -> dict[str, Any]:
    """What it becomes when somebody may set `only` these; the rest may be sent as it stands."""
    foreign = [
        name
        for name, value in document.items()
        if name not in only and before.document.get(name) != value
    ]
    if foreign:
        raise Forbidden(
            f"Only an admin sets {', '.join(foreign)}; your own are {', '.join(sorted(only))}.",
            required_roles=["admin"],
        )
    kept = {name: value for name, value in before.document.items() if name not in only}
    return kept | {name: value for name, value in document.items() if name in only}


def _shown(database: Database, model: type[RequestModel], scope: str, stored: Stored) -> Response:
    snapshot = stored_settings.Snapshot({scope: stored}, database.settings.defaults)
    return respond(
        SettingsView[Any](
            settings=snapshot.of(model, scope),
            given=dict(stored.document),
            version=stored.version,
            changed_at=stored.changed_at,
            changed_by=stored.changed_by,
        ),
        version=stored.version,
    )
