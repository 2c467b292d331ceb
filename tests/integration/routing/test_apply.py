"""People and rules as YAML: `waybill apply` and `waybill export` against routing itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner
from waybill_chassis.testing.services import on_a_port
from waybill_cli.local.keys import JWKS_FILE, ensure_keys
from waybill_cli.main import app

EXAMPLE = Path(__file__).parents[3] / "examples" / "staffing.yaml"
KINDS = ("RoutingSettings", "Team", "Queue", "Agent", "RoutingRule")


@pytest.fixture
async def waybill(routing_over: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """The command beside routing on a port, which trusts its key."""
    ensure_keys(tmp_path / "keys")
    async with (
        routing_over(jwks_url=(tmp_path / "keys" / JWKS_FILE).as_uri()) as routing,
        on_a_port(routing.service) as address,
    ):
        env = {"WAYBILL_DATA_DIR": str(tmp_path), "WAYBILL_GATEWAY_URL": address}

        async def run(*arguments: str) -> tuple[int, str]:
            with capture_logs():
                done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)
            return done.exit_code, done.output

        run.routing = routing  # type: ignore[attr-defined]
        yield run


async def test_people_are_applied_exported_and_applied_again(waybill: Any, tmp_path: Path) -> None:
    """A new agent in a new team, a stand-in and a queue that are new: all at once."""
    code, said = await waybill("apply", "-f", str(EXAMPLE), "--yes")
    assert code == 0, said
    assert [line for line in said.splitlines() if line.startswith("created")] == [
        "created    RoutingSettings",
        "created    Team payments",
        "created    Queue payments",
        "created    Agent gita@example.com",
        "created    Agent hugo@example.com",
        "created    RoutingRule refunds",
        "created    RoutingRule card-trouble",
    ]
    code, said = await waybill("apply", "-f", str(EXAMPLE))
    assert (code, {line.split()[0] for line in said.splitlines()}) == (0, {"unchanged"})
    code, exported = await waybill("export", *KINDS)
    assert code == 0, exported
    documents = list(yaml.safe_load_all(exported))
    (gita,) = [one for one in documents if one.get("email") == "gita@example.com"]
    assert gita["spec"]["absences"][0]["stand_in"] == "hugo@example.com"
    assert gita["spec"]["capacity"] == 20
    file = tmp_path / "all.yaml"
    file.write_text(exported)
    code, said = await waybill("apply", "-f", str(file))
    assert (code, {line.split()[0] for line in said.splitlines()}) == (0, {"unchanged"})
    assert len(said.splitlines()) == len(documents) == 1 + 5 + 5 + 2 + 3


async def test_an_export_rebuilds_what_it_was_taken_from(
    waybill: Any, routing_over: Any, tmp_path: Path
) -> None:
    """What is empty and is not the default is not lost: nobody's room, a rule that is off."""
    file = tmp_path / "odd.yaml"
    text = (
        "kind: Agent\nemail: no@example.com\nspec: {name: No, teams: [], capacity: 0}\n---\n"
        "kind: RoutingRule\nname: 'off'\nspec: {queue: tech_team, enabled: false, position: 0}\n"
        "---\nkind: RoutingRule\nname: default\nspec: {queue: tech_team}\n"
    )
    file.write_text(text)
    code, said = await waybill("apply", "-f", str(file), "--yes")
    assert code == 0, said
    exported = (await waybill("export", *KINDS))[1]
    specs = {one.get("email") or one.get("name"): one["spec"] for one in
             yaml.safe_load_all(exported) if one["kind"] in ("Agent", "RoutingRule")}  # fmt: skip
    assert specs == {
        "no@example.com": {"name": "No", "teams": [], "capacity": 0},
        "off": {"queue": "tech_team", "enabled": False, "position": 0},
        "default": {"queue": "tech_team"},
    }


async def test_nothing_is_applied_if_a_document_is_wrong(waybill: Any, tmp_path: Path) -> None:
    """Each fault is said with its document, and none of the others is there."""
    file = tmp_path / "x.yaml"
    file.write_text(
        "kind: Team\nslug: night\nspec: {name: Night}\n---\n"
        "kind: Agent\nemail: zoe@example.com\nspec: {name: Zoe, teams: [day]}\n"
    )
    code, said = await waybill("apply", "-f", str(file), "--yes")
    assert code == 1
    assert "document 2: spec.teams must be teams that there are: not day" in said
    answer = await waybill.routing.rows("SELECT slug FROM teams WHERE slug = 'night'")
    assert answer == []


async def test_nobody_who_was_faster_is_overwritten(routing: Any) -> None:
    """Each is written only if it still stands as it was read, and all of them or none."""
    body: dict[str, Any] = {
        "teams": [{"slug": "night", "name": "Night", "version": 0}],
        "rules": [{"name": "default", "queue": "night", "version": 7}],
    }
    refused = await routing.call("POST", "/v1/routing/staffing", body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "rules.0"
    assert (await routing.call("GET", "/v1/teams/night")).status_code == 404
    body["rules"][0]["version"] = 1
    done = await routing.call("POST", "/v1/routing/staffing", body)
    assert done.json()["rules"][0]["queue"] == "night"
    again = await routing.call("POST", "/v1/routing/staffing", body)
    assert again.json()["errors"][0]["field"] == "teams.0"
