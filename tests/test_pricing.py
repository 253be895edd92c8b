"""Tokens x prices: our arithmetic, and the same thousand calls priced by genai-prices."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage import catalog, pricing
from usage.models import Price, PriceVersion, TokenClass
from usage.pricing import Cost, PriceBook, PriceList, Tokens, Version

GPT_4 = PriceList({"input": [(0, Decimal(30))], "output": [(0, Decimal(60))]})
LONG_CONTEXT = PriceList(
    {
        "input": [(0, Decimal("2.5")), (272_000, Decimal(5))],
        "cached": [(0, Decimal("0.25")), (272_000, Decimal("0.5"))],
        "output": [(0, Decimal(15)), (272_000, Decimal("22.5"))],
    }
)
counts = st.integers(0, 2_000_000)
prices = st.decimals(0, 1000, places=9, allow_nan=False, allow_infinity=False)


def test_token_classes_are_those_of_the_rows() -> None:
    assert list(TokenClass.values) == list(Tokens._fields) == list(Cost._fields)


def test_a_call_of_gpt_4_costs_its_list_price() -> None:
    assert pricing.cost(Tokens(input=1000, output=500), GPT_4) == Cost(input=30_000_000, output=30_000_000)
    assert pricing.cost(Tokens(input=1000, output=500), GPT_4).total == 60_000_000


def test_a_class_without_its_own_price_costs_what_its_text_costs() -> None:
    used = Tokens(cached=10, cache_write=10, audio_input=10, reasoning=10, audio_output=10)
    assert pricing.cost(used, GPT_4) == Cost(
        cached=300_000, cache_write=300_000, audio_input=300_000, reasoning=600_000, audio_output=600_000
    )


def test_a_prompt_over_the_threshold_is_charged_the_higher_price_for_all_its_tokens() -> None:
    at = pricing.cost(Tokens(input=200_000, cached=72_000, output=10), LONG_CONTEXT)
    over = pricing.cost(Tokens(input=200_001, cached=72_000, output=10), LONG_CONTEXT)
    assert at == Cost(input=500_000_000, cached=18_000_000, output=150_000)
    assert over == Cost(input=1_000_005_000, cached=36_000_000, output=225_000)


def test_half_a_nano_dollar_rounds_to_the_even_neighbour() -> None:
    half = PriceList({"input": [(0, Decimal("0.0005"))]})
    assert [pricing.cost(Tokens(input=count), half).total for count in (1, 2, 3, 5)] == [0, 1, 2, 2]


def test_tokens_that_nobody_priced_make_the_cost_unknown_and_not_zero() -> None:
    embedding = PriceList({"input": [(0, Decimal("0.02"))]})
    assert pricing.cost(Tokens(input=50), embedding) == Cost(input=1000)
    assert pricing.cost(Tokens(input=50, output=1), embedding) is None
    assert pricing.cost(Tokens(input=50), PriceList({})) is None
    assert pricing.cost(Tokens(), PriceList({})) == Cost()


def test_a_price_finer_than_the_column_is_refused() -> None:
    with pytest.raises(ValueError, match="nine decimals"):
        PriceList({"input": [(0, Decimal("0.0000000001"))]})


def test_a_receipt_can_name_the_unit_price() -> None:
    assert LONG_CONTEXT.usd_per_million("cache_write", 272_000) == Decimal("2.5")
    assert LONG_CONTEXT.usd_per_million("cache_write", 272_001) == Decimal(5)
    assert PriceList({}).usd_per_million("input", 1) is None


@given(st.builds(Tokens, *[counts] * 7), prices, prices, prices, st.integers(1, 1_000_000))
def test_every_class_is_within_half_a_nano_dollar_of_the_exact_amount(
    tokens: Tokens, usd_in: Decimal, usd_long: Decimal, usd_out: Decimal, threshold: int
) -> None:
    price_list = PriceList({"input": [(0, usd_in), (threshold, usd_long)], "output": [(0, usd_out)]})
    cost = pricing.cost(tokens, price_list)
    assert cost is not None
    unit = usd_long if tokens.prompt > threshold else usd_in
    for name, count in tokens._asdict().items():
        exact = count * (usd_out if name in ("output", "reasoning", "audio_output") else unit) * 1000
        assert abs(getattr(cost, name) - exact) <= Decimal("0.5")
    assert cost.total == sum(cost)


# Which version -------------------------------------------------------------------------------------------------------

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def version(id_: int, tier: str = "", valid_from: datetime = NEW_YEAR, valid_to: datetime | None = None) -> Version:
    return Version(id_, "openai", "gpt-4", tier, valid_from, valid_to, GPT_4)


def test_the_version_in_force_when_the_call_started_is_used() -> None:
    march = datetime(2026, 3, 1, tzinfo=UTC)
    book = PriceBook([version(1, valid_to=march), version(2, valid_from=march)])
    assert found(book, "", march - timedelta(microseconds=1)) == 1
    assert found(book, "", march) == 2
    assert found(book, "", NEW_YEAR - timedelta(microseconds=1)) is None
    assert len(book) == 2


def test_a_later_entry_overrides_an_earlier_one_within_its_span() -> None:
    until = NEW_YEAR + timedelta(days=30)
    book = PriceBook([version(1), version(7, valid_to=until)])
    assert found(book, "", NEW_YEAR) == 7
    assert found(book, "", until) == 1


@pytest.mark.parametrize("tier", ["", None, "default", "auto", "standard", "flex", "scale"])
def test_a_tier_without_prices_of_its_own_costs_the_standard_price(tier: str | None) -> None:
    book = PriceBook([version(1), version(2, "priority", NEW_YEAR + timedelta(days=1))])
    assert found(book, tier, NEW_YEAR) == 1
    assert found(book, "priority", NEW_YEAR) == 1
    assert found(book, "priority", NEW_YEAR + timedelta(days=1)) == 2


def found(book: PriceBook, tier: str | None, at: datetime) -> int | None:
    match = book.find("openai", "gpt-4", tier, at)
    return match[0] if match else None


# Against genai-prices ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_thousand_random_calls_cost_what_genai_prices_says() -> None:
    catalog.seed_prices()
    book = catalog.price_versions()
    models = list(PriceVersion.objects.values_list("price_book", "model").distinct())
    outputs = set(Price.objects.filter(token_class="output").values_list("version__model", flat=True))
    dates = list(PriceVersion.objects.values_list("valid_from", flat=True).distinct())
    chosen = random.Random(20261123)
    for number in range(1000):
        price_book, model = chosen.choice(models)
        tier = chosen.choice(["", "flex", "priority", "fast", "batch", "scale"])
        moment = _moment(chosen, dates)
        # Thousands of tokens at listed prices make whole nano-USD: those must agree exactly.
        grain = 1000 if number % 2 else 1
        tokens = _random_tokens(chosen, grain, has_output=model in outputs)
        match = book.find(price_book, model, tier, moment)
        assert match is not None
        cost = pricing.cost(tokens, match[1])
        assert cost is not None
        theirs = genai_prices.calc_price(
            _their_usage(tokens),
            model,
            provider_id=price_book,
            genai_request_timestamp=moment,
            price_context=_their_context(tier),
        )
        tolerance = 0 if grain == 1000 else Decimal("0.5") * sum(map(bool, tokens))
        assert abs(cost.total - theirs.total_price * 10**9) <= tolerance, (model, tier, moment, tokens)
        assert abs(sum(cost[:4]) - theirs.input_price * 10**9) <= tolerance
        assert abs(sum(cost[4:]) - theirs.output_price * 10**9) <= tolerance


def _moment(chosen: random.Random, dates: list[datetime]) -> datetime:
    """Now and then exactly at, or just before, a change of prices."""
    if chosen.random() < 0.3:
        change = chosen.choice(dates)
        return change - timedelta(microseconds=chosen.choice([0, 1])) if change.year > 2020 else change
    return datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=chosen.randrange(4 * 365 * 86_400))


def _random_tokens(chosen: random.Random, grain: int, *, has_output: bool) -> Tokens:
    def some(most: int) -> int:
        return chosen.choice([0, chosen.randrange(most)]) // grain * grain

    prompt = (chosen.choice([1_000, 50_000, 400_000]) for _ in range(4))
    completion = (some(20_000) if has_output else 0 for _ in range(3))
    return Tokens(*(some(most) for most in prompt), *completion)


def _their_usage(tokens: Tokens) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=tokens.prompt,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        cache_write_1h_tokens=0,
        input_audio_tokens=tokens.audio_input,
        cache_audio_read_tokens=0,
        output_tokens=tokens.output + tokens.reasoning + tokens.audio_output,
        output_reasoning_tokens=tokens.reasoning,
        output_audio_tokens=tokens.audio_output,
    )


def _their_context(tier: str) -> dict[str, str]:
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier or "default"}
