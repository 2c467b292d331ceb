"""What is promised of `waybill apply`: files against intake itself, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner
from waybill_chassis.clock import ManualClock
from waybill_chassis.testing.services import TestedService, on_a_port, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_cli.apply.kinds import KINDS
from waybill_cli.local.keys import JWKS_FILE, ensure_keys
from waybill_cli.main import app
from waybill_intake.bootstrap import build
from waybill_intake.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "settings.yaml"


@dataclass(frozen=True, slots=True)
class Applying:
    """The command beside the service it speaks to."""

    tested: TestedService[Settings]
    env: dict[str, str]
    folder: Path

    async def run(self, *arguments: str, input: str | None = None) -> tuple[int, str]:
        """`waybill apply` in a pipe: its exit code and all that it says."""
        # Both speak on this process's stdout.
        with capture_logs():
            done = await asyncio.to_thread(
                CliRunner().invoke, app, ["apply", *arguments], input=input, env=self.env
            )
        return done.exit_code, done.output

    def write(self, text: str) -> str:
        file = self.folder / "x.yaml"
        file.write_text(text)
        return str(file)

    async def kept(self) -> dict[str, Any]:
        """What was set, by scope."""
        async with self.tested.rt.database.reading() as connection:
            rows = await connection.exec_driver_sql("SELECT scope, document FROM settings")
            return {row.scope: row.document for row in rows}


@pytest.fixture
async def applying(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    tmp_path: Path,
) -> AsyncIterator[Applying]:
    """Intake on a port, which trusts the command's key."""
    ensure_keys(tmp_path / "keys")
    async with (
        tested_service(
            "intake",
            build,
            Settings,
            database_url=await new_service_database("intake"),
            mint=mint,
            clock=clock,
            jwks_url=(tmp_path / "keys" / JWKS_FILE).as_uri(),
        ) as tested,
        on_a_port(tested) as address,
    ):
        env = {"WAYBILL_DATA_DIR": str(tmp_path), "WAYBILL_GATEWAY_URL": address}
        yield Applying(tested, env, tmp_path)


async def test_the_example_is_applied_and_applied_again_changes_nothing(
    applying: Applying,
) -> None:
    code, said = await applying.run("-f", str(EXAMPLE), "--yes")
    assert code == 0, said
    assert "+++ " in said
    assert "+order_link: https://shop.example/orders/{ref}" in said
    assert said.splitlines()[-4:] == [
        "created    IntakeSettings",
        "created    ProductSettings shop",
        "created    Playbook shop order",
        "created    View support Waiting orders of the shop",
    ]
    kept = await applying.kept()
    assert kept[""] == {"triage_threshold": 0.85, "rating_window": "P30D"}
    assert kept["shop"]["tiers"] == {"gold": "high", "platinum": "urgent"}
    code, said = await applying.run("-f", str(EXAMPLE))
    assert code == 0
    assert said.splitlines() == [
        "unchanged  IntakeSettings",
        "unchanged  ProductSettings shop",
        "unchanged  Playbook shop order",
        "unchanged  View support Waiting orders of the shop",
    ]


async def test_what_is_checked_is_not_written(applying: Applying) -> None:
    """Every kind's routes know the question; one that did not would do what it is asked."""
    paths = (await applying.tested.client.get("/openapi.json")).json()["paths"]
    for kind in KINDS.values():
        path = kind.path  # type: ignore[attr-defined]
        for way, methods in paths.items():
            for method in {"put", "post", "patch"} & methods.keys():
                if way in (path, f"{path}/{{id}}"):
                    names = [one["name"] for one in methods[method]["parameters"]]
                    assert "dry_run" in names, f"{method} {way}"
    code, said = await applying.run("-f", str(EXAMPLE), "--dry-run")
    assert code == 0, said
    async with applying.tested.rt.database.reading() as connection:
        for table in ("settings", "playbooks", "saved_views"):
            found = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert found.scalar() == 0, table


async def test_it_shows_what_differs_and_asks(applying: Applying) -> None:
    file = applying.write("kind: IntakeSettings\nspec: {rating_window: PT24H}\n")
    assert (await applying.run("-f", file, input="n\n"))[0] == 1
    code, said = await applying.run("-f", file, "--dry-run")
    assert (code, said.splitlines()[-1]) == (0, "created    IntakeSettings")
    assert await applying.kept() == {}
    assert (await applying.run("-f", file, input="y\n"))[0] == 0
    file = applying.write(
        "kind: IntakeSettings\nspec: {rating_window: PT48H, default_priority: low}\n"
    )
    code, said = await applying.run("-f", file, "--yes")
    assert said.splitlines() == [
        "--- IntakeSettings",
        f"+++ {file}, document 1",
        "@@ -1 +1,2 @@",
        "-rating_window: P1D",
        "+default_priority: low",
        "+rating_window: P2D",
        "changed    IntakeSettings",
    ]


async def test_nothing_is_applied_if_any_document_is_wrong(applying: Applying) -> None:
    file = applying.write(
        "kind: IntakeSettings\nspec: {default_priority: low}\n---\n"
        "kind: ProductSettings\nproduct: shop\n"
        "spec: {custom_fields: {properties: {a: {type: txt}}}, order_link: x}\n---\n"
        "kind: Playbook\nproduct: shop\ntype: order\nspec: {points: [{id: A}]}\n---\n"
        "kind: Plan\nspec: {}\n"
    )
    code, said = await applying.run("-f", file, "--yes")
    assert code == 1
    assert await applying.kept() == {}
    for line in (
        f"{file}, document 2: spec.custom_fields.properties.a.type must be one of array",
        f"{file}, document 2: spec.order_link must have {{ref}} exactly once",
        f"{file}, document 3: spec.points.0.title is required",
        f"{file}, document 4: kind must be one of",
        "waybill: nothing was applied",
    ):
        assert line in said


async def test_nobody_who_was_faster_is_overwritten(
    applying: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed between the diff and the writing is not lost."""
    file = applying.write("kind: IntakeSettings\nspec: {default_priority: low}\n")
    loop = asyncio.get_running_loop()

    def meanwhile(*_: Any, **__: Any) -> bool:
        other = applying.write("kind: IntakeSettings\nspec: {default_priority: high}\n")
        asyncio.run_coroutine_threadsafe(applying.run("-f", other, "--yes"), loop).result(30)
        return True

    monkeypatch.setattr("waybill_cli.apply.command.typer.confirm", meanwhile)
    code, said = await applying.run("-f", file)
    assert code == 1
    assert "was changed meanwhile: apply it again; not applied: IntakeSettings" in said
    assert (await applying.kept())[""] == {"default_priority": "high"}
