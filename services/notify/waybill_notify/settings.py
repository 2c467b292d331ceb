"""What notify can be told by its environment."""

from datetime import timedelta
from email.utils import parseaddr
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode
from waybill_chassis.settings import ServiceSettings

from waybill_notify.domain import SLUG, RetryPolicy


class Settings(ServiceSettings):
    """`WAYBILL_NOTIFY_X` sets the field `x`; durations in ISO 8601, such as `PT72H`."""

    service: ClassVar[str] = "notify"

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=10025, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: str | None = None
    smtp_tls: Literal["auto", "none", "starttls", "tls"] = "auto"
    smtp_connections: int = Field(default=8, ge=1, le=100)
    smtp_timeout_seconds: float = Field(default=20.0, gt=0, le=300)
    mail_from: str = "Waybill <waybill@example.com>"

    batch: int = Field(default=50, ge=1, le=500)
    """Deliveries claimed together."""
    batches: int = Field(default=3, ge=1, le=20)
    """Batches under way at once, so that one is prepared while another is sent."""
    lease_seconds: float = Field(default=60.0, gt=0, le=3600)
    poll_seconds: float = Field(default=0.5, gt=0, le=1)

    attempts: int = Field(default=8, ge=1, le=50)
    retry_first_seconds: float = Field(default=30.0, gt=0)
    retry_factor: float = Field(default=3.0, ge=1, le=10)
    retry_most_seconds: float = Field(default=7200.0, gt=0)
    retry_jitter: float = Field(default=0.2, ge=0, lt=1)
    patience: timedelta = Field(default=timedelta(hours=72), gt=timedelta(0))
    """How long a delivery waits for a mail server that is away before it is given up."""

    links_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    suggest_timeout_seconds: float = Field(default=0.8, gt=0, le=10)
    answer_confidence: float = Field(default=0.5, ge=0, le=1)
    feed_products: Annotated[frozenset[str], NoDecode] = frozenset({"demo"})

    @field_validator("feed_products", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        slugs = frozenset(part.strip() for part in value.split(",") if part.strip())
        if wrong := sorted(slug for slug in slugs if not SLUG.fullmatch(slug)):
            raise ValueError(
                f"{', '.join(wrong)}: use lower-case letters, digits and dashes, as topics do"
            )
        return slugs

    @field_validator("lease_seconds")
    @classmethod
    def _longer_than_a_mail(cls, value: float, info: ValidationInfo) -> float:
        if value <= (least := 2 * info.data.get("smtp_timeout_seconds", 0.0)):
            raise ValueError(f"use more than {least:g}, twice what a mail may take")
        return value

    @field_validator("mail_from")
    @classmethod
    def _address(cls, value: str) -> str:
        address = parseaddr(value)[1]
        if "@" not in address or not address.isascii() or not value.isprintable():
            raise ValueError("use an address such as Support <support@example.com>")
        return value

    @property
    def mail_address(self) -> str:
        """Our own address, without the name."""
        return parseaddr(self.mail_from)[1]

    @property
    def mail_domain(self) -> str:
        """The domain of our own address, in which Message-IDs are made."""
        return self.mail_address.rpartition("@")[2]

    @property
    def retry_policy(self) -> RetryPolicy:
        """The retry schedule that the numbers above describe."""
        return RetryPolicy(
            attempts=self.attempts,
            first=timedelta(seconds=self.retry_first_seconds),
            factor=self.retry_factor,
            most=timedelta(seconds=self.retry_most_seconds),
            jitter=self.retry_jitter,
            patience=self.patience,
        )
