"""A metric's values as people read them, and as a file holds them."""

from __future__ import annotations

from functools import cache

from django.utils.translation import gettext

from usage.dashboard import formats
from usage.reports.explorer.answer import Number
from usage.reports.explorer.question import Metric

MONEY, COUNT, SHARE, DURATION = "money", "count", "share", "duration"
MICROSECONDS_A_MS = 1_000
NANO_A_USD = 1_000_000_000


@cache
def unit_of(metric: Metric) -> str:
    if metric in (Metric.COST, Metric.COST_PER_REQUEST):
        return MONEY
    if metric in (Metric.ERROR_RATE, Metric.CACHE_RATE):
        return SHARE
    return DURATION if metric.startswith(("latency", "ttft")) else COUNT


def text(metric: Metric, value: Number | None) -> str:
    """In full where it fits: tokens of a whole team run into billions, and then their digits tell nothing."""
    if value is None:
        return formats.DASH
    unit = unit_of(metric)
    if unit == SHARE:
        return formats.percent(float(value))
    if unit == DURATION:
        return formats.duration(round(value)) if value else "0"
    whole = round(value)
    return formats.money(whole) if unit == MONEY else formats.compact(whole)


def full_text(metric: Metric, value: Number | None) -> str:
    """Every digit: beside the short form, on hover."""
    if value is None or unit_of(metric) in (SHARE, DURATION):
        return text(metric, value)
    return formats.exact_money(round(value)) if unit_of(metric) == MONEY else formats.count(round(value))


def cell(metric: Metric, value: Number | None) -> str:
    """For a file: US dollars to the nano-dollar, milliseconds, plain counts, rates from 0 to 1. Empty is unknown."""
    if value is None:
        return ""
    unit = unit_of(metric)
    if unit == MONEY:
        return f"{round(value) // NANO_A_USD}.{round(value) % NANO_A_USD:09}"
    return f"{value / MICROSECONDS_A_MS:.3f}" if unit == DURATION else f"{value:.6f}" if unit == SHARE else f"{value}"


def column(metric: Metric) -> str:
    """The file's column: the same names as the API uses."""
    suffix = {MONEY: "_usd", DURATION: "_ms"}.get(unit_of(metric), "")
    return f"{metric.value}{suffix}"


def why_unknown(metric: Metric) -> str:
    """The reason behind a dash."""
    if metric.startswith("ttft"):
        return gettext("no streamed calls")
    return gettext("no calls")


def basis_name(metric: Metric) -> str:
    """What the metric was computed over, which stands in the table beside it."""
    if metric is Metric.CACHE_RATE:
        return gettext("Prompt tokens")
    return gettext("Measured calls") if unit_of(metric) == DURATION else gettext("Requests")


def drawn(metric: Metric, value: Number | None) -> float | None:
    """As the chart's axis counts: US dollars, seconds, percent."""
    if value is None:
        return None
    return value / {MONEY: NANO_A_USD, DURATION: 1_000_000, SHARE: 0.01, COUNT: 1}[unit_of(metric)]
