"""When the relay tries again."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.core.outbox import FIRST_RETRY, LONGEST_RETRY, MAX_ATTEMPTS, retry_delay

attempts = st.integers(1, 1000)
chances = st.floats(0, 1, exclude_max=True)


@given(attempts, chances)
def test_the_wait_is_between_half_and_all_of_a_doubling_second_and_never_above_ten_minutes(
    attempt: int, chance: float
) -> None:
    longest = LONGEST_RETRY if attempt > 10 else min(FIRST_RETRY * 2 ** (attempt - 1), LONGEST_RETRY)
    assert longest / 2 <= retry_delay(attempt, chance) <= longest <= timedelta(minutes=10)


@given(attempts, chances)
def test_with_the_same_luck_nobody_waits_less_after_one_more_failure(attempt: int, chance: float) -> None:
    assert retry_delay(attempt, chance) <= retry_delay(attempt + 1, chance)


def test_an_event_is_given_up_only_after_half_an_hour_of_trying() -> None:
    assert sum((retry_delay(attempt, 0) for attempt in range(1, MAX_ATTEMPTS)), timedelta()) > timedelta(minutes=10)
    assert sum((retry_delay(attempt, 1) for attempt in range(1, MAX_ATTEMPTS)), timedelta()) > timedelta(minutes=25)
