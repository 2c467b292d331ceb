"""What the local stack can be told: environment variables with defaults that work."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from waybill_cli.errors import StackError
from waybill_cli.local.processes import HOST
from waybill_cli.places import project_root

SERVICES = ("intake", "routing", "sla", "notify", "kb")
MAX_REPLICAS = 20
# Ports of one service's replicas lie this far apart; the five services differ in the last digit.
REPLICA_STRIDE = 10


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a service, the first being number 1."""

    service: str
    number: int
    http_port: int
    grpc_port: int

    @property
    def name(self) -> str:
        """`sla` for the first, `sla-2` for the second."""
        return self.service if self.number == 1 else f"{self.service}-{self.number}"


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Ports, folders, and what is already there. Ports are on 127.0.0.1."""

    data_dir: Path
    gateway_port: int
    gateway_admin_port: int
    kafka_port: int
    kafka_controller_port: int
    postgres_port: int
    smtp_port: int
    http_ports: Mapping[str, int]
    grpc_ports: Mapping[str, int]
    external_kafka: str | None
    external_databases: Mapping[str, str]
    external_smtp: str | None
    external_gateway: str | None
    external_grpc: Mapping[str, str]

    @property
    def run_dir(self) -> Path:
        """Where the pid files are."""
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        """Where each process's log is."""
        return self.data_dir / "logs"

    @property
    def keys_dir(self) -> Path:
        """Where the signing key, the JWKS and the services' tokens are."""
        return self.data_dir / "keys"

    @property
    def gateway_url(self) -> str:
        """The one address to open."""
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def api_url(self) -> str:
        """Where the command line asks: our gateway, or the one WAYBILL_GATEWAY_URL names."""
        return self.external_gateway or self.gateway_url

    def grpc_address(self, service: str) -> str:
        """Where the command line asks a service over gRPC, as gRPC names it."""
        return self.external_grpc.get(service, f"{HOST}:{self.grpc_ports[service]}")

    @property
    def kafka(self) -> str:
        """What clients bootstrap from."""
        return self.external_kafka or f"{HOST}:{self.kafka_port}"

    def database_url(self, service: str) -> str:
        """The service's own database, under its own role."""
        name = f"waybill_{service}"
        ours = f"postgresql://{name}:{name}@{HOST}:{self.postgres_port}/{name}"
        return self.external_databases.get(service, ours)

    def replicas(self, counts: Mapping[str, int]) -> list[Replica]:
        """The processes of all services; replica n listens 10 * (n - 1) ports above the first."""
        return [
            Replica(
                service,
                number,
                self.http_ports[service] + REPLICA_STRIDE * (number - 1),
                self.grpc_ports[service] + REPLICA_STRIDE * (number - 1),
            )
            for service in SERVICES
            for number in range(1, counts.get(service, 1) + 1)
        ]


def read(env: Mapping[str, str] | None = None) -> StackSettings:
    """Read the settings from the environment. Raises StackError naming a variable that is wrong."""
    env = os.environ if env is None else env

    def port(name: str, default: int) -> int:
        text = env.get(name, "") or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            raise StackError(f"{name} is {text!r}; it must be a port from 1 to 65535")
        return int(text)

    gateway_port = port("WAYBILL_GATEWAY_PORT", 8080)
    kafka_port = port("WAYBILL_KAFKA_PORT", 19092)
    http_ports, grpc_ports, databases, peers = {}, {}, {}, {}
    for position, service in enumerate(SERVICES, start=1):
        prefix = f"WAYBILL_{service.upper()}"
        http_ports[service] = port(f"{prefix}_HTTP_PORT", 8100 + position)
        grpc_ports[service] = port(f"{prefix}_GRPC_PORT", 9100 + position)
        if url := env.get(f"{prefix}_DATABASE_URL", ""):
            databases[service] = url
        if target := env.get(f"{prefix}_GRPC", ""):
            peers[service] = target
    data_dir = env.get("WAYBILL_DATA_DIR", "")
    settings = StackSettings(
        data_dir=Path(data_dir).expanduser().resolve() if data_dir else project_root() / ".waybill",
        gateway_port=gateway_port,
        gateway_admin_port=port("WAYBILL_GATEWAY_ADMIN_PORT", gateway_port + 1),
        kafka_port=kafka_port,
        kafka_controller_port=port("WAYBILL_KAFKA_CONTROLLER_PORT", kafka_port + 1),
        postgres_port=port("WAYBILL_POSTGRES_PORT", 15432),
        smtp_port=port("WAYBILL_SMTP_PORT", 10025),
        http_ports=http_ports,
        grpc_ports=grpc_ports,
        external_kafka=env.get("KAFKA_BOOTSTRAP_SERVERS", "") or None,
        external_databases=databases,
        external_smtp=env.get("WAYBILL_SMTP_HOST", "") or None,
        external_gateway=env.get("WAYBILL_GATEWAY_URL", "").rstrip("/") or None,
        external_grpc=peers,
    )
    _require_distinct(settings)
    return settings


def parse_replicas(text: str) -> dict[str, int]:
    """`sla=2,intake=2` as numbers. Raises StackError saying what would be right."""
    counts: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([a-z]+)\s*=\s*([0-9]{1,4})", item)
        if match is None:
            raise StackError(f"--replicas {item!r}: write SERVICE=NUMBER, as in sla=2,intake=2")
        service, count = match[1], int(match[2])
        if service not in SERVICES:
            raise StackError(f"--replicas: no service {service!r}; use {', '.join(SERVICES)}")
        if service in counts:
            raise StackError(f"--replicas names {service} twice")
        if not 1 <= count <= MAX_REPLICAS:
            raise StackError(f"--replicas {item}: run 1 to {MAX_REPLICAS} of a service")
        counts[service] = count
    return counts


def _require_distinct(settings: StackSettings) -> None:
    ports = {
        "WAYBILL_GATEWAY_PORT": settings.gateway_port,
        "WAYBILL_GATEWAY_ADMIN_PORT": settings.gateway_admin_port,
        "WAYBILL_KAFKA_PORT": settings.kafka_port,
        "WAYBILL_KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
        "WAYBILL_POSTGRES_PORT": settings.postgres_port,
        "WAYBILL_SMTP_PORT": settings.smtp_port,
    }
    for service in SERVICES:
        ports[f"WAYBILL_{service.upper()}_HTTP_PORT"] = settings.http_ports[service]
        ports[f"WAYBILL_{service.upper()}_GRPC_PORT"] = settings.grpc_ports[service]
    seen: dict[int, str] = {}
    for name, number in ports.items():
        if number in seen:
            raise StackError(f"{name} and {seen[number]} are both {number}; move one")
        seen[number] = name
