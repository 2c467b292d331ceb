"""The local stack's own identity provider: one key, its JWKS, and the tokens it signs."""

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from waybill_cli.errors import StackError

ROLES = ("submitter", "agent", "lead", "admin", "service")
ISSUER = AUDIENCE = "waybill"
KEY_FILE, JWKS_FILE = "signing.pem", "jwks.json"
SERVICE_TOKEN_TTL = timedelta(days=365)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Claims:
    """Who a token speaks for."""

    subject: str
    roles: Sequence[str]
    products: Sequence[str] = ("*",)
    email: str | None = None
    name: str | None = None


def ensure_keys(folder: Path) -> bool:
    """Make the key pair and the JWKS if they are not there; True if they were made."""
    if (folder / KEY_FILE).is_file() and (folder / JWKS_FILE).is_file():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    # Verified at every request and signed rarely: RSA verifies fastest.
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": f"local-{int(time.time())}", "use": "sig", "alg": "RS256"}
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(folder / KEY_FILE, secret)
    _write(folder / JWKS_FILE, json.dumps({"keys": [public]}).encode())
    return True


def mint(folder: Path, claims: Claims, ttl: timedelta) -> str:
    """A signed token. Raises StackError when there is no key yet, or a role is unknown."""
    if unknown := set(claims.roles) - set(ROLES):
        raise StackError(f"no role {', '.join(sorted(unknown))}; use any of {', '.join(ROLES)}")
    if not claims.subject.strip():
        raise StackError("a token needs a subject: --sub ana@example.com")
    try:
        secret = (folder / KEY_FILE).read_bytes()
        kid = json.loads((folder / JWKS_FILE).read_text())["keys"][0]["kid"]
    except OSError as error:
        raise StackError(f"there is no key in {folder} yet: run `waybill up`") from error
    key = serialization.load_pem_private_key(secret, password=None)
    if not isinstance(key, RSAPrivateKey):
        raise StackError(
            f"{folder / KEY_FILE} is not an RSA key: remove {folder}, then start again"
        )
    now = int(time.time())
    email = claims.email or (claims.subject if "@" in claims.subject else None)
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": claims.subject,
        "email": email,
        "name": claims.name or claims.subject.partition("@")[0].replace(".", " ").title(),
        "roles": list(claims.roles),
        "products": list(claims.products),
        "iat": now,
        "exp": now + int(ttl.total_seconds()),
    }
    present = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(present, key, algorithm="RS256", headers={"kid": kid})


def service_token_file(folder: Path, service: str) -> Path:
    """Where the token is with which a service calls the others."""
    return folder / f"{service}.token"


def ensure_service_token(folder: Path, service: str) -> None:
    """Mint the service's token anew, good for a year."""
    claims = Claims(f"waybill-{service}", ["service"], name=f"Waybill {service}")
    token = mint(folder, claims, SERVICE_TOKEN_TTL)
    _write(service_token_file(folder, service), token.encode())


def parse_ttl(text: str) -> timedelta:
    """`90s`, `30m`, `12h` or `7d`. Raises StackError saying so."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text.strip())
    if match is None:
        raise StackError(f"--ttl {text!r}: write a number and s, m, h or d, as in 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(f"{path.suffix}.{os.getpid()}.new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)
