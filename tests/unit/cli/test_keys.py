"""The local identity provider and the tokens it signs."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from waybill_chassis.auth import TokenVerifier
from waybill_cli.errors import StackError
from waybill_cli.local import keys


async def test_the_services_accept_a_token_and_read_who_it_is_for(tmp_path: Path) -> None:
    assert keys.ensure_keys(tmp_path) is True
    claims = keys.Claims("ana@example.com", ["agent"], ["demo"])
    token = keys.mint(tmp_path, claims, timedelta(minutes=1))
    verifier = TokenVerifier(
        (tmp_path / keys.JWKS_FILE).as_uri(), issuer="waybill", audience="waybill"
    )
    principal = await verifier.verify(token)
    assert principal.subject == principal.email == "ana@example.com"
    assert principal.name == "Ana"
    assert principal.roles == {"agent"}
    assert principal.can_see_product("demo")
    assert not principal.can_see_product("other")


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    before = (tmp_path / keys.KEY_FILE).read_bytes()
    assert keys.ensure_keys(tmp_path) is False
    assert (tmp_path / keys.KEY_FILE).read_bytes() == before
    assert stat.S_IMODE((tmp_path / keys.KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (keys.Claims("ana@example.com", ["chief"]), "no role chief"),
        (keys.Claims(" ", ["agent"]), "needs a subject"),
        (keys.Claims("ana@example.com", ["agent"]), "run `waybill up`"),
    ],
)
def test_what_cannot_be_minted_is_said(tmp_path: Path, claims: keys.Claims, said: str) -> None:
    with pytest.raises(StackError, match=said):
        keys.mint(tmp_path, claims, timedelta(minutes=1))


def test_how_long_a_token_is_good() -> None:
    assert keys.parse_ttl("90s") == timedelta(seconds=90)
    assert keys.parse_ttl("7d") == timedelta(days=7)
    for wrong in ("", "12", "0h", "-1h", "1w"):
        with pytest.raises(StackError, match="as in 12h"):
            keys.parse_ttl(wrong)
