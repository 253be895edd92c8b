"""Tokens x dated prices -> integer nano-USD. Pure: no Django, no clock, no network.

The rules are the providers' own, as `genai-prices` applies them (a test prices a thousand calls with both):
a class without a price of its own costs what its text does; a prompt longer than a threshold is charged at that
threshold's price for all of its tokens. Each class is rounded once, half to even, and the total is their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

MILLION = 1_000_000
NANO_A_USD = Decimal(1_000_000_000)
# What a class is charged at when it has no price of its own.
FALLS_BACK_TO: dict[str, str] = {
    "cached": "input",
    "cache_write": "input",
    "audio_input": "input",
    "reasoning": "output",
    "audio_output": "output",
}
# What SDKs and providers call the standard tier.
STANDARD_TIERS = frozenset(("", "default", "auto", "standard"))


class Tokens(NamedTuple):
    """Exclusive classes: a token is in exactly one."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    audio_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cached + self.cache_write + self.audio_input


class Cost(NamedTuple):
    """Nano-USD by class, in the order of `Tokens`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    audio_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0

    @property
    def total(self) -> int:
        return sum(self)


class PriceList:
    """The prices of one version: for each token class, pairs of (above_input_tokens, usd_per_million)."""

    __slots__ = ("_ladders", "prices")

    def __init__(self, prices: Mapping[str, Iterable[tuple[int, Decimal]]]) -> None:
        self.prices = {name: tuple(sorted(steps)) for name, steps in prices.items()}
        # Highest threshold first, in nano-USD a million tokens: integers from here on.
        self._ladders = {name: tuple(_rung(step) for step in reversed(steps)) for name, steps in self.prices.items()}

    def usd_per_million(self, token_class: str, prompt_tokens: int) -> Decimal | None:
        """The unit price of a class within a call of this prompt length, for receipts. None: unpriced."""
        nano_usd = self.nano_usd_per_million(token_class, prompt_tokens)
        return None if nano_usd is None else Decimal(nano_usd) / NANO_A_USD

    def nano_usd_per_million(self, token_class: str, prompt_tokens: int) -> int | None:
        ladder = self._ladders.get(token_class) or self._ladders.get(FALLS_BACK_TO.get(token_class, ""), ())
        for above, price in ladder:
            if prompt_tokens > above or not above:
                return price
        return None


def cost(tokens: Tokens, price_list: PriceList) -> Cost | None:
    """None when a class that was used has no price: unknown, not zero."""
    prompt_tokens = tokens.prompt
    nano_usd = []
    for token_class, count in zip(Tokens._fields, tokens, strict=True):
        price = price_list.nano_usd_per_million(token_class, prompt_tokens) if count else 0
        if price is None:
            return None
        nano_usd.append(_divide_half_even(count * price, MILLION))
    return Cost(*nano_usd)


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    return quotient + (twice > denominator or (twice == denominator and quotient % 2))


def _rung(step: tuple[int, Decimal]) -> tuple[int, int]:
    above_input_tokens, usd_per_million = step
    nano_usd = usd_per_million * NANO_A_USD
    if nano_usd != int(nano_usd):
        raise ValueError(f"A price of {usd_per_million} USD a million tokens is finer than nine decimals.")
    return above_input_tokens, int(nano_usd)


# Which version -------------------------------------------------------------------------------------------------------


class Version(NamedTuple):
    """A price list with the span it is valid for; `valid_to` None is open."""

    id: int
    price_book: str
    model: str
    service_tier: str
    valid_from: datetime
    valid_to: datetime | None
    prices: PriceList
    # Set by an administrator: it applies wherever it and a seeded version cover the same moment.
    is_by_hand: bool = False

    def covers(self, moment: datetime) -> bool:
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


class PriceBook:
    """All versions, in memory. Immutable: after a change, a new one is built."""

    def __init__(self, versions: Iterable[Version] = ()) -> None:
        self._versions: dict[tuple[str, str, str], list[Version]] = {}
        # The order in which they win. Versions of one source never overlap: price_acts.py and the seeds see to that.
        for version in sorted(versions, key=lambda version: (not version.is_by_hand, -version.id)):
            key = (version.price_book, version.model, normal_tier(version.service_tier))
            self._versions.setdefault(key, []).append(version)

    def __len__(self) -> int:
        return sum(len(versions) for versions in self._versions.values())

    def find(
        self, price_book: str, model: str, service_tier: str | None, started_at: datetime
    ) -> tuple[int, PriceList] | None:
        """The version's id and its prices; None for an unpriced model. A tier without prices then costs standard."""
        tier = normal_tier(service_tier)
        return self._find(price_book, model, tier, started_at) or self._find(price_book, model, "", started_at)

    def _find(self, price_book: str, model: str, tier: str, started_at: datetime) -> tuple[int, PriceList] | None:
        for version in self._versions.get((price_book, model, tier), ()):
            if version.covers(started_at):
                return version.id, version.prices
        return None


def normal_tier(service_tier: str | None) -> str:
    """ "" for the standard tier, under any of its names."""
    return "" if service_tier is None or service_tier in STANDARD_TIERS else service_tier
