"""Who is asking, and may they: one check for HTTP and gRPC."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import jwt
import structlog

from waybill_chassis.problems import Forbidden, Unauthenticated, Unavailable

ROLES = frozenset({"submitter", "agent", "lead", "admin", "service"})
ALL_PRODUCTS = "*"
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MAX_TOKEN_LENGTH = 8192
_MOST_REMEMBERED = 4096

_IMPLIED: Mapping[str, frozenset[str]] = {
    "lead": frozenset({"lead", "agent"}),
    "admin": ROLES,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a person or a service, with their roles and the products they may see."""

    subject: str
    email: str | None = None
    name: str | None = None
    roles: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()

    def has(self, role: str) -> bool:
        """Whether they hold `role`; a lead is an agent too, an admin everything."""
        return any(role == held or role in _IMPLIED.get(held, ()) for held in self.roles)

    @property
    def known_as(self) -> str:
        """By what name a change of theirs is kept."""
        return self.email or self.subject

    @property
    def address(self) -> str | None:
        """The e-mail address by which agents and submitters are known, in lower case."""
        address = (self.email or self.subject).lower()
        return address if "@" in address else None

    def can_see_product(self, slug: str) -> bool:
        """Whether tickets of this product are theirs to see."""
        return ALL_PRODUCTS in self.products or slug in self.products

    @property
    def readable_products(self) -> list[str] | None:
        """The products whose tickets are theirs to see; None for all there are."""
        return None if ALL_PRODUCTS in self.products else sorted(self.products)

    def can_see_ticket(self, product: str, submitter_email: str) -> bool:
        """Whether a ticket is: agents and services see their products', submitters their own."""
        if self.has("agent") or self.has("service"):
            return self.can_see_product(product)
        own = self.address is not None and self.address == submitter_email.lower()
        return own and self.has("submitter")


def authorize(principal: Principal, *roles: str, product: str | None = None) -> None:
    """Raise `Forbidden` unless the caller holds one of `roles` (if any) and may see `product`."""
    if roles and not any(principal.has(role) for role in roles):
        wanted = " or ".join(roles)
        raise Forbidden(f"This needs the role {wanted}.", required_roles=list(roles))
    if product is not None and not principal.can_see_product(product):
        raise Forbidden(f"Your token does not cover the product {product}.", product=product)


def refused(reason: str) -> Unauthenticated:
    """A token that is not taken, with the challenge of RFC 6750."""
    plain = reason.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")
    return Unauthenticated(
        reason,
        headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{plain}"'},
    )


def missing() -> Unauthenticated:
    """No token at all."""
    return Unauthenticated(
        "This needs a token: send `Authorization: Bearer <token>`.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def bearer_token(authorization: str | None) -> str | None:
    """The token of an `Authorization` header, or None without one."""
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refused("the Authorization header is not of the form Bearer <token>")
    return token.strip()


def expires_at(token: str) -> float:
    """When a token that was verified before ends, in seconds since 1970."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return float(claims["exp"])


class TokenVerifier:
    """Verifies JWTs against the keys that a JWKS publishes."""

    def __init__(
        self,
        jwks_url: str,
        *,
        issuer: str,
        audience: str,
        leeway: float = 30.0,
        max_age: float = 300.0,
        min_refresh: float = 5.0,
    ) -> None:
        """`jwks_url` is `file://` or `http(s)://`.

        Seconds: clocks may differ by `leeway`; keys are read again after `max_age`, and at once
        for a key id nobody has heard of, but not more often than every `min_refresh`.
        """
        if urlsplit(jwks_url).scheme not in ("file", "http", "https"):
            raise ValueError(f"{jwks_url!r} is no JWKS address; use file://, http:// or https://")
        self._url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._max_age = max_age
        self._min_refresh = min_refresh
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._verified: dict[str, tuple[Principal, float]] = {}
        self._loaded_at = -float("inf")
        self._tried_at = -float("inf")
        self._loading = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        `Unauthenticated` when the token does not hold, `Unavailable` when there are no keys.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise refused(f"the token is longer than {MAX_TOKEN_LENGTH} characters")
        if principal := self._remembered(token):
            return principal
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError):
            raise refused("the token is not a JWT") from None
        if header.get("alg") not in ALGORITHMS:
            raise refused(f"the token is not signed with one of {', '.join(ALGORITHMS)}")
        key = await self._key(header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key=key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["sub", "iss", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise refused("the token has expired") from None
        except jwt.MissingRequiredClaimError as error:
            raise refused(f"the token lacks the claim {error.claim}") from None
        except jwt.InvalidIssuerError:
            raise refused(f"the token was not issued by {self._issuer}") from None
        except jwt.InvalidAudienceError:
            raise refused(f"the token is not meant for {self._audience}") from None
        except jwt.ImmatureSignatureError:
            raise refused("the token is not valid yet") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise refused("the token's signature or claims do not hold") from None
        principal = principal_of(claims)
        # Verifying costs more than all else that a small request needs.
        if len(self._verified) >= _MOST_REMEMBERED:
            self._verified.clear()
        self._verified[token] = (principal, float(claims["exp"]) + self._leeway)
        return principal

    def _remembered(self, token: str) -> Principal | None:
        """Whom a token spoke for before, until it expires or the keys are read again."""
        principal, until = self._verified.get(token, (None, 0.0))
        if time.time() >= until:
            return None
        if time.monotonic() - self._loaded_at > self._max_age:
            self._refresh()
        return principal

    async def ping(self) -> None:
        """Raise `Unavailable` if there is no key to verify with."""
        if not self._keys:
            await self._load()
        if not self._keys:
            raise Unavailable("No signing keys could be read.")

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        key = self._find(kid)
        if key is None:
            await self._load()
            key = self._find(kid)
        elif time.monotonic() - self._loaded_at > self._max_age:
            self._refresh()
        if not self._keys:
            raise Unavailable("The signing keys are not available at the moment.")
        if key is None:
            raise refused("the token is signed with a key that is not known")
        return key

    def _refresh(self) -> None:
        """Read the keys again while requests go on with those we have."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._load(), name="jwks")

    async def _load(self) -> None:
        """Read the keys again; keeps the old ones when that fails. One reader at a time."""
        seen = self._tried_at
        async with self._loading:
            if self._tried_at != seen or time.monotonic() - self._tried_at < self._min_refresh:
                return
            try:
                self._keys = usable_keys(await self._fetch())
                self._verified.clear()
                self._loaded_at = time.monotonic()
            except (OSError, ValueError, httpx.HTTPError) as error:
                log.warning(
                    "jwks_not_read",
                    url=self._url,
                    error=f"{type(error).__name__}: {error}",
                )
            finally:
                self._tried_at = time.monotonic()

    async def _fetch(self) -> Any:
        parts = urlsplit(self._url)
        if parts.scheme == "file":
            path = Path(url2pathname(parts.path))
            return json.loads(await asyncio.to_thread(path.read_bytes))
        async with httpx.AsyncClient(timeout=3.0, follow_redirects=False) as client:
            response = await client.get(self._url)
            response.raise_for_status()
            return response.json()


def usable_keys(document: Any) -> dict[str | None, jwt.PyJWK]:
    """The signing keys of a JWKS, by key id; others are left out. ValueError for anything else."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("a JWKS is an object with a list of keys")
    keys: dict[str | None, jwt.PyJWK] = {}
    for item in document["keys"]:
        if not isinstance(item, dict) or item.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(item)
        except (jwt.PyJWTError, ValueError):
            continue
        too_short = key.Algorithm.check_key_length(key.key)
        if key.algorithm_name in ALGORITHMS and not too_short:
            keys[item.get("kid")] = key
    return keys


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """The principal that verified claims speak of; unknown roles count for nothing."""

    def names(claim: str) -> frozenset[str]:
        value = claims.get(claim, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise refused(f"the claim {claim} is not a list of names")
        return frozenset(value)

    def text(claim: str) -> str | None:
        value = claims.get(claim)
        if value is not None and not isinstance(value, str):
            raise refused(f"the claim {claim} is not a string")
        return value or None

    subject = text("sub")
    if not subject or "\x00" in subject:
        raise refused("the claim sub is empty")
    return Principal(
        subject=subject,
        email=text("email"),
        name=text("name"),
        roles=names("roles") & ROLES,
        products=names("products"),
    )
