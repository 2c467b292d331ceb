"""What holds within one call: who asks, and until when they wait."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from waybill_chassis import auth
from waybill_chassis.auth import Principal


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is being answered; `deadline` is on the event loop's clock."""

    principal: Principal
    deadline: float | None


current: ContextVar[Call | None] = ContextVar("waybill_rpc_call", default=None)


def caller() -> Principal:
    """Who asks, within a call."""
    call = current.get()
    if call is None:
        raise LookupError("there is no caller outside of a gRPC call")
    return call.principal


def authorize(*roles: str, product: str | None = None) -> Principal:
    """The caller, who must hold one of `roles` and see `product`; else PERMISSION_DENIED."""
    principal = caller()
    auth.authorize(principal, *roles, product=product)
    return principal


def patience(timeout: float) -> float:
    """`timeout` in seconds, or less where whoever asked us gives up before."""
    call = current.get()
    if call is None or call.deadline is None:
        return timeout
    return min(timeout, call.deadline - asyncio.get_running_loop().time())
