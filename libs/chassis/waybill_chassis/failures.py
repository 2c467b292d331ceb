"""What an unexpected exception means to the caller: something is away, or it is our fault."""

import errno
import socket
import traceback

import grpc
import structlog
from aiokafka.errors import KafkaError
from opentelemetry import trace
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from waybill_chassis.problems import (
    Internal,
    Invalid,
    Problem,
    Translate,
    Unavailable,
    translated,
)
from waybill_chassis.telemetry.discretion import discreet

log = structlog.get_logger(__name__)

# SQLSTATE classes and codes after which the same request may well succeed.
_TRANSIENT_CLASSES = ("08", "53", "57", "58")
_TRANSIENT = frozenset({"40001", "40P01", "55P03", "25P03", "3D000", "28000", "28P01"})
_TOO_SLOW = "57014"
_NETWORK = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
# Text that PostgreSQL cannot store (a NUL, say) is the caller's doing.
_UNSTORABLE = frozenset({"22021", "22P05"})
_PEER_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def trace_id() -> str | None:
    """The id of the trace we are in, as 32 hex digits."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def problem_of(error: Exception, translate: Translate | None = None) -> Problem:
    """The problem to answer `error` with, at either edge; what is our fault is logged here."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if problem := translated(error, translate or {}):
        return problem
    if problem := _of_infrastructure(error):
        log.warning(
            "dependency_unavailable" if isinstance(problem, Unavailable) else "bad_text",
            error=f"{type(error).__name__}: {error}"[:500],
        )
        return problem
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    trace.get_current_span().record_exception(
        error,
        {
            "exception.message": discreet(str(error)),
            "exception.stacktrace": discreet("".join(traceback.format_exception(error))),
        },
    )
    if found := trace_id():
        return Internal(
            "Something went wrong on our side. Its trace id leads to it in the logs.",
            trace_id=found,
        )
    return Internal("Something went wrong on our side.")


def is_transient(error: Exception) -> bool:
    """Whether the same work may well succeed later: something is away, or two got in the way.

    A statement that takes too long (57014) is not: it may be the work itself.
    """
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DBAPIError) and _sqlstate(error.orig) == _TOO_SLOW:
        return False
    return isinstance(translated(error, {}) or _of_infrastructure(error), Unavailable)


def bad_input(error: Exception) -> str | None:
    """What is wrong with the input that led to `error`; None if it was not the input's fault."""
    problem = translated(error, {}) or _of_infrastructure(error)
    return problem.detail if isinstance(problem, Invalid) else None


def _of_infrastructure(error: Exception) -> Problem | None:
    if isinstance(error, DBAPIError):
        return _of_database(error)
    if isinstance(error, PoolTimeout):
        return Unavailable("All database connections are busy.")
    if isinstance(error, grpc.RpcError) and getattr(error, "code", str)() in _PEER_AWAY:
        return Unavailable("Another service that this needs is not available at the moment.")
    if isinstance(error, KafkaError) and error.retriable:
        return Unavailable("The message broker is not available at the moment.")
    # asyncpg raises its own errors while it connects, and the operating system's.
    if _is_transient(_sqlstate(error)) or _is_network(error):
        return Unavailable("Something this needs is not available at the moment.")
    return None


def _of_database(error: DBAPIError) -> Problem | None:
    state = _sqlstate(error.orig)
    if state in _UNSTORABLE:
        return Invalid("The text holds a character that cannot be stored (such as NUL).")
    # asyncpg's failures on this side of the wire (a closed connection, a timeout) have no state,
    # nor has a parameter of the wrong type, which is nobody's absence.
    if not state and isinstance(getattr(error.orig, "__cause__", None), (ValueError, TypeError)):
        return None
    if error.connection_invalidated or not state or _is_transient(state):
        return Unavailable("The database is not available at the moment.")
    return None


def _is_network(error: Exception) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
        return True
    # asyncio gives an OSError without a number when it tried several addresses.
    return type(error) is OSError and (error.errno is None or error.errno in _NETWORK)


def _sqlstate(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _is_transient(state: str) -> bool:
    return state in _TRANSIENT or state[:2] in _TRANSIENT_CLASSES
