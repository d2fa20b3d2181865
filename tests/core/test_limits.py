"""Token buckets: never more than the rate allows, and never less."""

from hypothesis import given
from hypothesis import strategies as st

from server.core.limits import SWEEP_ABOVE, Bucket, Limited, Limits, Rate

rates = st.builds(Rate, st.integers(1, 50), st.floats(0.5, 60), st.integers(1, 30))


@given(rates, st.lists(st.floats(0, 5), max_size=200))
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(rate: Rate, pauses: list[float]) -> None:
    now, bucket, passed = 0.0, Bucket(rate, 0.0), []
    for pause in pauses:
        now += pause
        if not bucket.take(rate, now):
            passed.append(now)
    for index, first in enumerate(passed):
        for count, last in enumerate(passed[index:], 1):
            assert count <= rate.burst + (last - first) * rate.count / rate.seconds + 1e-6


@given(rates, st.integers(0, 100))
def test_who_waits_as_long_as_told_is_let_through(rate: Rate, before: int) -> None:
    bucket = Bucket(rate, 0.0)
    for _ in range(before):
        bucket.take(rate, 0.0)
    wait = bucket.take(rate, 0.0)
    if wait:
        assert bucket.take(rate, wait + 1e-9) == 0


@given(rates)
def test_the_whole_burst_is_there_at_the_beginning_and_not_one_more(rate: Rate) -> None:
    bucket = Bucket(rate, 0.0)
    assert [bucket.take(rate, 0.0) for _ in range(rate.burst)] == [0.0] * rate.burst
    assert bucket.take(rate, 0.0) > 0


def test_full_buckets_are_forgotten_and_others_are_not() -> None:
    rate = Rate(1, 1, 2)
    limits = Limits({Limited.SYNC: rate})
    for number in range(SWEEP_ABOVE):
        limits.take(Limited.SYNC, number, now=0.0)
    assert limits.take(Limited.SYNC, "busy", now=100.0) == 0
    assert len(limits._buckets) == 1
    assert limits.take(Limited.SYNC, "busy", now=100.0) == 0
    assert limits.take(Limited.SYNC, "busy", now=100.0) > 0
