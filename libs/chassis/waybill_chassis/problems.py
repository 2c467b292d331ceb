"""What can be wrong with a request, said once for both edges: HTTP documents and gRPC codes.

A use case raises one of these (or a subclass of its own from `domain.py`); the edges render it.
Pure: no I/O and no framework, so that a domain may build on it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypedDict

CONTENT_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """One wrong field: its dotted path (`submitter.email`) and what would be right."""

    field: str
    message: str


class Problem(Exception):
    """A refusal with a reason (RFC 9457). `detail` is for people; `extra` for programs.

    Extra members stand at the top of the document beside the standard ones, so they must not
    bear a standard name.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    code: ClassVar[str] = "INTERNAL"
    """The name of the gRPC status code."""

    def __init__(
        self,
        detail: str,
        *,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """`errors` names the wrong fields; `headers` go with the HTTP response."""
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = extra

    @classmethod
    def slug(cls) -> str:
        """The last part of the document's `type`: the class name in kebab-case."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    def document(self, instance: str | None = None) -> dict[str, Any]:
        """The problem document; `instance` is the path of the request it answers."""
        document: dict[str, Any] = {
            "type": f"urn:waybill:problem:{self.slug()}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance is not None:
            document["instance"] = instance
        if self.errors:
            document["errors"] = self.errors
        return document | {
            name: value for name, value in self.extra.items() if name not in document
        }


class Malformed(Problem):
    """The request cannot be read at all."""

    status = 400
    title = "Malformed request"
    code = "INVALID_ARGUMENT"


class Unauthenticated(Problem):
    """Nobody knows who is asking."""

    status = 401
    title = "Not authenticated"
    code = "UNAUTHENTICATED"


class Forbidden(Problem):
    """We know who is asking, and they may not."""

    status = 403
    title = "Not allowed"
    code = "PERMISSION_DENIED"


class NotFound(Problem):
    """There is no such thing, or none that the caller may see."""

    status = 404
    title = "Not found"
    code = "NOT_FOUND"


class MethodNotAllowed(Problem):
    """The path exists, the method on it does not."""

    status = 405
    title = "Method not allowed"
    code = "UNIMPLEMENTED"


class Conflict(Problem):
    """The state of things does not allow it; `extra` says what it would allow."""

    status = 409
    title = "Conflict"
    code = "ABORTED"


class PreconditionFailed(Problem):
    """The caller has seen an older version than the present one."""

    status = 412
    title = "Stale version"
    code = "FAILED_PRECONDITION"


class TooLarge(Problem):
    """More bytes than are taken here."""

    status = 413
    title = "Too large"
    code = "RESOURCE_EXHAUSTED"


class UnsupportedMediaType(Problem):
    """The body is of a kind that is not read here."""

    status = 415
    title = "Unsupported media type"
    code = "INVALID_ARGUMENT"


class Invalid(Problem):
    """The request can be read, and a field in it is wrong."""

    status = 422
    title = "Invalid request"
    code = "INVALID_ARGUMENT"


class PreconditionRequired(Problem):
    """A write here must say which version it changes."""

    status = 428
    title = "Version required"
    code = "FAILED_PRECONDITION"


class TooManyRequests(Problem):
    """More requests than are taken from one caller."""

    status = 429
    title = "Too many requests"
    code = "RESOURCE_EXHAUSTED"


class Internal(Problem):
    """Our fault. The detail never tells of internals."""


class Unavailable(Problem):
    """Something we need is away; the same request may succeed in a moment."""

    status = 503
    title = "Temporarily unavailable"
    code = "UNAVAILABLE"

    def __init__(self, detail: str, *, retry_after: int = 2, **extra: Any) -> None:
        """`retry_after` in seconds, told in the `Retry-After` header."""
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, **extra)


Translate = Mapping[type[Exception], Callable[[Any], Problem]]
"""Which problem an error of the domain is; asked in the order of the error's own base classes."""


def translated(error: BaseException, translate: Translate) -> Problem | None:
    """The problem that `error` is or that `translate` makes of it, else None."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        if kind in translate:
            return translate[kind](error)
    return None


def invalid_field(field: str, message: str) -> Invalid:
    """One wrong field, and what would be right."""
    return Invalid(f"{field} {message}", errors=[{"field": field, "message": message}])


def check_version(expected: int | None, current: int) -> None:
    """Raise `PreconditionFailed` if the caller expects another version; None expects nothing."""
    if expected is not None and expected != current:
        raise PreconditionFailed(
            f"This is version {current} by now, not {expected}: read it again, then repeat.",
            current_version=current,
        )
