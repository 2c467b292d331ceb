"""Problems as gRPC statuses and back again.

A refusal travels as its code and detail, as `google.rpc.Status` with its details (any client
reads those), and as the problem document itself in the trailing metadata `waybill-problem-bin`.
"""

import json
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from waybill_chassis import problems
from waybill_chassis.problems import Problem, Unavailable

DOCUMENT = "waybill-problem-bin"
DETAILS = "grpc-status-details-bin"

# Metadata of more than 8 KiB may be refused on its way.
_MOST_CHARACTERS = 500
_MOST_ERRORS = 8
_MOST_DOCUMENT_BYTES = 3000

_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "errors"})

_KINDS: Mapping[str, type[Problem]] = {
    kind.slug(): kind
    for kind in vars(problems).values()
    if isinstance(kind, type) and issubclass(kind, Problem)
}
_BY_STATUS = {kind.status: kind for kind in _KINDS.values()}
_BY_CODE: Mapping[grpc.StatusCode, type[Problem]] = {
    grpc.StatusCode.INVALID_ARGUMENT: problems.Invalid,
    grpc.StatusCode.OUT_OF_RANGE: problems.Invalid,
    grpc.StatusCode.NOT_FOUND: problems.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: problems.Conflict,
    grpc.StatusCode.ABORTED: problems.Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: problems.PreconditionFailed,
    grpc.StatusCode.PERMISSION_DENIED: problems.Forbidden,
}

SILENT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""The peer gave no answer at all."""

# A fault of the peer, or of our own token: whoever asked us has done nothing wrong.
_FAULTS = SILENT | {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
}

Trailers = tuple[tuple[str, bytes], ...]


def encode(problem: Problem) -> tuple[grpc.StatusCode, str, Trailers]:
    """The code, the message and the trailing metadata that tell of `problem`."""
    code = grpc.StatusCode[problem.code]
    detail = problem.detail[:_MOST_CHARACTERS]
    status = Status(code=code.value[0], message=detail)
    info = ErrorInfo(reason=problem.slug().upper().replace("-", "_"), domain="waybill")
    status.details.append(_any(info))
    errors = problem.errors[:_MOST_ERRORS]
    if errors:
        violations = [
            BadRequest.FieldViolation(
                field=error["field"][:100], description=error["message"][:_MOST_CHARACTERS]
            )
            for error in errors
        ]
        status.details.append(_any(BadRequest(field_violations=violations)))
    document = json.dumps(problem.document(), default=str).encode()
    trailers: Trailers = ((DETAILS, status.SerializeToString()),)
    if len(document) <= _MOST_DOCUMENT_BYTES:
        trailers += ((DOCUMENT, document),)
    return code, detail, trailers


def _any(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def decode(peer: str, error: grpc.aio.AioRpcError) -> Problem:
    """The problem that `peer` answered with; `Unavailable` when it could not answer."""
    code = error.code()
    if code in _FAULTS:
        return Unavailable(f"{peer} does not answer at the moment.", peer=peer)
    document = _document(error)
    detail = str(document.get("detail") or error.details() or code.name)
    kind = (
        _KINDS.get(str(document.get("type", "")).rpartition(":")[2])
        or _BY_STATUS.get(document.get("status", 0))
        or _BY_CODE.get(code)
    )
    if kind is None:
        return Unavailable(f"{peer} does not answer at the moment.", peer=peer)
    problem = kind(detail)
    problem.errors = document.get("errors", [])
    problem.extra = {name: value for name, value in document.items() if name not in _STANDARD}
    return problem


def _document(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    for name, value in error.trailing_metadata() or ():
        if name == DOCUMENT:
            try:
                found = json.loads(value)
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
    return {}
