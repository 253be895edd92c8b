"""Numbers as people read them. Pure: no request, no template."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, gettext, ngettext, pgettext

NANO_A_USD = Decimal(1_000_000_000)
MINUS = "−"
DASH = "–"


def money(nano_usd: int | None) -> str:
    """`$1,204.50`, `$0.0312`, `$0.000041`: cents from a dollar up, three significant digits below. Never `$0.00`."""
    if nano_usd is None:
        return DASH
    if not nano_usd:
        return "$0"
    sign, usd = (MINUS if nano_usd < 0 else ""), abs(Decimal(nano_usd)) / NANO_A_USD
    decimals = 2 if usd >= 1 else 2 - usd.adjusted()
    rounded = usd.quantize(Decimal(1).scaleb(-min(decimals, 9)), rounding=ROUND_HALF_EVEN)
    return f"{sign}${_at_least_cents(rounded)}"


def exact_money(nano_usd: int | None) -> str:
    """Every digit down to the nano-dollar, without the zeros at the end."""
    if nano_usd is None:
        return DASH
    return (
        f"{MINUS if nano_usd < 0 else ''}${_at_least_cents(abs(Decimal(nano_usd)) / NANO_A_USD)}" if nano_usd else "$0"
    )


def signed_money(nano_usd: int) -> str:
    """A change: `+$688.92`, `−$85.83`, `$0`."""
    return f"+{money(nano_usd)}" if nano_usd > 0 else money(nano_usd)


def unit_price(usd: Decimal | None) -> str:
    return DASH if usd is None else f"${_at_least_cents(usd)}"


def _at_least_cents(usd: Decimal) -> str:
    whole, _, decimals = f"{usd:,.9f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def count(number: int | None) -> str:
    return DASH if number is None else f"{number:,}"


def compact(number: int | None) -> str:
    """Full digits below a million, then `205.7M`, `1.25B`."""
    if number is None or number < 1_000_000:
        return count(number)
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.{1 if number >= 100 * size else 2}f}{letter}"
    raise AssertionError


def percent(share: float | None) -> str:
    if share is None:
        return DASH
    if not share:
        return "0%"
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share * 100:.1f}%"


def change(now: float, before: float | None) -> str:
    """`+18.0%`, `−2.8%`; "new" where there was nothing before."""
    if not before:
        return gettext("new") if now and before == 0 else DASH
    rise = (now - before) / before
    if abs(rise) >= 10:
        return f"×{now / before:,.0f}"
    return f"{'+' if rise >= 0 else MINUS}{abs(rise) * 100:.1f}%"


def duration(us: int | None) -> str:
    """`2 ms`, `612 ms`, `4.82 s`, `14.2 s`, `2 min 05 s`."""
    if us is None:
        return DASH
    if us < 1_000_000:
        return f"{us / 1000:.0f} ms" if us >= 1000 else f"{us / 1000:.1f} ms"
    seconds = us / 1_000_000
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def wait(seconds: float) -> str:
    """A coarse span of time in words: `48 s`, `5 min`, `3 h`."""
    if seconds < 90:
        return gettext("%(n)s s") % {"n": max(1, round(seconds))}
    if seconds < 5400:
        return gettext("%(n)s min") % {"n": round(seconds / 60)}
    if seconds < 172_800:
        return gettext("%(n)s h") % {"n": round(seconds / 3600)}
    days = round(seconds / 86_400)
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    if moment is None:
        return gettext("never")
    passed = (now or timezone.now()) - moment
    if passed < timedelta(seconds=3):
        return gettext("now")
    if passed < timedelta(days=2):
        return gettext("%(span)s ago") % {"span": wait(passed.total_seconds())}
    return full_day(timezone.localtime(moment))


def day(moment: date) -> str:
    """`19 Nov`, in the reader's language."""
    return dated(moment, pgettext("date format", "j M"))


def full_day(moment: date) -> str:
    return dated(moment, pgettext("date format", "j M Y"))


def dated(moment: date, pattern: str) -> str:
    """`date_format` for patterns without a time of day. A chart of a year names its days again at every look."""
    return _dated(moment.year, moment.month, moment.day, pattern, get_language() or "")


@lru_cache(maxsize=8_192)
def _dated(year: int, month: int, day: int, pattern: str, _language: str) -> str:
    return date_format(date(year, month, day), pattern)
