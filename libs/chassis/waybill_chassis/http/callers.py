"""Who is asking, as dependencies of a route."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from waybill_chassis import auth
from waybill_chassis.auth import Principal
from waybill_chassis.http.state import equipment_of

# Only so that the OpenAPI document shows the scheme: the header is read by auth.bearer_token.
_scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", scheme_name="token")


async def _maybe(request: Request, _: Annotated[Any, Security(_scheme)]) -> Principal | None:
    token = auth.bearer_token(request.headers.get("authorization"))
    return None if token is None else await equipment_of(request).verifier.verify(token)


async def _surely(principal: Annotated[Principal | None, Depends(_maybe)]) -> Principal:
    if principal is None:
        raise auth.missing()
    return principal


MaybeCaller = Annotated[Principal | None, Depends(_maybe)]
"""The caller, or None without a token; a token that does not hold is refused all the same."""

TOKEN_OPTIONAL: dict[str, Any] = {"security": [{}]}
"""`openapi_extra` of a route with a `MaybeCaller`: the document says that it needs no token."""

Caller = Annotated[Principal, Depends(_surely)]
"""The caller; 401 without a token."""


def require(*roles: str) -> Any:
    """A dependency that gives the caller, who must hold one of `roles`; else 403.

    Use it as `Annotated[Principal, require("agent")]` or in `dependencies=[require("admin")]`.
    """
    if unknown := set(roles) - auth.ROLES:
        raise ValueError(f"unknown role {', '.join(sorted(unknown))}")

    async def authorized(principal: Caller) -> Principal:
        auth.authorize(principal, *roles)
        return principal

    return Depends(authorized)
