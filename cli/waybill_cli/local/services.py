"""The five services as processes: what each is told, how it starts, when it is ready."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from waybill_cli.errors import StackError
from waybill_cli.local.keys import JWKS_FILE, service_token_file
from waybill_cli.local.processes import HOST, Process, last_words, spawn
from waybill_cli.local.settings import SERVICES, Replica, StackSettings

# Longer than the services' own grace period of 20 s.
STOP_SECONDS = 25.0


def environment(
    settings: StackSettings,
    replica: Replica,
    replicas: Sequence[Replica],
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What a replica is told, on top of the environment we were started in."""
    base = os.environ if base is None else base
    mine = f"WAYBILL_{replica.service.upper()}"
    attributes = f"service.instance.id={replica.name}"
    if given := base.get("OTEL_RESOURCE_ATTRIBUTES"):
        attributes = f"{given},{attributes}"
    told = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "WAYBILL_DATA_DIR": str(settings.data_dir),
        "WAYBILL_JWKS_URL": (settings.keys_dir / JWKS_FILE).as_uri(),
        "WAYBILL_SERVICE_TOKEN_FILE": str(service_token_file(settings.keys_dir, replica.service)),
        "WAYBILL_PUBLIC_URL": base.get("WAYBILL_PUBLIC_URL", "") or settings.gateway_url,
        "WAYBILL_SMTP_HOST": settings.external_smtp or HOST,
        "WAYBILL_SMTP_PORT": str(settings.smtp_port),
        "WAYBILL_DEMO": base.get("WAYBILL_DEMO", "") or "1",
        "OTEL_RESOURCE_ATTRIBUTES": attributes,
        "PYTHONUNBUFFERED": "1",
        f"{mine}_DATABASE_URL": settings.database_url(replica.service),
        f"{mine}_HTTP_PORT": str(replica.http_port),
        f"{mine}_GRPC_PORT": str(replica.grpc_port),
    }
    for service in SERVICES:
        peers = [f"{HOST}:{peer.grpc_port}" for peer in replicas if peer.service == service]
        # gRPC's own way to name several addresses.
        told[f"WAYBILL_{service.upper()}_GRPC"] = (
            peers[0] if len(peers) == 1 else f"ipv4:{','.join(peers)}"
        )
    return {**base, **told}


def address(replica: Replica) -> str:
    """Where it answers HTTP."""
    return f"http://{HOST}:{replica.http_port}"


def log_file(settings: StackSettings, name: str) -> Path:
    """The log of a process by its name."""
    return settings.log_dir / f"{name}.log"


def migrate(settings: StackSettings, replica: Replica, replicas: Sequence[Replica]) -> None:
    """Bring the service's database to the newest version. Raises StackError with what it said."""
    log = log_file(settings, replica.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        result = subprocess.run(
            [*_python(replica.service), "migrate"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=settings.data_dir,
            env=environment(settings, replica, replicas),
        )
    if result.returncode != 0:
        raise StackError(f"{replica.service}'s database cannot be migrated: {last_words(log)}")


def launch(settings: StackSettings, replica: Replica, replicas: Sequence[Replica]) -> Process:
    """Start a replica without waiting for it."""
    return spawn(
        replica.name,
        _python(replica.service),
        address=address(replica),
        log_file=log_file(settings, replica.name),
        env=environment(settings, replica, replicas),
        cwd=settings.data_dir,
    )


def ready(url: str) -> bool:
    """Whether `url` answers with 200."""
    try:
        # The environment's proxies are not for this machine's own ports.
        with httpx.Client(trust_env=False, timeout=3.0) as client:
            return client.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _python(service: str) -> list[str]:
    # -P: a folder of the working directory never stands in for a package.
    return [sys.executable, "-P", "-m", f"waybill_{service}"]
