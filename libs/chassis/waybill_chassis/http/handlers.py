"""Turns the framework's own refusals into problem documents of our shape."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from waybill_chassis import validation
from waybill_chassis.http.rendering import problem_response
from waybill_chassis.problems import (
    Conflict,
    Forbidden,
    Internal,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    Problem,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)

_BY_STATUS: Mapping[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        Malformed,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        Invalid,
        Unavailable,
    )
}


def add_handlers(app: FastAPI) -> None:
    """Have `app` answer every refusal with a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)


def refusal(request: Request, error: HTTPException | RequestValidationError) -> Response:
    """The document that the framework's own refusal becomes."""
    if isinstance(error, HTTPException):
        problem = _of_http(request, error)
    else:
        problem = _of_validation(request, error)
    return problem_response(problem, request.url.path)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request.url.path)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request, error)


def _of_http(request: Request, error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    if error.status_code == 404 and error.detail == "Not Found":
        return NotFound(f"There is nothing at {request.url.path}.")
    if error.status_code == 405:
        allowed = sorted(
            part.strip() for part in headers.get("Allow", "").split(",") if part.strip()
        )
        return MethodNotAllowed(
            f"{request.method} is not possible at {request.url.path}; use {' or '.join(allowed)}.",
            headers=headers,
            allowed=allowed,
        )
    kind = _BY_STATUS.get(error.status_code, Internal if error.status_code >= 500 else Malformed)
    if issubclass(kind, Unavailable):
        return kind(str(error.detail))
    return kind(str(error.detail), headers=headers)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal(request, error)


def _of_validation(request: Request, error: RequestValidationError) -> Problem:
    findings: list[Mapping[str, Any]] = list(error.errors())
    for finding in findings:
        if finding["type"] == "json_invalid":
            at = finding["loc"][-1] if len(finding["loc"]) > 1 else "?"
            reason = (finding.get("ctx") or {}).get("error", "it does not parse")
            return Malformed(f"The body is not JSON: {reason} (at character {at}).")
        if tuple(finding["loc"]) == ("body",) and isinstance(finding.get("input"), bytes):
            return UnsupportedMediaType(
                "The body must be JSON: send it with `Content-Type: application/json`.",
                headers={"Accept": "application/json"},
                accepted=["application/json"],
            )
    known: dict[str, list[str]] = {}
    shortened = []
    for finding in findings:
        place, *rest = finding["loc"]
        if finding["type"] == "extra_forbidden":
            parents = [str(part) for part in rest[:-1]]
            fields = _fields_at(request, parents) if place == "body" else _parameters(request)
            known[".".join(parents)] = fields
        shortened.append({**finding, "loc": rest})
    return validation.problem(shortened, known)


def _parameters(request: Request) -> list[str]:
    """The names of what can be asked in the address, where they are the fields of a model."""
    fields = request.scope["route"].dependant.query_params
    kinds = [kind for field in fields for kind in _models_in(field.field_info.annotation)]
    return [field.alias or name for kind in kinds for name, field in kind.model_fields.items()]


def _fields_at(request: Request, path: list[str]) -> list[str]:
    """The names of the fields at a place in the body that the route expects."""
    field = getattr(request.scope.get("route"), "body_field", None)
    kinds = list(_models_in(field.field_info.annotation)) if field is not None else []
    for part in path:
        kinds = [
            inner
            for kind in kinds
            for inner in (
                _models_in(kind.model_fields[part].annotation)
                if part in kind.model_fields
                else (kind,)
                if part.isdigit()
                else ()
            )
        ]
    return [name for kind in kinds for name in kind.model_fields]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (
        Union,
        UnionType,
        list,
        tuple,
        set,
        frozenset,
    ) or hasattr(annotation, "__metadata__"):
        for part in get_args(annotation):
            yield from _models_in(part)
