"""`waybill apply` with sla itself, over HTTP: the calendars of the example."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner
from waybill_chassis.clock import ManualClock
from waybill_chassis.testing.services import TestedService, on_a_port, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_cli import api
from waybill_cli.local.keys import JWKS_FILE, ensure_keys, mint
from waybill_cli.main import app
from waybill_sla import redating, simulating
from waybill_sla.agreed import agreement
from waybill_sla.bootstrap import build
from waybill_sla.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "calendars.yaml"

AGREEMENTS = EXAMPLE.parent / "sla.yaml"


@dataclass(frozen=True, slots=True)
class Command:
    """The command beside sla on a port; what the service does by itself is done by hand."""

    service: TestedService[Settings]
    env: dict[str, str]

    async def __call__(self, *arguments: str, command: str = "apply") -> tuple[int, str]:
        # Both speak on this process's stdout.
        with capture_logs():
            running = asyncio.create_task(
                asyncio.to_thread(CliRunner().invoke, app, [command, *arguments], env=self.env)
            )
            while not running.done():
                await redating.work(self.service.rt.database, agreement)
                await simulating.work(self.service.rt.database)
                await asyncio.wait({running}, timeout=0.05)
        done = running.result()
        return done.exit_code, done.output

    async def get(self, path: str) -> Any:
        return (await self.service.client.get(path, headers=self._admin())).json()

    async def post(self, path: str, body: Any) -> Any:
        return await self.service.client.post(path, json=body, headers=self._admin())

    def _admin(self) -> dict[str, str]:
        folder = Path(self.env["WAYBILL_DATA_DIR"]) / "keys"
        return {"authorization": f"Bearer {mint(folder, api.OPERATOR, timedelta(hours=1))}"}


@pytest.fixture
async def apply(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    tmp_path: Path,
) -> AsyncIterator[Command]:
    """The command, whose key sla trusts."""
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
        yield Command(tested, env)


async def test_calendars_are_created_once_and_changed_with_a_difference(
    apply: Command, tmp_path: Path
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
    apply: Command, tmp_path: Path
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
    (line,) = [number for number, text in _numbered(file) if "Europe/Bonn" in text]
    assert said.count(f"(line {line})") == 2
    assert "nothing was applied" in said
    code, said = await apply("-f", str(EXAMPLE), "--dry-run")
    assert (code, said.count("created")) == (0, 2), said


async def test_policies_ladders_and_settings_are_applied_once_and_changed_with_a_difference(
    apply: Command, tmp_path: Path
) -> None:
    """The example, a ladder with the policy that names it; an edited target is a new version."""
    code, said = await apply("-f", str(AGREEMENTS), "--dry-run")
    assert code == 0, said
    code, said = await apply("-f", str(AGREEMENTS), "--yes")
    assert code == 0, said
    assert "created    Ladder shop" in said
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


def _numbered(file: Path) -> list[tuple[int, str]]:
    return list(enumerate(file.read_text().splitlines(), start=1))


LADDER = """\
kind: Ladder
name: night
spec:
  rungs: [{name: left, when: {trigger: unassigned, after: PT10M}, level: tech_team}]
"""
POLICY = """\
kind: Policy
name: shop
spec:
  selector: {product: demo}
  calendar: office
  ladder: night
  targets:
    urgent: {response: PT10M, resolution: PT2H}
    high: {response: PT1H, resolution: PT8H}
    medium: {response: PT4H, resolution: P1D}
    low: {response: P1D, resolution: P3D}
"""
OFFICE = """\
kind: Calendar
name: office
spec:
  time_zone: UTC
  hours:
    monday: [{from: "00:00", to: "24:00"}]
"""


@pytest.mark.parametrize(
    ("kind", "old", "new", "line", "said"),
    [
        ("calendar", "UTC", "Moon/Base", 4, "spec.time_zone must be a time zone of the IANA"),
        (
            "calendar",
            'monday: [{from: "00:00", to: "24:00"}]',
            'monday: [{from: "09:00", to: "12:00"}, {from: "11:00", to: "13:00"}]',
            6,
            "spec.hours.monday must be windows apart, but 09:00-12:00 and 11:00-13:00 overlap",
        ),
        (
            "calendar",
            'monday: [{from: "00:00", to: "24:00"}]',
            "monday: []",
            5,
            "spec.hours must have a window on some day of the week",
        ),
        ("policy", "urgent: {response: PT10M", "urgent: {response: -PT10M", 8, "greater than"),
        ("policy", "high: {response: PT1H", "high: {response: P9D", 9, "must not be longer than"),
        ("policy", "ladder: night", "ladder: none", 6, "spec.ladder must be the name of a ladder"),
        ("policy", "calendar: office", "calendar: none", 5, "spec.calendar must be one of always"),
        ("policy", "    low: {response: P1D, resolution: P3D}\n", "", 7, "targets.low is required"),
        ("ladder", "level: tech_team", "level: tech_team, then: left", 4, "then is not a known"),
        (
            "ladder",
            "]",
            ", {name: b, when: {trigger: unassigned, after: PT1H}, level: senior_support}]",
            4,
            "spec.rungs.1.level must lead higher than tech_team, where the rung left has led",
        ),
    ],
)
async def test_what_is_wrong_is_refused_with_its_line_and_path_and_by_rest(
    apply: Command, tmp_path: Path, kind: str, old: str, new: str, line: int, said: str
) -> None:
    """Whatever it is, beside documents that are right: then none of them is applied."""
    parts = {"calendar": OFFICE, "ladder": LADDER, "policy": POLICY}
    assert old in parts[kind]
    parts[kind] = parts[kind].replace(old, new)
    before = sum(text.count("\n") + 1 for text in list(parts.values())[: list(parts).index(kind)])
    file = tmp_path / "x.yaml"
    file.write_text("---\n".join(parts.values()))
    code, output = await apply("-f", str(file), "--yes")
    assert code == 1, output
    place = f"{file}, document {list(parts).index(kind) + 1}: "
    (fault,) = [one for one in output.splitlines() if one.startswith(place)]
    assert said in fault
    assert fault.endswith(f"(line {before + line})")
    listed = await apply.get("/v1/sla/policies")
    assert [one["name"] for one in listed["items"]] == ["default"]
    listed = await apply.get("/v1/sla/calendars")
    assert [one["name"] for one in listed["items"]] == ["always"]
    # The same over REST, where the path begins with the field itself.
    alone = parts[kind].replace("calendar: office", "").replace("ladder: night", "")
    spec = yaml.safe_load(alone)
    refused = await apply.post(f"/v1/sla/{KINDS[kind]}", {"name": "x", **spec["spec"]})
    assert refused.status_code == 422, refused.text
    path = fault.removeprefix(place + "spec.").split(" ", 1)[0]
    assert refused.json()["errors"][0]["field"].removesuffix(".[key]") == path


KINDS = {"calendar": "calendars", "ladder": "ladders", "policy": "policies"}


async def test_open_tickets_go_by_a_policy_that_is_applied_with_redate(
    apply: Command, driven: Callable[[Any], Any], tmp_path: Path
) -> None:
    """How many there are is said first, and how far it has come until they are done."""
    sla = driven(apply.service)
    story, other = sla.ticket(), sla.ticket()
    other.ticket.product = "shop"
    await sla.hear(story.opened(), other.opened())
    file = tmp_path / "x.yaml"
    file.write_text("---\n".join((POLICY, LADDER, OFFICE)))
    code, said = await apply("-f", str(file), "--redate", "--dry-run")
    assert (code, "1 open clocks would be gone through" in said) == (0, True), said
    code, said = await apply("-f", str(file), "--redate", "--yes")
    assert code == 0, said
    assert "all open clocks are done" in said
    clock = (await sla.told(story))[-1].clock
    assert clock.targets[0].allowed.ToTimedelta() == timedelta(hours=4)
    assert (await sla.told(other))[-1].clock.targets[0].allowed.ToTimedelta() == timedelta(days=1)
    code, said = await apply("-f", str(file), "--redate", "--yes")
    assert (code, said.count("unchanged")) == (0, 3), said


async def test_a_simulation_shows_what_the_files_would_do(
    apply: Command, driven: Callable[[Any], Any], tmp_path: Path
) -> None:
    """Attainment, escalations and tickets side by side; nothing is applied."""
    sla = driven(apply.service)
    story = sla.ticket("high")
    await sla.hear(story.opened())
    await sla.pass_time(hours=1, minutes=30)
    await sla.hear(story.replied(sla.clock.now()))
    file = tmp_path / "x.yaml"
    file.write_text("---\n".join((POLICY.replace("office", "always"), LADDER)))
    code, said = await apply("-f", str(file), "--product", "demo", command="simulate")
    assert code == 0, said
    assert [line.split() for line in said.splitlines() if line.startswith("response")] == [
        ["response", "high", "100.0%", "0.0%", "0", "1", "0"]
    ]
    assert "1 tickets: 1 breaches more, 0 fewer; 1 tickets would have another policy" in said
    assert ["gained", "WB-1001", "high", "response"] in [one.split() for one in said.splitlines()]
    assert ["night", "left", "tech_team", "0", "1"] in [one.split() for one in said.splitlines()]
    listed = await apply.get("/v1/sla/policies")
    assert [one["name"] for one in listed["items"]] == ["default"]
    file.write_text("kind: SlaSettings\nspec: {reminder_1: PT12H}\n")
    code, said = await apply("-f", str(file), command="simulate")
    assert (code, "is nothing that can be simulated" in said) == (1, True), said
