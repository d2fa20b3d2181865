"""Tokens: what we sign we trust until it expires; whatever else somebody shows us is nothing."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core import clock
from server.core.actor import Role
from server.core.ids import new_id
from server.core.tokens import ACCESS_LIFE, LEEWAY, REFRESH_LIFE, BadToken, ExpiredToken, Tokens, token_hash

OLD_SECRET, SECRET, NEXT_SECRET = "old" * 12, "current" * 6, "next" * 9
TOKENS = Tokens((SECRET, OLD_SECRET))

Claims = dict[str, Any]


def an_access_token(tokens: Tokens = TOKENS, now: datetime | None = None) -> str:
    return tokens.access(
        user_id=UUID(int=1),
        email="cleo@people.test",
        role=Role.CLIENT,
        gym_id=UUID(int=2),
        session_id=UUID(int=3),
        now=now or clock.now(),
    )


def a_refresh_token(tokens: Tokens = TOKENS, now: datetime | None = None) -> str:
    return tokens.refresh(user_id=UUID(int=1), now=now or clock.now())


def test_an_access_token_says_who_one_is_for_fifteen_minutes() -> None:
    claims = TOKENS.read_access(an_access_token())
    assert (claims.id, claims.email, claims.role) == (UUID(int=1), "cleo@people.test", Role.CLIENT)
    assert (claims.gym_id, claims.sid) == (UUID(int=2), UUID(int=3))
    assert claims.exp - claims.iat == ACCESS_LIFE.total_seconds() == 15 * 60


def test_a_refresh_token_lasts_seven_days_and_says_nothing_about_a_role() -> None:
    claims = TOKENS.read_refresh(a_refresh_token())
    assert claims.exp - claims.iat == REFRESH_LIFE.total_seconds() == 7 * 24 * 3600
    assert "role" not in msgspec.to_builtins(claims)


def test_two_tokens_of_one_moment_differ() -> None:
    assert an_access_token() != an_access_token()
    assert a_refresh_token() != a_refresh_token()


def test_a_token_signed_with_the_secret_before_the_last_change_is_still_good() -> None:
    before = Tokens((OLD_SECRET,))
    assert TOKENS.read_access(an_access_token(before)).id == UUID(int=1)
    assert TOKENS.read_refresh(a_refresh_token(before)).id == UUID(int=1)


def test_a_token_of_a_secret_we_do_not_have_is_not() -> None:
    after = Tokens((NEXT_SECRET, SECRET))
    with pytest.raises(BadToken):
        after.read_access(an_access_token(Tokens((OLD_SECRET,))))
    with pytest.raises(BadToken):
        TOKENS.read_access(an_access_token(after))


def test_new_tokens_are_signed_with_the_first_secret() -> None:
    assert Tokens((SECRET,)).read_access(an_access_token()).id == UUID(int=1)


def test_a_token_has_expired_after_its_time_and_ten_seconds_for_slow_clocks() -> None:
    now = clock.now()
    expired = now - ACCESS_LIFE
    assert TOKENS.read_access(an_access_token(now=expired)).id == UUID(int=1)
    with pytest.raises(ExpiredToken):
        TOKENS.read_access(an_access_token(now=expired - LEEWAY))
    with pytest.raises(ExpiredToken):
        TOKENS.read_refresh(a_refresh_token(now=now - REFRESH_LIFE - LEEWAY))
    assert timedelta(seconds=10) == LEEWAY


def test_only_the_hash_of_a_token_needs_to_be_kept() -> None:
    token = a_refresh_token()
    assert len(token_hash(token)) == 32
    assert token.encode() not in token_hash(token)
    assert token_hash(token) != token_hash(a_refresh_token())


# Tampering. Each forger starts from a token of ours, and knows everything but our secrets; some know even those.


def _parts(token: str) -> tuple[Claims, Claims]:
    return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})


def _base64(value: object) -> str:
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _resigned(token: str, change: Callable[[Claims], Any], *, algorithm: str = "HS256") -> str:
    """Change the claims and sign again with the very key we sign with."""
    header, claims = _parts(token)
    change(claims)
    signed = f"{_base64(header | {'alg': algorithm})}.{_base64(claims)}"
    signature = hmac.digest(TOKENS._keys[header["kid"]], signed.encode(), f"sha{algorithm[2:]}")
    return f"{signed}.{_base64(signature)}"


def test_the_forger_who_knows_our_key_could_sign() -> None:
    assert TOKENS.read_access(_resigned(an_access_token(), lambda _: None)).id == UUID(int=1)


def _with_header(token: str, **changed: object) -> str:
    """Change the header and keep the old signature."""
    _, payload, signature = token.split(".")
    return f"{_base64(_parts(token)[0] | changed)}.{payload}.{signature}"


def _with_claims(token: str, **changed: object) -> str:
    """Change the claims and keep the old signature."""
    header, _, signature = token.split(".")
    return f"{header}.{_base64(_parts(token)[1] | changed)}.{signature}"


def _unsigned(token: str, name: str) -> str:
    header, claims = _parts(token)
    return f"{_base64(header | {'alg': name})}.{_base64(claims)}."


def _signed_with(secret: bytes | str, token: str) -> str:
    header, claims = _parts(token)
    return jwt.encode(claims, secret, "HS256", headers={"kid": header["kid"]})


def _flipped(token: str) -> str:
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


COMMON_FORGERIES: dict[str, Callable[[str], str]] = {
    "no algorithm": lambda token: _unsigned(token, "none"),
    "no algorithm, in capitals": lambda token: _unsigned(token, "None"),
    "no signature": lambda token: token.rpartition(".")[0] + ".",
    "another signature": _flipped,
    "another algorithm, our key": lambda token: _resigned(token, lambda _: None, algorithm="HS512"),
    "another algorithm in the header alone": lambda token: _with_header(token, alg="HS384"),
    "an algorithm with two keys": lambda token: _with_header(token, alg="RS256"),
    "no key id": lambda token: _with_header(token, kid=None),
    "a key id that is not ours": lambda token: _with_header(token, kid="0" * 16),
    "a key id that is no text": lambda token: _with_header(token, kid=["a"]),
    "the id of our other key": lambda token: _with_header(token, kid=Tokens((OLD_SECRET,))._current),
    "a key of its own in the header": lambda token: _with_header(token, jwk={"kty": "oct", "k": _base64(b"key")}),
    "an address to fetch the key from": lambda token: _with_header(token, jku="https://example.com/keys"),
    "an empty key": lambda token: _signed_with(b"\0" * 32, token),
    "the secret itself as key": lambda token: _signed_with(SECRET, token),
    "somebody else's id": lambda token: _with_claims(token, id=str(new_id())),
    "a longer life": lambda token: _with_claims(token, exp=2**40),
    "no end, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("exp")),
    "no beginning, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("iat")),
    "no id of its own, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("jti")),
    "no person, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("id")),
    "a person that is no id, signed by us": lambda token: _resigned(token, lambda claims: claims.update(id="cleo")),
    "an end that is no number, signed by us": lambda token: _resigned(token, lambda claims: claims.update(exp="soon")),
    "made in the future, signed by us": lambda token: _resigned(
        token, lambda claims: claims.update(iat=claims["iat"] + 3600)
    ),
    "not valid yet, signed by us": lambda token: _resigned(
        token, lambda claims: claims.update(nbf=claims["iat"] + 3600)
    ),
    "a claim we do not know, signed by us": lambda token: _resigned(token, lambda claims: claims.update(admin=True)),
    "a header that must be understood": lambda token: _with_header(token, crit=["b64"], b64=False),
    "a part too many": lambda token: f"{token}.AAAA",
    "a part too few": lambda token: token.rpartition(".")[0],
    "blanks around it": lambda token: f" {token} ",
    "a line break behind it": lambda token: f"{token}\n",
    "bytes that are no text": lambda token: token[:10] + "\udcff" + token[10:],
    "a header nested deeply": lambda token: f"{_base64(b'[' * 5000)}.{token.partition('.')[2]}",
    "a header that is a list": lambda token: f"{_base64([])}.{token.partition('.')[2]}",
    "a number too long": lambda token: f"{_base64(b'[' + b'9' * 5000 + b']')}.{token.partition('.')[2]}",
    "nothing": lambda _: "",
    "dots": lambda _: "..",
    "words": lambda _: "let me in",
}
ACCESS_FORGERIES = COMMON_FORGERIES | {
    "a refresh token": lambda _: a_refresh_token(),
    "a refresh token dressed up": lambda _: _resigned(
        a_refresh_token(), lambda claims: claims.update(aud="fitsync-api", iss="fitsync-user-service")
    ),
    "for somebody else, signed by us": lambda token: _resigned(token, lambda claims: claims.update(aud="other")),
    "for several, signed by us": lambda token: _resigned(
        token, lambda claims: claims.update(aud=["fitsync-api", "other"])
    ),
    "for nobody, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("aud")),
    "by somebody else, signed by us": lambda token: _resigned(token, lambda claims: claims.update(iss="other")),
    "by nobody, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("iss")),
    "of a role that is none, signed by us": lambda token: _resigned(token, lambda claims: claims.update(role="root")),
    "of no session, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("sid")),
    "of another role": lambda token: _with_claims(token, role="admin"),
}
REFRESH_FORGERIES = COMMON_FORGERIES | {
    "an access token": lambda _: an_access_token(),
    "an access token dressed up": lambda _: _resigned(
        an_access_token(),
        lambda claims: [claims.pop(name) for name in ("aud", "iss")] and claims.update(type="refresh"),
    ),
    "of another type, signed by us": lambda token: _resigned(token, lambda claims: claims.update(type="access")),
    "of no type, signed by us": lambda token: _resigned(token, lambda claims: claims.pop("type")),
}


@pytest.mark.parametrize("forge", ACCESS_FORGERIES.values(), ids=ACCESS_FORGERIES)
def test_no_forged_access_token_is_accepted(forge: Callable[[str], str]) -> None:
    with pytest.raises(BadToken):
        TOKENS.read_access(forge(an_access_token()))


@pytest.mark.parametrize("forge", REFRESH_FORGERIES.values(), ids=REFRESH_FORGERIES)
def test_no_forged_refresh_token_is_accepted(forge: Callable[[str], str]) -> None:
    with pytest.raises(BadToken):
        TOKENS.read_refresh(forge(a_refresh_token()))


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,80}(\.[A-Za-z0-9_-]{0,80}){2}\Z"))
def test_garbage_is_not_a_token(garbage: str) -> None:
    for read in (TOKENS.read_access, TOKENS.read_refresh):
        with pytest.raises(BadToken):
            read(garbage)


@given(st.data())
def test_no_single_changed_letter_goes_unnoticed(data: st.DataObject) -> None:
    token = an_access_token()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("AZaz09-_."))
    # The last letter of a part carries bits that no byte is made of.
    is_last_of_part = place + 1 == len(token) or token[place + 1] == "."
    if token[place] != letter and not is_last_of_part:
        with pytest.raises(BadToken):
            TOKENS.read_access(token[:place] + letter + token[place + 1 :])
