"""What intake can be told by its environment."""

from typing import Any, ClassVar

from pydantic import Field, field_validator
from waybill_chassis.settings import ServiceSettings

from waybill_intake.attachments.objects import SCHEMES
from waybill_intake.kept_settings import Changeable


class Settings(ServiceSettings, Changeable):
    """`WAYBILL_INTAKE_X` sets the field `x`; durations in ISO 8601, such as `PT24H`.

    What is `Changeable` counts until the database says otherwise.
    """

    service: ClassVar[str] = "intake"

    default_product: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """Of a ticket for which neither the body nor the token names one; empty: it is refused."""
    attachments_url: str = ""
    """Where files are kept: `file:///folder`, `s3://bucket/prefix`, `gs://...` or `az://...`.

    Empty: the folder `attachments` below `data_dir`.
    """
    attachments_max_bytes: int = Field(default=25 * 1024 * 1024, ge=1, le=5 * 1024**3)
    """How long a file may be."""
    page_timeout_seconds: float = Field(default=0.8, gt=0, le=10)
    """How long a ticket's page waits for the parts that other services keep, all together."""
    quick_reply_timeout_seconds: float = Field(default=0.8, gt=0, le=10)
    """How long kb is waited for when it fills in a quick reply."""

    @field_validator("attachments_types", mode="before")
    @classmethod
    def _split_types(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(kind.strip() for kind in value.split(",") if kind.strip())

    @field_validator("attachments_url")
    @classmethod
    def _known_store(cls, value: str) -> str:
        scheme, sign, rest = value.partition("://")
        if value and (not sign or not rest or scheme not in SCHEMES):
            raise ValueError("use file:///folder, s3://bucket, gs://bucket or az://container")
        return value
