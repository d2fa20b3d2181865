"""Rules of identity: handles, addresses, time zones, what a refresh token is worth."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import DomainError
from server.core.zones import TIME_ZONES
from server.domain.identity import rules
from server.domain.identity.models import Email, Handle, RefreshRow
from server.domain.identity.rules import RETRY_WINDOW, Spend
from tests.domain.strategies import START, ids, moments

spans = st.timedeltas(timedelta(days=-30), timedelta(days=30))


@given(st.text(min_size=1, max_size=100), ids)
def test_everybody_gets_a_handle_that_is_a_valid_one(name: str, user_id: UUID) -> None:
    handle = rules.first_handle(name, user_id)
    assert msgspec.convert(handle, Handle) == handle == handle.lower()


@given(st.text(min_size=1, max_size=100), ids, ids)
def test_people_of_one_name_get_different_handles(name: str, one: UUID, other: UUID) -> None:
    same = one.hex[-8:] == other.hex[-8:]
    assert (rules.first_handle(name, one) == rules.first_handle(name, other)) is same


@pytest.mark.parametrize(
    ("name", "start"),
    [("Cleo Client", "cleo.client-"), ("Zoë  Ångström", "zoe.angstrom-"), ("李小龍", "person-"), ("--", "person-")],
)
def test_a_handle_starts_with_what_can_be_written_of_the_name(name: str, start: str) -> None:
    assert rules.first_handle(name, UUID(int=0)) == f"{start}00000000"


@given(st.emails())
def test_an_address_has_one_form_whatever_its_case(address: str) -> None:
    normal = rules.normal_email(address)
    assert normal == rules.normal_email(normal) == rules.normal_email(address.upper())


@pytest.mark.parametrize(
    "address",
    ["cleo@example.com", "CLEO+gym@Example.COM", "a@b.cd", "o'neil@sub.example.co", "x@xn--mller-kva.example"],
)
def test_these_are_addresses(address: str) -> None:
    assert msgspec.convert(address, Email) == address


@pytest.mark.parametrize(
    "address",
    [
        *("", "cleo", "@example.com", "cleo@", "cleo@example", "cleo@@example.com", "cleo@example.com\n"),
        *("cleo @example.com", "cleo@-example.com", "cleo@example-.com", "cleo@exa mple.com", ".cleo@example.com"),
        *("cleo.@example.com", "cl..eo@example.com", "cleo@example..com", "cleo@127.0.0.1", "cleo@[127.0.0.1]"),
        *('"cleo"@example.com', "cleo\x00@example.com", "cléo@example.com", f"{'c' * 65}@example.com"),
        *(f"cleo@{'e' * 64}.com", f"cleo@{'e.' * 130}com", "<cleo@example.com>", "Cleo <cleo@example.com>"),
    ],
)
def test_these_are_no_addresses(address: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(address, Email)


@given(st.sampled_from(TIME_ZONES))
def test_every_time_zone_on_offer_has_rules(name: str) -> None:
    rules.check_time_zone(name)
    assert ZoneInfo(name).utcoffset(START) is not None


@given(st.text())
def test_any_other_time_zone_is_refused(name: str) -> None:
    if name not in TIME_ZONES:
        with pytest.raises(DomainError) as refused:
            rules.check_time_zone(name)
        assert [error.pointer for error in refused.value.errors] == ["/time_zone"]


def a_token(
    *,
    now: datetime,
    lives: timedelta = timedelta(days=1),
    replaced: timedelta | None = None,
    revoked: bool = False,
    successor_spent: bool = False,
) -> RefreshRow:
    """Return a token that expires `lives` from now and was replaced `replaced` ago."""
    return RefreshRow(
        UUID(int=1),
        UUID(int=2),
        UUID(int=3),
        now + lives,
        None if replaced is None else now - replaced,
        now if revoked else None,
        successor_spent,
    )


def test_a_token_that_nobody_knows_is_refused() -> None:
    assert rules.spend(None, START) is Spend.REFUSE


@given(moments, spans, st.none() | spans, st.booleans(), st.booleans())
def test_only_a_living_token_is_worth_anything(
    now: datetime, lives: timedelta, replaced: timedelta | None, revoked: bool, successor_spent: bool
) -> None:
    token = a_token(now=now, lives=lives, replaced=replaced, revoked=revoked, successor_spent=successor_spent)
    assert (rules.spend(token, now) is Spend.REFUSE) is (revoked or lives <= timedelta(0))


@given(moments, st.booleans())
def test_the_first_use_gives_a_new_pair(now: datetime, successor_spent: bool) -> None:
    assert rules.spend(a_token(now=now, successor_spent=successor_spent), now) is Spend.ROTATE


@given(moments, st.timedeltas(timedelta(0), timedelta(hours=20)), st.booleans())
def test_a_second_use_is_a_lost_answer_only_for_ten_seconds_and_while_nobody_used_it(
    now: datetime, since: timedelta, successor_spent: bool
) -> None:
    is_retry = since <= timedelta(seconds=10) and not successor_spent
    found = rules.spend(a_token(now=now, replaced=since, successor_spent=successor_spent), now)
    assert found is (Spend.ROTATE if is_retry else Spend.THEFT)


def test_the_window_for_a_lost_answer_closes_after_ten_seconds_sharp() -> None:
    assert timedelta(seconds=10) == RETRY_WINDOW
    late = RETRY_WINDOW + timedelta(microseconds=1)
    assert rules.spend(a_token(now=START, replaced=RETRY_WINDOW), START) is Spend.ROTATE
    assert rules.spend(a_token(now=START, replaced=late), START) is Spend.THEFT
