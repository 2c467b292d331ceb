"""Who is asking, as dependencies of a route."""

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from waybill_chassis import auth
from waybill_chassis.auth import Principal
from waybill_chassis.http.state import equipment_of


class _Token(HTTPBearer):
    """Gives the caller; a scheme, so that the OpenAPI document shows it.

    Each dependency of a dependency is solved anew for every route that needs it: this has none.
    """

    def __init__(self, *, needed: bool) -> None:
        super().__init__(auto_error=False, bearerFormat="JWT", scheme_name="token")
        self._needed = needed

    async def __call__(self, request: HTTPConnection) -> Any:
        token = auth.bearer_token(request.headers.get("authorization"))
        if token is not None:
            return await equipment_of(request).verifier.verify(token)
        if self._needed:
            raise auth.missing()
        return None


MaybeCaller = Annotated[Principal | None, Security(_Token(needed=False))]
"""The caller, or None without a token; a token that does not hold is refused all the same."""

TOKEN_OPTIONAL: dict[str, Any] = {"security": [{}]}
"""`openapi_extra` of a route with a `MaybeCaller`: the document says that it needs no token."""

Caller = Annotated[Principal, Security(_Token(needed=True))]
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
