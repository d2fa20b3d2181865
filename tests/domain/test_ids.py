"""UUIDv7, RFC 9562."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from server.core.ids import new_id, uuid7

milliseconds = st.integers(0, 2**48 - 1)
randomness = st.integers(0, 2**74 - 1)


def test_the_example_of_the_rfc_comes_out_bit_by_bit() -> None:
    # Appendix A.6: unix_ts_ms 017F22E279B0, rand_a CC3, rand_b 18C4DC0C0C07398F.
    made = uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F)
    assert made == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(milliseconds, randomness)
def test_every_id_says_its_version_and_gives_back_time_and_randomness(unix_ms: int, random_bits: int) -> None:
    made = uuid7(unix_ms, random_bits)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == unix_ms
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (1 << 62) - 1 == random_bits


@given(milliseconds, milliseconds, randomness, randomness)
def test_an_id_made_later_sorts_behind(one: int, other: int, bits: int, other_bits: int) -> None:
    if one < other:
        assert uuid7(one, bits) < uuid7(other, other_bits)
        assert str(uuid7(one, bits)) < str(uuid7(other, other_bits))


def test_no_id_is_made_twice() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
