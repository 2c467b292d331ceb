from collections.abc import Callable
from typing import Any

import asyncpg
import grpc.aio
import pytest
from aiokafka.errors import KafkaConnectionError
from grpc import StatusCode
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from waybill_chassis import problems
from waybill_chassis.failures import problem_of
from waybill_chassis.problems import Conflict, Invalid, Problem, Unavailable


class MoveRefused(Conflict):
    title = "Move not allowed"


def all_kinds(kind: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind, *(inner for child in kind.__subclasses__() for inner in all_kinds(child))]


def test_a_document_has_the_members_of_rfc_9457_and_the_extra_ones_beside_them() -> None:
    """Programs read `allowed`, people read `detail`, and the type is stable."""
    problem = MoveRefused("A closed ticket is never changed.", allowed=["none"])
    assert problem.document("/v1/tickets/1/transitions") == {
        "type": "urn:waybill:problem:move-refused",
        "title": "Move not allowed",
        "status": 409,
        "detail": "A closed ticket is never changed.",
        "instance": "/v1/tickets/1/transitions",
        "allowed": ["none"],
    }


def test_wrong_fields_are_listed_with_what_would_be_right() -> None:
    """A client can put each message beside its field."""
    document = problems.invalid_field("limit", "must be at most 200").document()
    assert document["detail"] == "limit must be at most 200"
    assert document["errors"] == [{"field": "limit", "message": "must be at most 200"}]


def test_an_extra_member_never_replaces_a_standard_one() -> None:
    """The status in the document is the one of the response."""
    problem = Conflict("no", winner={"id": "x"})
    problem.extra["status"] = 200
    assert problem.document()["status"] == 409


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_has_a_grpc_code(kind: type[Problem]) -> None:
    """The name that the gRPC edge looks up is one that gRPC has."""
    assert kind.code in StatusCode.__members__


def test_errors_of_the_domain_are_translated_along_their_base_classes() -> None:
    """A mapping for a base class serves its subclasses, and the most exact one wins."""

    class DomainError(Exception): ...

    class TicketClosed(DomainError): ...

    translate: dict[type[Exception], Callable[[Any], Problem]] = {
        DomainError: lambda error: Invalid(str(error))
    }
    assert isinstance(problem_of(TicketClosed("closed"), translate), Invalid)
    exact = {**translate, TicketClosed: lambda error: Conflict(str(error))}
    assert isinstance(problem_of(TicketClosed("closed"), exact), Conflict)


def database_error(kind: type[Exception], *, invalidated: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, kind("secret detail"), connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "error",
    [
        database_error(asyncpg.exceptions.TooManyConnectionsError),
        database_error(asyncpg.exceptions.CannotConnectNowError),
        database_error(asyncpg.exceptions.LockNotAvailableError),
        database_error(asyncpg.exceptions.DeadlockDetectedError),
        database_error(asyncpg.exceptions.QueryCanceledError),
        database_error(asyncpg.exceptions.InterfaceError),
        database_error(asyncpg.exceptions.UndefinedTableError, invalidated=True),
        asyncpg.exceptions.ConnectionDoesNotExistError("gone"),
        PoolTimeout("QueuePool limit reached"),
        KafkaConnectionError("away"),
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()),
        ExceptionGroup("parallel calls", [TimeoutError()]),
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
    ],
    ids=lambda error: type(getattr(error, "orig", None) or error).__name__,
)
def test_what_is_away_for_the_moment_is_a_503_that_says_when_to_come_back(
    error: Exception,
) -> None:
    """Database or broker trouble is never the caller's fault and tells no internals."""
    problem = problem_of(error)
    assert isinstance(problem, Unavailable)
    assert int(problem.headers["Retry-After"]) > 0
    assert "secret" not in problem.detail


def test_text_that_the_database_cannot_store_is_the_callers_to_mend() -> None:
    """A NUL that slipped through is a 422, not a 500."""
    error = database_error(asyncpg.exceptions.CharacterNotInRepertoireError)
    assert isinstance(problem_of(error), Invalid)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("password=hunter2"), database_error(asyncpg.exceptions.UndefinedColumnError)],
    ids=["bug", "bad statement"],
)
def test_our_own_faults_are_a_500_that_tells_no_internals(error: Exception) -> None:
    """The reason goes to the log, not over the wire."""
    problem = problem_of(error)
    assert (problem.status, problem.code) == (500, "INTERNAL")
    assert "hunter2" not in str(problem.document())
    assert "secret" not in str(problem.document())


def test_a_stale_version_says_which_one_is_current() -> None:
    """Expecting nothing passes, the present version passes, any other is refused."""
    problems.check_version(None, 3)
    problems.check_version(3, 3)
    with pytest.raises(problems.PreconditionFailed) as caught:
        problems.check_version(2, 3)
    assert caught.value.document()["current_version"] == 3
