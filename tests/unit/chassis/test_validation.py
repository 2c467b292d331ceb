from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import Field, ValidationError, field_validator
from pydantic_core import to_json
from waybill_chassis import validation
from waybill_chassis.validation import Duration, Instant, RequestModel, ResponseModel


class Priority(StrEnum):
    URGENT = "urgent"
    LOW = "low"


class Person(RequestModel):
    email: Annotated[str, Field(max_length=20)]


class Request(RequestModel):
    title: Annotated[str, Field(min_length=1, max_length=10)] = "t"
    priority: Priority = Priority.LOW
    channel: Literal["web", "mail"] = "web"
    count: int = 1
    share: float = 0.5
    loud: bool = False
    id: UUID | None = None
    due_at: Instant | None = None
    every: Duration | None = None
    person: Person | None = None
    people: tuple[Person, ...] = ()
    tags: Annotated[tuple[str, ...], Field(max_length=2)] = ()
    custom: Annotated[dict[str, Any], Field(default_factory=dict)]

    @field_validator("channel")
    @classmethod
    def _no_mail_yet(cls, value: str) -> str:
        if value == "mail":
            raise ValueError("must be web until mail is served")
        return value


def refusal(**body: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Request.model_validate(body)
    problem = validation.invalid(caught.value)
    return [(error["field"], error["message"]) for error in problem.errors]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"title": 5}, "title", "must be a string"),
        ({"title": "  "}, "title", "must have at least 1 character(s)"),
        ({"title": "x" * 11}, "title", "must have at most 10 characters"),
        ({"title": "a\x00"}, "title", "must be text, without NUL and halves of surrogate pairs"),
        ({"title": "\ud800"}, "title", "must be text, without NUL and halves of surrogate pairs"),
        ({"priority": "top"}, "priority", "must be one of 'urgent' or 'low'"),
        ({"channel": "fax"}, "channel", "must be one of 'web' or 'mail'"),
        ({"channel": "mail"}, "channel", "must be web until mail is served"),
        ({"count": "5"}, "count", "must be a whole number"),
        ({"count": 1.5}, "count", "must be a whole number"),
        ({"count": True}, "count", "must be a whole number"),
        ({"share": "0.5"}, "share", "must be a number"),
        ({"share": float("nan")}, "share", "must be a finite number"),
        ({"loud": 1}, "loud", "must be true or false"),
        ({"id": "x"}, "id", "must be a UUID"),
        ({"due_at": 1700000000}, "due_at", "must be an RFC 3339 time such as 2026-01-05T09:00:00Z"),
        ({"due_at": "170000"}, "due_at", "must be an RFC 3339 time such as 2026-01-05T09:00:00Z"),
        (
            {"due_at": "2026-01-05T09:00:00"},
            "due_at",
            "must be an RFC 3339 time such as 2026-01-05T09:00:00Z",
        ),
        (
            {"due_at": "2026-13-05T09:00:00Z"},
            "due_at",
            "must be an RFC 3339 time such as 2026-01-05T09:00:00Z",
        ),
        ({"every": 900}, "every", "must be an ISO 8601 duration such as PT15M"),
        ({"every": "Pxx"}, "every", "must be an ISO 8601 duration such as PT15M"),
        ({"person": "me"}, "person", "must be an object"),
        ({"person": {}}, "person.email", "is required"),
        ({"person": {"email": "a", "x": 1}}, "person.x", "is not a known field"),
        ({"people": [{"email": "a"}, {"email": 1}]}, "people.1.email", "must be a string"),
        ({"people": {}}, "people", "must be a list"),
        ({"tags": ["a", "b", "c"]}, "tags", "must have at most 2 items"),
        ({"custom": {"a": [{"b": float("inf")}]}}, "custom.a.0.b", "must be a finite number"),
        ({"custom": []}, "custom", "must be an object"),
        ({"titel": "x"}, "titel", "is not a known field"),
    ],
)
def test_a_wrong_field_is_named_with_what_would_be_right(
    body: dict[str, Any], field: str, message: str
) -> None:
    """Plain words, the path of the field, and nothing of the library underneath."""
    assert refusal(**body) == [(field, message)]


def test_every_wrong_field_is_told_at_once() -> None:
    """A caller mends all of them in one go."""
    assert [field for field, _ in refusal(title=1, count="1", x=1)] == ["title", "count", "x"]


def test_a_deeply_nested_value_is_refused_instead_of_exhausting_the_stack() -> None:
    """Sixty lists in one another are nobody's custom field."""
    value: Any = 1
    for _ in range(60):
        value = [value]
    assert refusal(custom={"a": value})[0][1] == "is nested more than 32 levels deep"


def test_times_come_in_with_any_offset_and_go_out_in_utc_with_a_z() -> None:
    """RFC 3339 both ways, durations as ISO 8601."""
    request = Request.model_validate({"due_at": "2026-01-05T11:00:00+02:00", "every": "PT1H30M"})
    assert request.due_at == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert request.every == timedelta(minutes=90)

    class Answer(ResponseModel):
        due_at: Instant
        every: Duration

    answer = Answer.model_validate(request)
    assert to_json(answer) == b'{"due_at":"2026-01-05T09:00:00Z","every":"PT1H30M"}'


def test_json_text_is_read_like_the_parsed_body() -> None:
    """The same model serves a topic that carries JSON."""
    text = '{"id": "018f0000-0000-7000-8000-000000000000", "priority": "urgent", "share": 1}'
    request = Request.model_validate_json(text)
    assert request == Request.model_validate(
        {"id": "018f0000-0000-7000-8000-000000000000", "priority": "urgent", "share": 1}
    )
    assert request.priority is Priority.URGENT
    with pytest.raises(ValidationError):
        Request.model_validate_json('{"title": "a\\u0000"}')


def test_the_schema_of_a_request_is_still_the_plain_one() -> None:
    """Strictness does not leak into the OpenAPI document."""
    properties = Request.model_json_schema()["properties"]
    assert properties["count"] == {"default": 1, "title": "Count", "type": "integer"}
    assert properties["due_at"]["anyOf"][0] == {"format": "date-time", "type": "string"}
    assert properties["every"]["anyOf"][0] == {"format": "duration", "type": "string"}
