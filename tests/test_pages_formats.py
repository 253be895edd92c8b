"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from usage.dashboard import formats, gauges


@pytest.mark.parametrize(
    ("nano_usd", "shown"),
    [
        (1_204_500_000_000, "$1,204.50"),
        (1_000_000_000_000_000, "$1,000,000.00"),
        (999_999_999, "$1.00"),
        (500_000_000, "$0.50"),
        (31_200_000, "$0.0312"),
        (562_000, "$0.000562"),
        (41_000, "$0.000041"),
        (1, "$0.000000001"),
        (0, "$0"),
        (-2_500_000_000, "−$2.50"),
        (None, "–"),
    ],
)
def test_money_shows_the_digits_that_matter_and_never_zero_for_something_that_cost_something(
    nano_usd: int | None, shown: str
) -> None:
    assert formats.money(nano_usd) == shown


@pytest.mark.parametrize(
    ("nano_usd", "shown"), [(29_798_400, "$0.0297984"), (1, "$0.000000001"), (2_000_000_000, "$2.00"), (0, "$0")]
)
def test_a_receipt_shows_every_digit(nano_usd: int, shown: str) -> None:
    assert formats.exact_money(nano_usd) == shown


def test_a_unit_price_keeps_its_digits_and_shows_cents_at_least() -> None:
    assert formats.unit_price(Decimal("3")) == "$3.00"
    assert formats.unit_price(Decimal("0.075")) == "$0.075"
    assert formats.unit_price(None) == "–"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_830_000, "1.83M"),
        (205_700_000, "205.7M"),
        (1_250_000_000, "1.25B"),
        (3 * 10**12, "3.00T"),
        (None, "–"),
    ],
)
def test_large_counts_are_shortened_from_a_million_up(number: int | None, shown: str) -> None:
    assert formats.compact(number) == shown


def test_a_share_that_is_not_zero_is_never_shown_as_zero() -> None:
    assert [formats.percent(share) for share in (None, 0, 0.0001, 0.378, 1.0)] == [
        "–",
        "0%",
        "<0.1%",
        "37.8%",
        "100.0%",
    ]


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [(118, 100, "+18.0%"), (97.2, 100, "−2.8%"), (5, 0, "new"), (0, 0, "–"), (5, None, "–"), (5000, 10, "×500")],
)
def test_a_change_is_said_against_what_was_before(now: float, before: float | None, shown: str) -> None:
    assert formats.change(now, before) == shown


@pytest.mark.parametrize(
    ("us", "shown"),
    [
        (None, "–"),
        (300, "0.3 ms"),
        (2_000, "2 ms"),
        (612_000, "612 ms"),
        (4_820_000, "4.82 s"),
        (125_000_000, "2 min 05 s"),
    ],
)
def test_durations_take_the_unit_that_fits(us: int | None, shown: str) -> None:
    assert formats.duration(us) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "1 s"), (48, "48 s"), (300, "5 min"), (7200, "2 h"), (259_200, "3 days")]
)
def test_a_wait_is_said_in_words(seconds: float, shown: str) -> None:
    assert formats.wait(seconds) == shown


def test_the_last_use_of_a_key_is_said_as_time_passed_and_then_as_a_date() -> None:
    now = datetime(2026, 11, 19, 12, tzinfo=UTC)
    moments = [None, now, now - timedelta(minutes=3), now - timedelta(days=40)]
    assert [formats.ago(moment, now) for moment in moments] == ["never", "now", "3 min ago", "10 Oct 2026"]


@pytest.mark.parametrize(
    ("used", "reserved", "tone"),
    [(74, 0, "calm"), (60, 15, "amber"), (89, 0, "amber"), (80, 10, "red"), (100, 0, "red")],
)
def test_a_limit_turns_amber_from_three_quarters_and_red_from_nine_tenths(used: int, reserved: int, tone: str) -> None:
    assert gauges.Bar("Requests", 100, used, reserved, 100 - used - reserved).tone == tone


def test_the_time_to_refusal_is_said_in_words() -> None:
    assert gauges.Bar("Tokens", 100, 60, 20, 20, s_to_refusal=48).outlook == "Refused in about 48 s at this pace"
    assert gauges.Bar("Tokens", 100, 60, 20, 20).outlook == "Not refused at this pace"
    assert gauges.Bar("Tokens", 100, 100, 0, 0).outlook == "Refused now"
    assert gauges.Bar("Tokens", None, 60).outlook == "Never refused: this tier sets no limit"


def test_a_refusal_says_what_was_asked_what_was_left_and_when_it_would_have_fitted() -> None:
    refusal = {
        "scope": "team",
        "limit_name": "tokens",
        "limit": 450_000,
        "asked": 18_420,
        "left": 6_210,
        "retry_after_ms": 1628,
    }
    said = "This call asked for 18,420. The team had 6,210 left of 450,000 tokens a minute."
    assert gauges.refusal_text(refusal) == f"{said} It would have fitted 1.63 s later."
    never = {**refusal, "never_fits": True, "retry_after_ms": None, "scope": "key"}
    assert "The key had" in gauges.refusal_text(never)
    assert gauges.refusal_text(never).endswith("would never have fitted.")
