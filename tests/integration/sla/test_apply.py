"""`waybill apply` with sla itself, over HTTP: the calendars of the example."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner
from waybill_chassis.clock import ManualClock
from waybill_chassis.testing.services import on_a_port, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_cli.local.keys import JWKS_FILE, ensure_keys
from waybill_cli.main import app
from waybill_sla.bootstrap import build
from waybill_sla.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "calendars.yaml"

AGREEMENTS = EXAMPLE.parent / "sla.yaml"

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def apply(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    tmp_path: Path,
) -> AsyncIterator[Run]:
    """The command beside sla on a port, which trusts the command's key."""
    ensure_keys(tmp_path / "keys")
    async with (
        tested_service(
            "sla",
            build,
            Settings,
            database_url=await new_service_database("sla"),
            mint=mint,
            clock=clock,
            jwks_url=(tmp_path / "keys" / JWKS_FILE).as_uri(),
        ) as tested,
        on_a_port(tested) as address,
    ):
        env = {"WAYBILL_DATA_DIR": str(tmp_path), "WAYBILL_GATEWAY_URL": address}

        async def run(*arguments: str) -> tuple[int, str]:
            # Both speak on this process's stdout.
            with capture_logs():
                done = await asyncio.to_thread(
                    CliRunner().invoke, app, ["apply", *arguments], env=env
                )
            return done.exit_code, done.output

        yield run


async def test_calendars_are_created_once_and_changed_with_a_difference(
    apply: Run, tmp_path: Path
) -> None:
    """Applied again nothing is changed; an edit is shown before it is done."""
    code, said = await apply("-f", str(EXAMPLE), "--yes")
    assert code == 0, said
    assert "created    Calendar office" in said
    code, said = await apply("-f", str(EXAMPLE), "--yes")
    assert (code, said.count("unchanged")) == (0, 2), said
    file = tmp_path / "edited.yaml"
    file.write_text(EXAMPLE.read_text().replace("America/New_York", "America/Chicago"))
    code, said = await apply("-f", str(file), "--yes")
    assert code == 0, said
    assert "-time_zone: America/New_York" in said
    assert "+time_zone: America/Chicago" in said
    assert "changed    Calendar nights" in said


async def test_what_is_wrong_with_a_calendar_is_said_with_its_place(
    apply: Run, tmp_path: Path
) -> None:
    """Overlapping windows, an unknown zone and an empty week; nothing is applied."""
    file = tmp_path / "x.yaml"
    file.write_text(
        EXAMPLE.read_text().replace('"13:30", to: "18:00"', '"12:00", to: "18:00"')
        + "---\nkind: Calendar\nname: empty\nspec: {time_zone: Europe/Bonn, hours: {}}\n"
    )
    code, said = await apply("-f", str(file), "--yes")
    assert code == 1
    assert f"{file}, document 1: spec.hours.monday must be windows apart" in said
    assert f"{file}, document 3: spec.time_zone must be a time zone" in said
    assert f"{file}, document 3: spec.hours must have a window" in said
    assert "nothing was applied" in said
    code, said = await apply("-f", str(EXAMPLE), "--dry-run")
    assert (code, said.count("created")) == (0, 2), said


async def test_policies_ladders_and_settings_are_applied_once_and_changed_with_a_difference(
    apply: Run, tmp_path: Path
) -> None:
    """The example; an edited target is a new version of its policy."""
    code, said = await apply("-f", str(AGREEMENTS), "--dry-run")
    assert code == 1
    assert "spec.ladder must be the name of a ladder; there is no shop" in said
    ladder = tmp_path / "ladder.yaml"
    documents = AGREEMENTS.read_text().split("---\n")
    ladder.write_text("---\n".join(documents[:-1]))
    for file in (ladder, AGREEMENTS):
        code, said = await apply("-f", str(file), "--yes")
        assert code == 0, said
    assert "created    Policy shop-gold" in said
    code, said = await apply("-f", str(AGREEMENTS), "--yes")
    assert (code, said.count("unchanged")) == (0, 4), said
    edited = tmp_path / "edited.yaml"
    edited.write_text(AGREEMENTS.read_text().replace("PT10M, resolution", "PT12M, resolution"))
    code, said = await apply("-f", str(edited), "--yes")
    assert code == 0, said
    assert "-    response: PT10M" in said
    assert "+    response: PT12M" in said
    assert "changed    Policy shop-gold" in said
