"""Template tags and filters of the pages about providers, models and prices."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django import template
from django.utils import timezone
from django.utils.translation import gettext

from usage.dashboard import formats
from usage.dashboard.catalog import priced, words
from usage.dashboard.catalog.model_form import CAPABILITIES
from usage.models import TokenClass
from usage.price_acts import Priced
from usage.price_seeds import BEGINNING
from usage.pricing import PriceList
from usage.reports.price_book import Line

register = template.Library()
register.filter("failure", words.failure)


class Rung(NamedTuple):
    token_class: str
    above: int
    usd: Decimal


@register.filter
def capability(name: str) -> str:
    return str(CAPABILITIES.get(name, name))


@register.filter
def full_date(day: date) -> str:
    return formats.full_day(datetime(day.year, day.month, day.day))


@register.filter
def since(at: datetime) -> str:
    """When a price began; the first list price of a model counts from always."""
    return gettext("always") if at.date() <= BEGINNING else moment_utc(at)


@register.filter
def moment_utc(at: datetime) -> str:
    """The day, and the time where it is not midnight; to the second where a price began at one."""
    local = timezone.localtime(at)
    if not (local.hour or local.minute or local.second):
        return formats.full_day(local)
    return f"{formats.full_day(local)} {local:%H:%M:%S}" if local.second else f"{formats.full_day(local)} {local:%H:%M}"


@register.simple_tag
def price_address(of: Line | Priced) -> str:
    return priced.history_address(of.price_book, of.model, of.service_tier)


@register.simple_tag
def set_address(of: Line | Priced) -> str:
    return priced.set_address(of.price_book, of.model, of.service_tier)


@register.simple_tag
def ladder(prices: PriceList) -> list[Rung]:
    """Class by class, the price below every threshold first."""
    return [Rung(name, above, usd) for name in TokenClass.values for above, usd in prices.prices.get(name, ())]
