"""Template tags and filters of the headroom pages and of refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from django import template
from django.utils import timezone
from django.utils.translation import gettext

from usage.dashboard import formats, windows
from usage.dashboard.windows import Part

register = template.Library()


@register.filter
def hour_minute(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%H:%M}"


@register.filter
def recent(at: datetime, zone: tzinfo) -> str:
    """The time of day, with the day where it is not today."""
    local = at.astimezone(zone)
    is_today = local.date() == timezone.now().astimezone(zone).date()
    return f"{local:%H:%M:%S}" if is_today else f"{formats.day(local)} {local:%H:%M:%S}"


@register.filter
def milliseconds(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"


@register.filter
def ms_duration(ms: int) -> str:
    return formats.duration(ms * 1000)


@register.filter
def limit_text(refusal: Mapping[str, Any]) -> str:
    """Which limit of which scope, in a few words."""
    scope, name = refusal.get("scope"), refusal.get("limit_name")
    of_team = {
        "requests": gettext("Team, requests/min"),
        "tokens": gettext("Team, tokens/min"),
        "concurrent": gettext("Team, concurrent"),
    }
    of_key = {
        "requests": gettext("Key, requests/min"),
        "tokens": gettext("Key, tokens/min"),
        "concurrent": gettext("Key, concurrent"),
    }
    return (of_key if scope == "key" else of_team).get(str(name), formats.DASH)


@register.filter
def endpoint_path(endpoint: str) -> str:
    """`chat.completions` as it stands in the address."""
    return endpoint.replace(".", "/")


@register.filter
def key_meter(place: int, owner: int) -> str:
    """The id of a bar, by which the live page finds it again."""
    return f"meter-{owner}-{place}"


@register.simple_tag
def window_parts(
    refusal: Mapping[str, Any], names: Mapping[int, str], tones: Mapping[int, str] | None = None
) -> Sequence[Part]:
    return windows.parts(refusal, names, tones)
