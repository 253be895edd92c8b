"""Template tags and filters of every page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.models import ApiKey
from usage.dashboard import formats, gauges
from usage.models import Origin, Outcome, TokenClass, UsageEvent
from usage.reports.span import Span

register = template.Library()

for name in ("money", "exact_money", "unit_price", "count", "compact", "percent", "duration", "wait"):
    register.filter(name, getattr(formats, name))


@register.filter
def ago(moment: datetime | None) -> str:
    return formats.ago(moment)


@register.filter
def clock(moment: datetime, zone: Any) -> str:
    """The time of day in a team's zone."""
    return f"{moment.astimezone(zone):%H:%M:%S}"


@register.simple_tag
def change(now: float | None, before: float | None) -> str:
    return formats.DASH if now is None else formats.change(now, before)


@register.simple_tag
def share(part: int, whole: int) -> str:
    return formats.percent(part / whole) if whole else formats.DASH


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f" icon-{size}" if size else "",
        static("vendor/icons.svg"),
        name,
    )


@register.filter
def at(items: Sequence[Any], position: int) -> Any:
    return items[position]


@register.simple_tag
def unknown(reason: str) -> SafeString:
    """A dash that says why, on hover, on focus and to a screen reader."""
    return format_html(
        '<span class="unknown" tabindex="0" data-hint="{}"><span aria-hidden="true">–</span>'
        '<span class="visually-hidden">{}</span></span>',
        reason,
        gettext("unknown: %(reason)s") % {"reason": reason},
    )


@register.simple_tag
def known(formatted: str, reason: str) -> str | SafeString:
    """What a filter made, or the dash with its reason."""
    return unknown(reason) if formatted == formats.DASH else formatted


@register.simple_tag
def curve(
    values: Sequence[float], width: int, height: int, beside: Sequence[float] = (), tone: str = "", length: int = 2
) -> SafeString:
    """A small line without axes, from the left. `beside` is dashed, at the same scale; `length` leaves room for what is
    still to come."""
    length = max(len(values), len(beside), length)
    top = max((*values, *beside, 1e-12))
    line, dashed = (_points(series, length, top, width, height) for series in (values, beside))
    area = f"{line} {_x(len(values) - 1, length, width)},{height} 1,{height}" if len(values) > 1 else ""
    shapes = [("cmp", dashed), ("ln", line)] if len(beside) > 1 else [("ln", line)]
    return format_html(
        '<svg class="curve {}" aria-hidden="true" viewBox="0 0 {} {}" width="100%" height="{}" '
        'preserveAspectRatio="none"><polygon class="area" points="{}"/>{}</svg>',
        tone, width, height, height, area,
        format_html_join("", '<polyline class="{}" points="{}"/>', shapes),
    )  # fmt: skip


def _points(series: Sequence[float], length: int, top: float, width: int, height: int) -> str:
    rise = height - 3
    return " ".join(f"{_x(at, length, width)},{height - 1 - rise * value / top:.1f}" for at, value in enumerate(series))


def _x(at: int, length: int, width: int) -> str:
    return f"{1 + at * (width - 2) / (length - 1):.1f}"


@register.filter
def colour(colours: dict[str, str], model: str) -> str:
    """The class of a model's colour; grey for one without calls yet."""
    return colours.get(model, "mo")


@register.filter
def range_short(value: str) -> str:
    """`24h` as it stands on a button."""
    return {"24h": gettext("24 h"), "7d": gettext("7 d"), "30d": gettext("30 d"), "90d": gettext("90 d")}[value]


@register.filter
def first_start(span: Span) -> datetime:
    return span.start_of(0)


@register.filter
def moment(at: datetime, zone: Any) -> str:
    """Day and time in a team's zone."""
    local = at.astimezone(zone)
    return f"{formats.day(local)} {local:%H:%M:%S}"


@register.filter
def full_moment(at: datetime, zone: Any) -> str:
    """With the year."""
    local = at.astimezone(zone)
    return f"{formats.full_day(local)} {local:%H:%M:%S}"


@register.filter(expects_localtime=True)
def day(at: datetime) -> str:
    return formats.day(at)


@register.filter(expects_localtime=True)
def full_day(at: datetime) -> str:
    return formats.full_day(at)


@register.simple_tag
def why_unknown(call: UsageEvent, what: str) -> str:
    """The reason behind a dash in a call's line."""
    if call.outcome == Outcome.REFUSED:
        return gettext("refused before it was sent on")
    if what == "cost" and call.prompt_tokens is not None:
        return gettext("this model has no price")
    return gettext("the provider did not say, and nothing could be counted")


@register.simple_tag
def parts_bar(reported: int, counted: int, partial: int) -> SafeString:
    """One bar of cost by origin of the count; a part that exists is at least a sliver."""
    total = reported + counted + partial
    shapes, at = [], 0.0
    for name, part in (("used", reported), ("hatched", counted), ("partial", partial)):
        width = max(0.6, 100 * part / total) if part else 0.0
        shapes.append((name, f"{min(at, 99.4):.2f}%", f"{width:.2f}%"))
        at += width
    return format_html(
        '<svg class="parts" aria-hidden="true" width="100%"><defs><pattern id="hatch" width="5" height="5" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="5" height="5"/>'
        '<rect class="hatch-line" width="2" height="5"/></pattern></defs>{}</svg>',
        format_html_join("", '<rect class="{}" x="{}" width="{}" height="100%"/>', shapes),
    )


@register.simple_tag
def key_state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "live" if key.is_live(now) else "expired"


@register.filter
def refusal_text(refusal: dict[str, Any]) -> str:
    """Why a call was refused, and when it would have fitted."""
    return gauges.refusal_text(refusal)


@register.filter
def class_name(token_class: str) -> str:
    return str(TokenClass(token_class).label).capitalize()


@register.filter
def origin_text(origin: str) -> str:
    return {
        Origin.PROVIDER: gettext("From the usage block of its answer."),
        Origin.COUNTED: gettext("The provider sent no usage, so we counted with the model's tokenizer."),
        Origin.PARTIAL: gettext("Counted from what was delivered until then."),
        Origin.NONE: gettext("No tokens were used, or none could be counted."),
    }[Origin(origin)]
