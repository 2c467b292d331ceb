"""Tokens for tests: a key of their own, published where a verifier reads it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from waybill_chassis.auth import TokenVerifier

ISSUER = "waybill"
AUDIENCE = "waybill"


class Mint:
    """Signs tokens with a fresh key; `jwks_url` is where its public half lies."""

    def __init__(self, folder: Path, kid: str = "test") -> None:
        """Publish the key as `jwks.json` in `folder`."""
        self.kid = kid
        self.folder = folder
        self._key = generate_private_key(SECP256R1())
        self._path = folder / "jwks.json"
        self.publish(self.public())

    @property
    def jwks_url(self) -> str:
        """The address of the key set, `file://`."""
        return self._path.as_uri()

    def public(self) -> dict[str, Any]:
        """The public key as a JWK."""
        key: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        return key | {"kid": self.kid, "use": "sig", "alg": "ES256"}

    def publish(self, *keys: Mapping[str, Any]) -> None:
        """Write the key set anew."""
        self._path.write_text(json.dumps({"keys": list(keys)}))

    def verifier(self, **options: Any) -> TokenVerifier:
        """A verifier that trusts this key."""
        return TokenVerifier(self.jwks_url, issuer=ISSUER, audience=AUDIENCE, **options)

    def token(
        self,
        *roles: str,
        sub: str = "ana@example.com",
        products: tuple[str, ...] = ("*",),
        seconds: float = 600.0,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A token for `sub` with `roles`, good for `seconds`; `claims` replace or (None) remove."""
        found = {
            "sub": sub,
            "email": sub if "@" in sub else None,
            "name": sub.partition("@")[0].title(),
            "roles": list(roles),
            "products": list(products),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time() + seconds),
        } | dict(claims or {})
        kept = {name: value for name, value in found.items() if value is not None}
        return jwt.encode(kept, self._key, "ES256", {"kid": self.kid})

    def headers(self, *roles: str, **options: Any) -> dict[str, str]:
        """The header that carries such a token."""
        return {"Authorization": f"Bearer {self.token(*roles, **options)}"}
