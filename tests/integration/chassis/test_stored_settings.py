"""What is promised of settings that are kept in the database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import Field
from sqlalchemy import event
from structlog.testing import capture_logs
from waybill_chassis import stored_settings
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_chassis.health import Health
from waybill_chassis.http import PerProduct, create_app, settings_routes
from waybill_chassis.stored_settings import create_settings_table
from waybill_chassis.testing.tokens import Mint
from waybill_chassis.validation import Duration, RequestModel

PATH = "/v1/intake/settings"


class Numbers(RequestModel):
    """A service's settings."""

    share: float = Field(default=0.5, ge=0, le=1)
    wait: Duration = timedelta(hours=1)
    loud: bool = False


class Own(RequestModel):
    """A product's settings."""

    colour: str = "blue"
    limit: int = 7


@dataclass
class Environment:
    """What the environment says."""

    share: float = 0.8


@dataclass
class Replica:
    """One process of a service, and how often it asked the database."""

    database: Database
    client: httpx.AsyncClient
    mint: Mint
    statements: list[str]

    async def ask(
        self,
        method: str,
        body: Any = None,
        *,
        path: str = PATH,
        role: str = "admin",
        **options: Any,
    ) -> httpx.Response:
        headers = self.mint.headers(role, products=options.pop("products", ("*",)))
        headers["If-Match"] = options.pop("version", "*")
        return await self.client.request(method, path, json=body, headers=headers, **options)

    async def numbers(self) -> Numbers:
        async with self.database.unit_of_work() as uow:
            return (await uow.settings()).of(Numbers)


@pytest.fixture
async def replicas(
    new_database: Database, database_url: str, mint: Mint, clock: ManualClock
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two processes of a service over one database."""
    async with new_database.engine.begin() as connection:
        await connection.run_sync(create_settings_table)
    made = []
    for _ in range(2):
        database = Database(database_url, service="intake", clock=clock, defaults=Environment())
        routes = settings_routes(database, "intake", Numbers, PerProduct(Own, ("colour",)))
        app = create_app(title="test", routers=[routes], verifier=mint.verifier(), health=Health())
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        replica = Replica(database, client, mint, [])
        event.listen(
            database.engine.sync_engine,
            "before_cursor_execute",
            lambda *found, kept=replica.statements: kept.append(found[2]),
        )
        made.append(replica)
    yield made[0], made[1]
    for replica in made:
        await replica.client.aclose()
        await replica.database.close()


async def test_what_nobody_has_set_is_as_the_environment_says(
    replicas: tuple[Replica, Replica],
) -> None:
    answer = await replicas[0].ask("GET", role="lead")
    assert answer.json() == {
        "settings": {"share": 0.8, "wait": "PT1H", "loud": False},
        "given": {},
        "version": 0,
        "changed_at": None,
        "changed_by": None,
    }
    assert answer.headers["etag"] == '"0"'
    assert (await replicas[0].numbers()).share == 0.8


async def test_a_change_is_seen_here_at_once_and_elsewhere_within_a_second(
    replicas: tuple[Replica, Replica], clock: ManualClock
) -> None:
    here, there = replicas
    assert (await here.numbers()).share == (await there.numbers()).share == 0.8
    answer = await here.ask("PUT", {"share": 0.9, "wait": "PT90M"}, version='"0"')
    assert answer.status_code == 200, answer.text
    assert answer.json()["settings"] == {"share": 0.9, "wait": "PT1H30M", "loud": False}
    assert answer.json()["changed_by"] == "ana@example.com"
    assert (await here.numbers()).wait == timedelta(minutes=90)
    clock.advance(timedelta(seconds=0.9))
    assert (await there.numbers()).share == 0.8
    clock.advance(timedelta(seconds=0.1))
    assert (await there.numbers()).share == 0.9
    # What is left out of the next one is as before anybody set it.
    await here.ask("PUT", {"loud": True}, version='"1"')
    assert await here.numbers() == Numbers(share=0.8, loud=True)


async def test_work_asks_the_database_once_a_second(
    replicas: tuple[Replica, Replica], clock: ManualClock
) -> None:
    replica = replicas[0]
    for _ in range(50):
        await replica.numbers()
    assert len(replica.statements) == 1
    clock.advance(timedelta(seconds=1))
    for _ in range(50):
        await replica.numbers()
    assert len(replica.statements) == 2


async def test_a_stale_a_blind_and_a_wrong_change_change_nothing(
    replicas: tuple[Replica, Replica],
) -> None:
    replica = replicas[0]
    await replica.ask("PUT", {"share": 0.9})
    assert (await replica.ask("PUT", {"share": 0.1}, version='"0"')).status_code == 412
    headers = replica.mint.headers("admin")
    assert (await replica.client.put(PATH, json={}, headers=headers)).status_code == 428
    wrong = await replica.ask("PUT", {"share": 2, "wait": 3600, "lowd": True})
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [
        {"field": "share", "message": "must be at most 1.0"},
        {"field": "wait", "message": "must be an ISO 8601 duration such as PT15M"},
        {
            "field": "lowd",
            "message": "is not a known field; the known ones are loud, share, wait",
        },
    ]
    assert (await replica.ask("PUT", {"share": 0.2}, role="lead")).status_code == 403
    assert (await replica.ask("GET", role="submitter")).status_code == 403
    looked = await replica.ask("PUT", {"share": 0.2}, params={"dry_run": "true"})
    assert looked.json()["settings"]["share"] == 0.2
    assert (await replica.numbers()).share == 0.9
    assert (await replica.ask("GET")).headers["etag"] == '"1"'


async def test_the_same_again_is_no_change_and_each_change_is_logged(
    replicas: tuple[Replica, Replica],
) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            assert (await replicas[0].ask("PUT", {"share": 0.9})).headers["etag"] == '"1"'
        await replicas[0].ask("PUT", {"share": 0.7, "loud": True})
    told = [line for line in logs if line["event"] == "settings changed"]
    assert [line["before"] for line in told] == [{"share": None}, {"loud": None, "share": 0.9}]
    assert told[1]["after"] == {"loud": True, "share": 0.7}
    assert told[1]["changed_by"] == "ana@example.com"


async def test_a_product_sets_what_is_its_own_and_nothing_else(
    replicas: tuple[Replica, Replica],
) -> None:
    replica, shop = replicas[0], {"path": f"{PATH}/shop"}
    product = {"role": "service", "products": ("shop",), **shop}
    assert (await replica.ask("PUT", {"limit": 3}, **shop)).is_success
    answer = await replica.ask("PUT", {"colour": "red"}, **product)
    assert answer.json()["settings"] == {"colour": "red", "limit": 3}
    assert (await replica.ask("PUT", {"colour": "red", "limit": 3}, **product)).is_success
    refused = await replica.ask("PUT", {"limit": 9}, **product)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "Only an admin sets limit; your own are colour."
    elsewhere = {"role": "service", "products": ("bank",), **shop}
    assert (await replica.ask("PUT", {}, **elsewhere)).status_code == 404
    assert (await replica.ask("GET", **elsewhere)).status_code == 404
    async with replica.database.unit_of_work() as uow:
        settings = await uow.settings()
        assert settings.of(Own, "shop") == Own(colour="red", limit=3)
        assert settings.of(Own, "bank") is settings.of(Own, "others") == Own()


async def test_what_another_version_wrote_stops_nobody(
    replicas: tuple[Replica, Replica],
) -> None:
    replica = replicas[0]
    document = {"share": 7, "gone": True, "loud": True}
    async with replica.database.unit_of_work() as uow:
        before = await stored_settings.lock(uow, "")
        await stored_settings.write(uow, "", before, document, "somebody")
    with capture_logs() as logs:
        assert await replica.numbers() == Numbers(share=0.8, loud=True)
    assert [line["left_out"] for line in logs] == [["gone", "share"]]
