import asyncio
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from waybill_chassis.auth import (
    Principal,
    TokenVerifier,
    authorize,
    bearer_token,
    usable_keys,
)
from waybill_chassis.problems import Forbidden, Unauthenticated, Unavailable
from waybill_chassis.testing.tokens import Mint


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    return caught.value.detail


async def test_a_token_that_holds_gives_its_principal(mint: Mint) -> None:
    """Who, with which roles, for which products."""
    token = mint.token("agent", "chef", sub="ana@example.com", products=("demo",))
    assert await mint.verifier().verify(token) == Principal(
        subject="ana@example.com",
        email="ana@example.com",
        name="Ana",
        roles=frozenset({"agent"}),
        products=frozenset({"demo"}),
    )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token lacks the claim exp"),
        ({"sub": None}, "the token lacks the claim sub"),
        ({"sub": ""}, "the claim sub is empty"),
        ({"sub": "a\x00"}, "the claim sub is empty"),
        ({"iss": "somebody"}, "the token was not issued by waybill"),
        ({"iss": None}, "the token lacks the claim iss"),
        ({"aud": "other"}, "the token is not meant for waybill"),
        ({"aud": None}, "the token lacks the claim aud"),
        ({"nbf": 32503680000}, "the token is not valid yet"),
        ({"roles": "admin"}, "the claim roles is not a list of names"),
        ({"roles": [1]}, "the claim roles is not a list of names"),
        ({"products": {"demo": 1}}, "the claim products is not a list of names"),
        ({"email": 5}, "the claim email is not a string"),
    ],
)
async def test_claims_that_do_not_hold_are_refused_with_the_reason(
    mint: Mint, claims: dict[str, Any], reason: str
) -> None:
    """Issuer, audience, times and shapes are all checked."""
    assert await refusal(mint.verifier(), mint.token("agent", claims=claims)) == reason


async def test_clocks_may_differ_a_little(mint: Mint) -> None:
    """A token that ended seconds ago is still taken, one that ended minutes ago is not."""
    assert await mint.verifier(leeway=30).verify(mint.token("agent", seconds=-5))
    await refusal(mint.verifier(leeway=30), mint.token("agent", seconds=-60))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "x" * 10_000, "e30.e30.e30"])
async def test_what_is_no_token_is_refused(mint: Mint, token: str) -> None:
    """Rubbish of any kind is a 401."""
    await refusal(mint.verifier(), token)


async def test_an_unsigned_or_symmetric_token_is_never_taken(mint: Mint) -> None:
    """Neither `none` nor an HMAC keyed with our own public key."""
    claims = jwt.decode(mint.token("admin"), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", "none", {"kid": mint.kid})
    assert "not signed with one of" in await refusal(mint.verifier(), unsigned)
    secret = mint.public()["x"] * 2
    symmetric = jwt.encode(claims, secret, "HS256", {"kid": mint.kid})
    assert "not signed with one of" in await refusal(mint.verifier(), symmetric)


async def test_a_token_signed_by_another_key_is_refused(mint: Mint, tmp_path: Path) -> None:
    """The same key id does not make it the same key."""
    (tmp_path / "other").mkdir()
    stranger = Mint(tmp_path / "other", kid=mint.kid)
    assert "do not hold" in await refusal(mint.verifier(), stranger.token("admin"))


async def test_a_token_cannot_choose_another_algorithm_than_its_keys(mint: Mint) -> None:
    """An RS256 token that names an ES256 key is refused."""
    key = rsa.generate_private_key(65537, 2048)
    claims = jwt.decode(mint.token("admin"), options={"verify_signature": False})
    token = jwt.encode(claims, key, "RS256", {"kid": mint.kid})
    assert "do not hold" in await refusal(mint.verifier(), token)


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_rsa_and_edwards_keys_are_taken_too(mint: Mint, algorithm: str) -> None:
    """All three allowed algorithms verify."""
    claims = jwt.decode(mint.token("agent"), options={"verify_signature": False})
    if algorithm == "RS256":
        key: Any = rsa.generate_private_key(65537, 2048)
        public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        public = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
    mint.publish(mint.public(), public | {"kid": "other"})
    token = jwt.encode(claims, key, algorithm, {"kid": "other"})
    assert (await mint.verifier().verify(token)).has("agent")


async def test_a_new_key_is_picked_up_without_a_restart(mint: Mint, tmp_path: Path) -> None:
    """A key id nobody has heard of makes the verifier look again."""
    verifier = mint.verifier(min_refresh=0.0)
    await verifier.verify(mint.token("agent"))
    (tmp_path / "next").mkdir()
    successor = Mint(tmp_path / "next", kid="next")
    assert "not known" in await refusal(verifier, successor.token("agent"))
    mint.publish(mint.public(), successor.public())
    assert await verifier.verify(successor.token("agent"))
    assert await verifier.verify(mint.token("agent"))


async def test_unknown_key_ids_do_not_make_it_read_the_keys_over_and_over(
    mint: Mint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of made-up key ids costs one look."""
    verifier = mint.verifier(min_refresh=3600.0)
    looks = 0
    fetch = verifier._fetch

    async def counted() -> Any:
        nonlocal looks
        looks += 1
        return await fetch()

    monkeypatch.setattr(verifier, "_fetch", counted)
    (tmp_path / "other").mkdir()
    stranger = Mint(tmp_path / "other", kid="made-up")
    await asyncio.gather(*(refusal(verifier, stranger.token("agent")) for _ in range(20)))
    await refusal(verifier, stranger.token("agent"))
    assert looks == 1


async def test_keys_that_cannot_be_read_again_stay_in_use(mint: Mint, tmp_path: Path) -> None:
    """An identity provider that is away for a while locks nobody out."""
    verifier = mint.verifier(max_age=0.0, min_refresh=0.0)
    await verifier.verify(mint.token("agent"))
    (tmp_path / "jwks.json").write_text("{broken")
    assert await verifier.verify(mint.token("agent"))
    await verifier.ping()


async def test_keys_that_grew_old_are_read_again_behind_the_requests_back(
    mint: Mint, tmp_path: Path
) -> None:
    """No request waits for it, and a key that was withdrawn ends to count."""
    verifier = mint.verifier(max_age=0.0, min_refresh=0.0)
    await verifier.verify(mint.token("agent"))
    (tmp_path / "next").mkdir()
    mint.publish(Mint(tmp_path / "next", kid="next").public())

    async def until_refused() -> None:
        while True:
            await verifier.verify(mint.token("agent"))
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        with pytest.raises(Unauthenticated, match="not known"):
            await until_refused()


async def test_without_any_key_the_answer_is_unavailable_not_unauthenticated(
    mint: Mint, tmp_path: Path
) -> None:
    """The caller's token may be fine: it is us who cannot tell."""
    (tmp_path / "jwks.json").unlink()
    verifier = mint.verifier(min_refresh=0.0)
    with pytest.raises(Unavailable):
        await verifier.verify(mint.token("agent"))
    with pytest.raises(Unavailable):
        await verifier.ping()
    mint.publish(mint.public())
    assert await verifier.verify(mint.token("agent"))


def test_keys_that_must_not_verify_are_left_out(mint: Mint) -> None:
    """Symmetric, encryption-only, short and broken keys are no signing keys."""
    short = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    keys = usable_keys(
        {
            "keys": [
                mint.public(),
                mint.public() | {"kid": "enc", "use": "enc"},
                {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
                short | {"kid": "short"},
                {"kty": "EC", "crv": "P-256", "kid": "broken"},
                {"kty": "new"},
                "nonsense",
            ]
        }
    )
    assert set(keys) == {"test"}
    rubbish: Any
    for rubbish in ([], {}, {"keys": 1}, None):
        with pytest.raises(ValueError, match="JWKS"):
            usable_keys(rubbish)


def test_an_address_that_is_no_jwks_stops_the_start() -> None:
    """The message says what would be right."""
    with pytest.raises(ValueError, match="use file://"):
        TokenVerifier("/etc/keys", issuer="a", audience="b")


def test_roles_include_what_stands_below_them() -> None:
    """A lead is an agent, an admin is everything, an agent is neither."""
    lead = Principal("l", roles=frozenset({"lead"}))
    admin = Principal("a", roles=frozenset({"admin"}))
    agent = Principal("g", roles=frozenset({"agent"}))
    assert [lead.has(role) for role in ("agent", "lead", "admin")] == [True, True, False]
    assert all(admin.has(role) for role in ("submitter", "agent", "lead", "admin", "service"))
    assert [agent.has(role) for role in ("agent", "lead", "submitter")] == [True, False, False]


def test_the_check_asks_for_one_of_the_roles_and_for_the_product() -> None:
    """One function for both edges: it passes or raises Forbidden."""
    agent = Principal("g", roles=frozenset({"agent"}), products=frozenset({"demo"}))
    authorize(agent, "lead", "agent", product="demo")
    authorize(agent)
    with pytest.raises(Forbidden, match="role lead or admin"):
        authorize(agent, "lead", "admin")
    with pytest.raises(Forbidden, match="product shop"):
        authorize(agent, "agent", product="shop")
    authorize(Principal("s", products=frozenset({"*"})), product="anything")
    with pytest.raises(Forbidden):
        authorize(Principal("nobody"), product="demo")


def test_the_authorization_header_is_read_as_the_standard_has_it() -> None:
    """The scheme is case-insensitive; another one is refused, none at all is no token."""
    assert bearer_token(None) is None
    assert bearer_token("bearer  abc ") == "abc"
    for wrong in ("", "abc", "Basic abc", "Bearer ", "Bearer"):
        with pytest.raises(Unauthenticated):
            bearer_token(wrong)


def test_a_ticket_is_seen_by_those_who_work_for_its_product_and_by_its_submitter() -> None:
    """An agent sees by product alone; a submitter by address, however it is written."""
    ana = Principal("ana@example.com", roles=frozenset({"agent"}), products=frozenset({"demo"}))
    kim = Principal("u1", email="Kim@Example.org", roles=frozenset({"submitter"}))
    nobody = Principal("kim@example.org")
    assert ana.can_see_ticket("demo", "kim@example.org")
    assert not ana.can_see_ticket("other", "ana@example.com")
    assert kim.can_see_ticket("demo", "kim@example.org")
    assert not kim.can_see_ticket("demo", "")
    assert not nobody.can_see_ticket("demo", "kim@example.org")
    assert (kim.address, Principal("u1").address) == ("kim@example.org", None)


async def until_refused(verifier: TokenVerifier, token: str) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                await verifier.verify(token)
            except Unauthenticated as error:
                return error.detail
            await asyncio.sleep(0.01)


async def test_a_token_that_was_seen_before_still_expires(mint: Mint) -> None:
    """What is remembered of a token does not outlive it."""
    verifier, token = mint.verifier(leeway=0.0), mint.token("agent", seconds=2)
    assert await verifier.verify(token) == await verifier.verify(token)
    assert "expired" in await until_refused(verifier, token)


async def test_a_token_that_was_seen_before_falls_with_its_key(mint: Mint, tmp_path: Path) -> None:
    """When the key is published no more, what it signed is not taken any more."""
    verifier, token = mint.verifier(max_age=0.0, min_refresh=0.0), mint.token("agent")
    await verifier.verify(token)
    (tmp_path / "other").mkdir()
    mint.publish(Mint(tmp_path / "other", kid="other").public())
    assert "not known" in await until_refused(verifier, token)
