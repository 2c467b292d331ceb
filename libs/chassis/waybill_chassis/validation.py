"""Request bodies: what they may hold, and what is said about those that hold something else."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from waybill_chassis.problems import FieldError, Invalid

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRICT = frozenset({"int", "float", "bool"})
_MAX_DEPTH = 32


def _rfc3339(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC3339.fullmatch(value)):
        return value
    raise PydanticCustomError("instant", "must be an RFC 3339 time such as 2026-01-05T09:00:00Z")


def _iso8601(value: Any) -> Any:
    if isinstance(value, timedelta) or (isinstance(value, str) and re.match(r"[+-]?P", value)):
        return value
    raise PydanticCustomError("duration", "must be an ISO 8601 duration such as PT15M")


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc3339, json_schema_input_type=AwareDatetime),
    AfterValidator(lambda moment: moment.astimezone(UTC)),
]
"""A moment: RFC 3339 with an offset on the way in, UTC with a `Z` on the way out."""

Duration = Annotated[timedelta, BeforeValidator(_iso8601, json_schema_input_type=timedelta)]
"""A span of time: ISO 8601 (`PT15M`) both ways."""


def _tighten(schema: Any) -> None:
    """Make numbers and booleans strict, so that "5" is no number and 1 is not true."""
    if isinstance(schema, dict):
        # Among the fields of a model, "type" is the schema of a field that bears this name.
        if isinstance(kind := schema.get("type"), str) and kind in _STRICT:
            schema.setdefault("strict", True)
        for name, part in schema.items():
            if name not in ("metadata", "default", "serialization"):
                _tighten(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            _tighten(part)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not _SURROGATE.search(text))


def _unstorable(value: Any, path: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str] | None:
    """Where in `value` something stands that the database cannot keep, and what it is."""
    if len(path) > _MAX_DEPTH:
        return path[:3], f"is nested more than {_MAX_DEPTH} levels deep"
    if isinstance(value, str):
        if not _is_storable(value):
            return path, "must be text, without NUL and halves of surrogate pairs"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return path, "must be a finite number"
    elif isinstance(value, dict):
        for name, part in value.items():
            # Nearly all that comes are a few short texts: no call and no path for each of them.
            if (
                type(part) is str
                and type(name) is str
                and _is_storable(name)
                and _is_storable(part)
            ):
                continue
            if found := _unstorable(name, path) or _unstorable(part, (*path, str(name))):
                return found
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if found := _unstorable(part, (*path, str(index))):
                return found
    return None


class RequestModel(BaseModel):
    """What a caller sends: unknown fields, "5" for 5, NUL and NaN are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Pydantic's own schema with strict numbers and booleans."""
        schema = handler(source)
        _tighten(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, data: Any) -> Any:
        if found := _unstorable(data):
            path, message = found
            raise PydanticCustomError("unstorable", "{message}", {"message": message, "path": path})
        return data


class ResponseModel(BaseModel):
    """What we answer; can be read from the attributes of an object or a row."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


def invalid(error: ValidationError) -> Invalid:
    """The problem for a body that was checked outside HTTP, such as JSON on a topic."""
    return problem(error.errors(include_url=False, include_input=False))


def problem(
    errors: Iterable[Mapping[str, Any]], known: Mapping[str, Iterable[str]] = {}
) -> Invalid:
    """Pydantic's findings in plain words.

    `known` gives the right names for the place (dotted path, "" for the top) of an unknown field.
    """
    found: list[FieldError] = []
    for error in errors:
        inner = (error.get("ctx") or {}).get("path", ())
        path = [str(part) for part in (*error["loc"], *inner)]
        message = wording(error)
        if error["type"] == "extra_forbidden" and (names := known.get(".".join(path[:-1]))):
            message += f"; the known ones are {', '.join(sorted(names))}"
        item: FieldError = {"field": ".".join(path), "message": message}
        if item not in found:
            found.append(item)
    if len(found) == 1:
        return Invalid(f"{found[0]['field'] or 'The body'} {found[0]['message']}.", errors=found)
    return Invalid(f"{len(found)} fields are wrong.", errors=found)


_WORDS: dict[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "none_required": "must be null",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "uuid_version": "must be a UUID of another version",
    "string_unicode": "must be valid Unicode text",
    "datetime_parsing": "must be an RFC 3339 time such as 2026-01-05T09:00:00Z",
    "datetime_from_date_parsing": "must be an RFC 3339 time such as 2026-01-05T09:00:00Z",
    "datetime_type": "must be an RFC 3339 time such as 2026-01-05T09:00:00Z",
    "timezone_aware": "must be an RFC 3339 time with its offset, such as 2026-01-05T09:00:00Z",
    "date_parsing": "must be a date such as 2026-01-05",
    "date_from_datetime_parsing": "must be a date such as 2026-01-05",
    "date_type": "must be a date such as 2026-01-05",
    "time_delta_parsing": "must be an ISO 8601 duration such as PT15M",
    "time_delta_type": "must be an ISO 8601 duration such as PT15M",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "must say which kind it is in {discriminator}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
}


def wording(error: Mapping[str, Any]) -> str:
    """One finding in plain words, to be read after the field's name."""
    context = error.get("ctx") or {}
    if words := _WORDS.get(error["type"]):
        return words.format_map(context)
    message: str = error["msg"]
    if error["type"] in ("value_error", "assertion_error"):
        message = str(context.get("error", message.partition(", ")[2]))
    message = re.sub(r"^(Input|Value|Field) should be", "must be", message)
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
