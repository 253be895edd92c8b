"""Requests, tokens and concurrency: exact to the nanosecond, against an oracle in fractions."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.proxy import limits
from usage.proxy.limits import Limiter, NoHeadroom, Scope, go_duration

MINUTE_NS = 60_000_000_000
MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns


def limiter_of(
    clock: Clock, requests: int | None, tokens: int | None, concurrent: int | None = None
) -> tuple[Limiter, Scope]:
    limiter = Limiter(clock)
    return limiter, limiter.scope("team", 1, requests, tokens, concurrent)


def state(scope: Scope, now_ns: int) -> tuple[int, ...]:
    buckets = [bucket.debt(now_ns) for bucket in (scope.requests, scope.tokens) if bucket is not None]
    return (*buckets, scope.in_flight, scope.reserved_tokens)


# The oracle -----------------------------------------------------------------------------------------------------------


class Oracle:
    """One leaky bucket, in exact fractions."""

    def __init__(self, limit: int) -> None:
        self.limit, self.level, self.at_ns = limit, Fraction(0), 0

    def move_to(self, now_ns: int) -> None:
        leaked = Fraction(self.limit * (now_ns - self.at_ns), MINUTE_NS)
        self.level, self.at_ns = max(Fraction(0), self.level - leaked), now_ns

    def fits(self, amount: int) -> bool:
        return self.level + amount <= self.limit


@settings(deadline=None)
@given(
    requests=st.integers(1, 400),
    tokens=st.integers(1, 1_000),
    calls=st.lists(
        st.tuples(st.integers(0, MINUTE_NS // 20), st.integers(0, 1_200), st.integers(0, 1_500)), max_size=60
    ),
)
def test_admission_equals_the_oracle(requests: int, tokens: int, calls: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, requests, tokens)
    of_requests, of_tokens = Oracle(requests), Oracle(tokens)
    for pause_ns, asked, used in calls:
        clock.now_ns += pause_ns
        of_requests.move_to(clock.now_ns)
        of_tokens.move_to(clock.now_ns)
        fits = of_requests.fits(1) and of_tokens.fits(asked)
        try:
            hold = limiter.reserve((scope,), asked, clock.now_ns)
        except NoHeadroom as refusal:
            assert not fits
            _assert_wait_is_exact(limiter, scope, refusal, asked, clock.now_ns)
            continue
        assert fits
        of_requests.level += 1
        of_tokens.level += asked
        clock.now_ns += pause_ns // 2
        of_requests.move_to(clock.now_ns)
        of_tokens.move_to(clock.now_ns)
        hold.settle(used, clock.now_ns)
        of_tokens.level = max(Fraction(0), of_tokens.level - asked + used)
        assert scope.requests is not None
        assert scope.tokens is not None
        assert Fraction(scope.requests.debt(clock.now_ns), MINUTE_NS) == of_requests.level
        assert Fraction(scope.tokens.debt(clock.now_ns), MINUTE_NS) == of_tokens.level


def _assert_wait_is_exact(limiter: Limiter, scope: Scope, refusal: NoHeadroom, asked: int, now_ns: int) -> None:
    """One nanosecond earlier it is still refused; at that time it is admitted. Looking ahead changes nothing."""
    if refusal.never_fits:
        assert asked > refusal.limit
        return
    kept = [(bucket, bucket._debt, bucket._at_ns) for bucket in (scope.requests, scope.tokens) if bucket is not None]
    assert scope.check(asked, now_ns + refusal.wait_ns - 1) is not None
    assert scope.check(asked, now_ns + refusal.wait_ns) is None
    assert scope.check(asked, now_ns + refusal.wait_ms * MS) is None
    for bucket, debt, at_ns in kept:
        bucket._debt, bucket._at_ns = debt, at_ns


# Reserve and settle ---------------------------------------------------------------------------------------------------


def test_basic_is_sixty_calls_at_once_and_then_one_a_second() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, 60, None)
    for _ in range(60):
        limiter.reserve((scope,), 0, clock())
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((scope,), 0, clock())
    assert (refused.value.limit_name, refused.value.limit, refused.value.used) == ("requests", 60, 60)
    assert refused.value.wait_ms == 1_000
    clock.now_ns += 999 * MS
    with pytest.raises(NoHeadroom):
        limiter.reserve((scope,), 0, clock())
    clock.now_ns += 1 * MS
    limiter.reserve((scope,), 0, clock())


@given(asked=st.lists(st.integers(0, 50), min_size=1, max_size=20))
@settings(deadline=None)
def test_settling_at_once_with_nothing_used_restores_the_tokens_exactly(asked: list[int]) -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, 1_000, 40)
    limiter.reserve((scope,), 7, clock())
    before = state(scope, clock())
    holds = [limiter.reserve((scope,), tokens, clock()) for tokens in asked]
    for hold in holds:
        hold.settle(0, clock())
    assert state(scope, clock()) == before


def test_what_was_used_beyond_the_reservation_is_worked_off_from_now_on() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, 600)
    hold = limiter.reserve((scope,), 1, clock())
    clock.now_ns += MINUTE_NS
    hold.settle(601, clock())
    assert scope.tokens is not None
    assert scope.tokens.used(clock()) == 600
    with pytest.raises(NoHeadroom):
        limiter.reserve((scope,), 1, clock())


def test_all_scopes_or_none() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    team = limiter.scope("team", 1, 60, 1_000, 10)
    key = limiter.scope("key", 7, None, 100, 1)
    before = state(team, clock()), state(key, clock())
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((team, key), 101, clock())
    assert (refused.value.scope, refused.value.never_fits) == (key, True)
    assert (state(team, clock()), state(key, clock())) == before
    hold = limiter.reserve((team, key), 100, clock())
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((team, key), 0, clock())
    assert (refused.value.scope, refused.value.limit_name) == (key, "concurrent")
    hold.settle(100, clock())
    limiter.reserve((team, key), 0, clock())


def test_the_tightest_limit_answers() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    team, key = limiter.scope("team", 1, 60, 600, None), limiter.scope("key", 7, 6, None, None)
    for _ in range(6):
        limiter.reserve((team, key), 100, clock())
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((team, key), 100, clock())
    # Ten seconds until the key may call again and ten until the tokens are back: then the first one told.
    assert refused.value.wait_ms == 10_000
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((team, key), 200, clock())
    assert (refused.value.limit_name, refused.value.wait_ms) == ("tokens", 20_000)


def test_a_place_is_free_as_soon_as_a_call_ends() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, None, 2)
    first = limiter.reserve((scope,), 5, clock())
    limiter.reserve((scope,), 5, clock())
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((scope,), 5, clock())
    assert (refused.value.limit_name, refused.value.used, refused.value.wait_ms) == ("concurrent", 2, 1_000)
    first.settle(1, clock())
    limiter.reserve((scope,), 5, clock())


def test_no_limit_is_no_limit() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, None, None)
    for _ in range(1_000):
        limiter.reserve((scope,), 10**9, clock())
    assert limits.headers((scope,), clock()) == []
    assert [gauge.limit for gauge in limiter.team_gauges(1)] == [None, None, None]


# Changing limits ------------------------------------------------------------------------------------------------------


def test_raising_a_limit_forgives_nothing() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, 60, 90_000)
    limiter.reserve((scope,), 60_000, clock())
    limiter.scope("team", 1, 300, 450_000, None)
    assert scope.tokens is not None
    assert (scope.tokens.limit, scope.tokens.used(clock())) == (450_000, 60_000)


def test_lowering_a_limit_punishes_nobody_for_a_burst_long_past() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, 10_000_000)
    limiter.reserve((scope,), 9_000_000, clock())
    clock.now_ns += MINUTE_NS
    limiter.scope("team", 1, None, 90_000, None)
    limiter.reserve((scope,), 90_000, clock())


def test_lowering_a_limit_makes_nobody_wait_longer_than_a_full_bucket() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, 10_000_000)
    hold = limiter.reserve((scope,), 9_000_000, clock())
    limiter.scope("team", 1, None, 90_000, None)
    with pytest.raises(NoHeadroom) as refused:
        limiter.reserve((scope,), 90_000, clock())
    assert refused.value.wait_ns == MINUTE_NS
    hold.settle(100, clock())
    limiter.reserve((scope,), 90_000, clock())


def test_a_limit_may_come_and_go_while_calls_are_on_their_way() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, None, None)
    hold = limiter.reserve((scope,), 50, clock())
    limiter.scope("team", 1, 60, 100, 5)
    hold.settle(60, clock())
    assert scope.tokens is not None
    assert scope.tokens.used(clock()) == 10
    hold = limiter.reserve((scope,), 50, clock())
    limiter.scope("team", 1, None, None, None)
    hold.settle(10, clock())
    assert scope.in_flight == 0


# Told -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0, "0ms"), (6, "6ms"), (999, "999ms"), (1_000, "1s"), (8_640, "8.64s"), (59_999, "59.999s"), (60_000, "1m0s"),
     (90_000, "1m30s"), (360_000, "6m0s"), (90_050, "1m30.05s"), (3_600_000, "1h0m0s"), (90_061_001, "25h1m1.001s")],
)  # fmt: skip
def test_durations_are_told_as_go_prints_them(ms: int, told: str) -> None:
    assert go_duration(ms * MS) == told


@given(st.integers(0, 10**16))
@settings(deadline=None)
def test_a_told_duration_is_the_right_one_rounded_up(ns: int) -> None:
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)(ms|s))", go_duration(ns))
    assert match is not None
    hours, minutes, rest, unit = match.groups()
    ms = (int(hours or 0) * 60 + int(minutes or 0)) * 60_000 + Fraction(rest) * (1 if unit == "ms" else 1_000)
    assert 0 <= ms * MS - ns < MS


def test_headers_and_gauges_agree() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, 60, 90_000, 10)
    hold = limiter.reserve((scope,), 30_000, clock())
    told = {name.decode(): value.decode() for name, value in limits.headers((scope,), clock())}
    requests, tokens, concurrent = limiter.team_gauges(1)
    assert told == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "60000",
        "x-ratelimit-reset-tokens": "20s",
    }
    assert (requests.limit, requests.used, requests.remaining, requests.ms_to_full) == (60, 1, 59, 1_000)
    assert (tokens.used, tokens.reserved, tokens.remaining, tokens.ms_to_full) == (30_000, 30_000, 60_000, 20_000)
    assert (concurrent.limit, concurrent.used, concurrent.remaining) == (10, 1, 9)
    hold.settle(1_000, clock())
    requests, tokens, concurrent = limiter.team_gauges(1)
    assert (tokens.used, tokens.reserved, tokens.remaining, concurrent.used) == (1_000, 0, 89_000, 0)
    clock.now_ns += 200 * MS
    told = {name.decode(): value.decode() for name, value in limits.headers((scope,), clock())}
    assert int(told["x-ratelimit-remaining-tokens"]) == limiter.team_gauges(1)[1].remaining == 89_300


def test_headers_tell_the_scope_with_the_least_left() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    team, key = limiter.scope("team", 1, 60, 90_000, 10), limiter.scope("key", 7, None, 500, None)
    told = dict(limits.headers((team, key), clock()))
    assert (told[b"x-ratelimit-limit-requests"], told[b"x-ratelimit-limit-tokens"]) == (b"60", b"500")
    assert [gauge.limit_name for gauge in limiter.key_gauges(7)] == ["tokens"]
    assert limiter.key_gauges(8) == []


def test_the_time_to_refusal_follows_the_pace_of_the_last_minute() -> None:
    clock = Clock()
    limiter, scope = limiter_of(clock, 60, None)
    assert limiter.team_gauges(1)[0].s_to_refusal is None
    for _ in range(30):
        limiter.reserve((scope,), 0, clock())
        clock.now_ns += 250 * MS
    gauge = limiter.team_gauges(1)[0]
    # 30 in the last minute is half of what refills: at that pace it never comes.
    assert gauge.s_to_refusal is None
    for _ in range(35):
        limiter.reserve((scope,), 0, clock())
        clock.now_ns += 250 * MS
    gauge = limiter.team_gauges(1)[0]
    assert gauge.s_to_refusal is not None
    assert gauge.s_to_refusal > 0
    clock.now_ns += 2 * MINUTE_NS
    assert limiter.team_gauges(1)[0].s_to_refusal is None
