"""Answers as JSON: snake_case, RFC 3339 in UTC, ISO 8601 durations."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from waybill_chassis.problems import CONTENT_TYPE, Problem


def respond(
    content: Any = None,
    *,
    status: int = 200,
    version: int | None = None,
    location: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A JSON answer.

    `content` is a model, a dataclass, a mapping or a list of such; None means an empty body.
    `version` becomes the `ETag`, `location` the `Location` of what was created.
    """
    found = dict(headers or {})
    if version is not None:
        found["ETag"] = etag(version)
    if location is not None:
        found["Location"] = location
    if content is None:
        return Response(status_code=status if status != 200 else 204, headers=found)
    return Response(render(content), status, headers=found, media_type="application/json")


def render(content: Any) -> bytes:
    """JSON bytes of anything `respond` takes."""
    return to_json(content, timedelta_mode="iso8601", inf_nan_mode="null")


def etag(version: int) -> str:
    """The strong entity tag of a version: 7 is `"7"`."""
    return f'"{version}"'


def problem_response(problem: Problem, path: str | None = None) -> Response:
    """A problem as its document; `path` is that of the request."""
    return Response(
        to_json(problem.document(path), timedelta_mode="iso8601", fallback=str),
        problem.status,
        headers=problem.headers,
        media_type=CONTENT_TYPE,
    )
