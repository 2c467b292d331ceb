"""Settings are environment variables with defaults that work; a wrong one stops the start."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

SERVICES = ("intake", "routing", "sla", "notify", "kb")
ROLES = frozenset({"http", "rpc", "consumer", "relay", "timers"})


def default_http_port(service: str) -> int:
    """8101 to 8105, in the order of `SERVICES`."""
    return 8101 + SERVICES.index(service)


def default_grpc_port(service: str) -> int:
    """9101 to 9105, in the order of `SERVICES`."""
    return 9101 + SERVICES.index(service)


class _Names:
    """Which environment variables set a field, most specific first."""

    GLOBAL: ClassVar[dict[str, str]] = {"kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS"}

    @classmethod
    def of(cls, service: str, field: str) -> tuple[str, ...]:
        if field in cls.GLOBAL:
            return (cls.GLOBAL[field],)
        return (f"WAYBILL_{service}_{field}".upper(), f"WAYBILL_{field}".upper())


class _Environment(PydanticBaseSettingsSource):
    """Reads `WAYBILL_<SERVICE>_<FIELD>`, then `WAYBILL_<FIELD>`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        service = self.settings_cls.service  # type: ignore[attr-defined]
        for name in _Names.of(service, field_name):
            if (value := os.environ.get(name, "")) != "":
                return value, field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


class ServiceSettings(BaseSettings):
    """What every service can be told: `WAYBILL_<SERVICE>_X`, else `WAYBILL_X`, sets the field `x`.

    The broker is the one exception: `KAFKA_BOOTSTRAP_SERVERS`, as everywhere in its field.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")
    service: ClassVar[str]

    database_url: str = ""
    database_pool_size: int = Field(default=10, ge=2, le=100)
    kafka_bootstrap_servers: str = "127.0.0.1:19092"
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=0, ge=0, le=65535)
    roles: Annotated[frozenset[str], NoDecode] = ROLES
    jwks_url: str = ""
    jwt_issuer: str = "waybill"
    jwt_audience: str = "waybill"
    service_token_file: Path | None = None
    intake_grpc: str = "127.0.0.1:9101"
    routing_grpc: str = "127.0.0.1:9102"
    sla_grpc: str = "127.0.0.1:9103"
    notify_grpc: str = "127.0.0.1:9104"
    kb_grpc: str = "127.0.0.1:9105"
    data_dir: Path = Path(".waybill")
    public_url: str = "http://127.0.0.1:8080"
    demo: bool = False
    reconcile_pause_seconds: float = Field(default=2.0, ge=0, le=60)
    """After how long a comparison looks again at what differs: it may have been on its way."""
    grace_seconds: float = Field(default=20.0, gt=0, le=600)
    log_level: str = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment; nothing else is read."""
        return (init_settings, _Environment(settings_cls))

    @field_validator("roles", mode="before")
    @classmethod
    def _split_roles(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        roles = frozenset(part.strip() for part in value.split(",") if part.strip())
        if unknown := roles - ROLES:
            raise ValueError(
                f"unknown role {', '.join(sorted(unknown))}; use any of {', '.join(sorted(ROLES))}"
            )
        return roles

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("use debug, info, warning or error")
        return value.lower()

    def model_post_init(self, _: Any) -> None:
        """Fill in the defaults that depend on which service this is."""
        service = type(self).service
        name = f"waybill_{service}"
        defaults = {
            "database_url": f"postgresql://{name}:{name}@127.0.0.1:15432/{name}",
            "http_port": default_http_port(service),
            "grpc_port": default_grpc_port(service),
            "jwks_url": (self.data_dir / "keys" / "jwks.json").absolute().as_uri(),
        }
        for field, value in defaults.items():
            if field not in self.model_fields_set:
                object.__setattr__(self, field, value)


S = TypeVar("S", bound=ServiceSettings)


def load(settings: type[S], **overrides: Any) -> S:
    """Read the settings once; end the process with a line for each wrong one (exit code 2)."""
    try:
        return settings(**overrides)
    except ValidationError as error:
        for problem in error.errors():
            field = str(problem["loc"][0]) if problem["loc"] else "?"
            names = _Names.of(settings.service, field)
            name = next((name for name in names if os.environ.get(name)), names[-1])
            print(f"{name}: {problem['msg']} (it is {problem['input']!r})", file=sys.stderr)
        raise SystemExit(2) from None
